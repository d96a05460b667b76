"""Prompts without weights: what another runtime needs of a pretrained skill, written and opened again.

write_prompt_files(model, folder)       # tokenizer, generation config, metadata without paths
prompts = read_prompts(folder)          # no weight is read
prompts.prompt_ids(query)               # ids of the full vocabulary, as the trained model received them
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from terakoya.config.reading import is_path
from terakoya.errors import need
from terakoya.models.pretrained.build import end_ids
from terakoya.models.pretrained.checkpoint_files import PretrainedCheckpoint, read_json
from terakoya.models.pretrained.loading import load_tokenizer
from terakoya.models.pretrained.metadata import metadata_of_values
from terakoya.models.pretrained.prompt import Prompt, make_prompt
from terakoya.models.pretrained.saving import FORMAT, METADATA_FILE, save_tokenizer
from terakoya.models.pretrained.tokenizer import PromptTokenizer
from terakoya.models.protocol import Query


@dataclass(frozen=True)
class Prompts:
    """The prompts of a skill, and which tokens it may generate.

    prompt      makes ids of the full vocabulary
    kept_ids    ids that may be generated; None where all may
    causal      whether the model is causal; else it is an encoder-decoder
    max_source  tokens of a prompt at most
    max_target  tokens of a target at most, its end included
    """

    prompt: Prompt
    kept_ids: tuple[int, ...] | None
    causal: bool
    max_source: int
    max_target: int

    @property
    def end(self) -> int:
        """Id of the token that ends a target."""
        return self.prompt.end

    def prompt_ids(self, query: Query) -> list[int]:
        """Ids of everything before the target of `query`."""
        return self.prompt.prompt_ids(query)

    def fits(self, query: Query) -> bool:
        """Whether the prompt of `query` is as short as the trained model wants it."""
        return 0 < len(self.prompt_ids(query)) <= self.max_source

    def unknown_characters(self, query: Query) -> str:
        """The characters of `query` for which the tokenizer has the unknown token only, each once."""
        tokenizer = self.prompt.tokenizer
        text = "".join((*(turn.content for turn in query.turns), query.source))
        if tokenizer.unknown_id is None or not tokenizer.has_unknown(text):
            return ""
        return "".join(char for char in dict.fromkeys(text) if tokenizer.has_unknown(char))

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated `ids`, without the end."""
        return self.prompt.tokenizer.decode(ids)

    @cached_property
    def token_texts(self) -> tuple[str, ...]:
        """The text of each id of the full vocabulary; "" where it may not be generated."""
        tokenizer = self.prompt.tokenizer
        kept = range(tokenizer.size) if self.kept_ids is None else self.kept_ids
        texts = [""] * tokenizer.size
        for number in kept:
            if number < len(texts):
                texts[number] = tokenizer.token_text(number)
        return tuple(texts)


def write_prompt_files(model: Any, folder: Path) -> None:
    """Write all but the weights of a pretrained model.

    model   with a sequence head
    folder  that exists
    """
    save_tokenizer(model, folder)
    model.core.generation_config.save_pretrained(folder)
    metadata = model.metadata
    limits = {"max_source": model.max_source_length, "max_target": model.max_target_length}
    values = {
        "base": Path(metadata.base).name if is_path(metadata.base) else metadata.base,
        "revision": metadata.revision, "instruction": metadata.instruction, **limits, "gguf": metadata.gguf,
        "template": "chat" if model.prompt.template else "plain",
        "kept": None if metadata.kept_ids is None else list(metadata.kept_ids),
        "new_tokens": list(metadata.new_tokens), "format": FORMAT, "causal": model.family == "decoder",
    }  # fmt: skip
    (folder / METADATA_FILE).write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")


def read_prompts(folder: Path) -> Prompts:
    """The prompts that `write_prompt_files` wrote to a `folder`. Raises CorruptError where a file is missing."""
    values = read_json(folder / METADATA_FILE, str(folder))
    causal = bool(values.pop("causal"))
    metadata = metadata_of_values(values, str(folder))
    transformers = need("transformers", extra="hub")
    hf_tokenizer = load_tokenizer(transformers, PretrainedCheckpoint(str(folder), folder, "", {}))
    ends = end_ids(transformers.GenerationConfig.from_pretrained(folder, local_files_only=True))
    tokenizer = PromptTokenizer(hf_tokenizer, end_ids=ends, after_prompt=causal)
    prompt = make_prompt(tokenizer, causal=causal, kind=metadata.template, instruction=metadata.instruction)
    return Prompts(prompt, metadata.kept_ids, causal, metadata.max_source, metadata.max_target)


def save_merged(model: Any, folder: Path) -> None:
    """Write a `model` as a checkpoint `folder` with LoRA merged, however the skill itself is kept."""
    kept = model.metadata
    try:
        model.metadata = replace(kept, merge=True)
        model.save(folder)
    finally:
        model.metadata = kept


def save_for_everyone(model: Any, folder: Path) -> None:
    """Write a `model` as `save_merged` does to a `folder`, without the place of its base on this machine."""
    save_merged(model, folder)
    file = folder / METADATA_FILE
    values = read_json(file, str(folder))
    values["base"] = Path(values["base"]).name if is_path(values["base"]) else values["base"]
    file.write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
