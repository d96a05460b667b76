"""A checkpoint's tokenizer for the audit, before any weight is opened.

    tokenizer = build.reader(config.model, targets, labels, instruction=task.instruction)
    audit(task, split, tokenizer)

New tokens that the data would get count as known: training adds them, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from terakoya.config import ModelConfig
from terakoya.errors import DataError, need
from terakoya.models.pretrained import new_tokens
from terakoya.models.pretrained.checkpoint_files import find_checkpoint, read_json
from terakoya.models.pretrained.loading import capture_warnings, load_tokenizer
from terakoya.models.pretrained.prompt import make_prompt
from terakoya.models.pretrained.tokenizer import PromptTokenizer
from terakoya.models.protocol import Query

_PROBE = "一"  # the tokens that a prompt adds are counted around it


class AuditTokenizer:
    """What the audit wants of a tokenizer (data/audit/tokens.py): ids, their text, and how many fit.

    tokenizer   of the checkpoint, with the new tokens
    max_source  tokens of a source that fit, the prompt's own not counted (0: no limit)
    max_target  tokens of a target that fit, its end not counted (0: no limit)
    """

    def __init__(self, tokenizer: PromptTokenizer, max_source: int, max_target: int) -> None:
        self.tokenizer, self.max_source, self.max_target = tokenizer, max_source, max_target
        self.unknown = tokenizer.unknown_id

    def encode(self, text: str) -> Sequence[int]:
        """Ids of `text` as a target where that loses nothing, else as the tokenizer itself encodes it."""
        try:
            return self.tokenizer.encode_target(text)
        except DataError:
            ids: list[int] = self.tokenizer.backend.encode(text, add_special_tokens=False).ids
            return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these `ids`."""
        return self.tokenizer.decode(ids)


def reader(
    config: ModelConfig, targets: Collection[str], labels: Sequence[str] = (), instruction: str = ""
) -> AuditTokenizer:
    """The tokenizer of `config.base` with the new tokens that this data would get. Opens no weights.

    config       names the checkpoint and says whether tokens are added
    targets      texts that the model shall write
    labels       of a task whose targets are labels
    instruction  text before every source, unless the config has its own
    """
    transformers = need("transformers", extra="hub")
    checkpoint = find_checkpoint(config.base, config.revision)
    with capture_warnings():
        hf_tokenizer = load_tokenizer(transformers, checkpoint)
    causal = not checkpoint.config.get("is_encoder_decoder", False)
    tokenizer = PromptTokenizer(hf_tokenizer, end_ids=_end_ids(checkpoint.folder), after_prompt=causal)
    if config.new_tokens == "needed":
        tokenizer.add_tokens(
            new_tokens.needed_tokens(set(targets), labels, tokenizer.can_encode, tokenizer.is_byte_encoded)
        )
    prompt = make_prompt(tokenizer, causal=causal, kind=config.template, instruction=config.instruction or instruction)
    added = len(prompt.prompt_ids(Query(_PROBE))) - len(tokenizer.encode_prompt([(_PROBE, True)]))
    positions = int(checkpoint.config.get("max_position_embeddings") or 0)
    most = config.max_source or (positions - 1 if positions else 0)
    return AuditTokenizer(tokenizer, max(1, most - added) if most else 0, max(0, config.max_target - 1))


def _end_ids(folder: Path) -> list[int]:
    """Ids that end a text, by the generation settings beside the weights."""
    if not (folder / "generation_config.json").is_file():
        return []
    ends = read_json(folder / "generation_config.json", str(folder)).get("eos_token_id")
    return [end for end in (ends if isinstance(ends, list) else [ends]) if isinstance(end, int)]
