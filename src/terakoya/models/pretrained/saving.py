"""A taught checkpoint on disk: what plain `from_pretrained` opens, and what the house needs to know beside it.

Weights are those of the base's architecture under their usual names: LoRA folded in (unless `merge` is off, which
writes a peft adapter instead), trimmed rows back in the full table, new rows at their places. Nothing of the model in
memory is changed by saving it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from terakoya.errors import ConfigError, CorruptError, need
from terakoya.i18n import both
from terakoya.models.pretrained.checkpoint_files import read_json
from terakoya.models.pretrained.loading import heard
from terakoya.models.pretrained.metadata import About
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.tokenizer import Tokens
from terakoya.models.pretrained.vocabulary import Words

ABOUT = "terakoya-model.json"
FORMAT = 1
ADAPTER, NEW_ROWS = "adapter_model.safetensors", "new_rows.safetensors"
# transformers 5 writes no copy of these, yet other tools (llama.cpp, CTranslate2) ask for them.
_VOCABULARY_FILES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
_PATH_KEYS = (
    "name_or_path", "_name_or_path", "tokenizer_file", "vocab_file", "special_tokens_map_file", "local_files_only",
    "is_local",
)  # fmt: skip


class Savable(Protocol):
    """The parts of a hub model that a folder is made of."""

    core: Any
    words: Words
    tokens: Tokens
    prompt: Prompt
    about: About


def save(model: Savable, folder: Path) -> None:
    """Write the folder. Raises ConfigError where it is the very folder that the model was opened from."""
    about = model.about
    if about.folder and folder.exists() and folder.resolve() == Path(about.folder).resolve():
        raise ConfigError(
            both("a taught model is not written over its base", "学習済みのモデルを元のモデルの上に書くことはしない"),
            where=str(folder),
            do=both("Name another folder.", "別のフォルダを指定すること。"),
        )
    folder.mkdir(parents=True, exist_ok=True)
    if about.lora is None or about.merge:
        _save_whole(model, folder)
    else:
        _save_adapter(model, folder)
    _save_tokenizer(model, folder)
    kept = {"kept": None if about.kept is None else list(about.kept), "new_tokens": list(about.new_tokens)}
    facts = {
        key: value for key, value in asdict(about).items() if key not in ("folder", "findings", "kept", "new_tokens")
    }
    adapter = about.lora is not None and not about.merge
    facts |= kept | {"format": FORMAT, "adapter": adapter, "template": "chat" if model.prompt.template else "plain"}
    (folder / ABOUT).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def plain_weights(model: Savable) -> dict[str, Tensor]:
    """Weights under the architecture's own names, LoRA folded in and the full vocabulary in place."""
    tables = model.words.tables
    embeddings, head = model.words.full()
    own = {id(table.weight): embeddings for table in tables.inputs} | (
        {} if tables.tied else {id(tables.head.weight): head}
    )
    found: dict[str, Tensor] = {}
    for name, weight in model.core.state_dict(keep_vars=True).items():
        if "lora_" in name or name.endswith(".fresh"):
            continue
        if ".base_layer." in name:
            layer = model.core.get_submodule(name.split(".base_layer.")[0])
            added = layer.get_delta_weight("default") if name.endswith("weight") else 0
            found[name.replace(".base_layer", "")] = (weight.detach() + added).cpu()
        else:
            found[name] = own.get(id(weight), weight.detach().cpu())
    return found


@torch.no_grad()
def _save_whole(model: Savable, folder: Path) -> None:
    module = model.core
    with _as_if_full(model), heard():
        module.save_pretrained(folder, state_dict=plain_weights(model))
    config = read_json(folder / "config.json", str(folder))
    config.pop("_name_or_path", None)
    _write(folder / "config.json", config)


@contextmanager
def _as_if_full(model: Savable) -> Iterator[None]:
    """The config says how many rows the full table has, while it is written."""
    configs = [model.core.config, model.core.config.get_text_config()]
    before = [config.vocab_size for config in configs]
    for config in configs:
        config.vocab_size = model.words.numbering.rows
    try:
        yield
    finally:
        for config, size in zip(configs, before, strict=True):
            config.vocab_size = size


@torch.no_grad()
def _save_adapter(model: Savable, folder: Path) -> None:
    """A peft adapter: its folder opens with `hub.load`, or with peft on the same base where no token was added."""
    peft = need("peft", extra="hub")
    assert model.about.lora is not None
    weights = {
        "base_model.model." + name.replace(".default.", "."): weight.detach().cpu().contiguous()
        for name, weight in model.core.named_parameters()
        if "lora_" in name
    }
    save_file(weights, folder / ADAPTER, metadata={"format": "pt"})
    settings = peft.LoraConfig(**model.about.lora)
    settings.base_model_name_or_path, settings.revision = model.about.base, model.about.revision or None
    settings.inference_mode = True
    settings.save_pretrained(folder)
    if model.words.fresh:
        rows = {name: own.detach().cpu().contiguous() for name, own in model.words.fresh_rows().items()}
        save_file(rows, folder / NEW_ROWS)


def read_adapter(model: Savable, folder: Path) -> None:
    """Fill LoRA's weights and new rows from a folder that `save` wrote."""
    held = load_file(folder / ADAPTER)
    with torch.no_grad():
        for name, weight in model.core.named_parameters():
            if "lora_" in name:
                found = held.get("base_model.model." + name.replace(".default.", "."))
                if found is None or found.shape != weight.shape:
                    raise CorruptError(
                        both(
                            f"the adapter does not fit its base ({name})", f"アダプタが元のモデルに合わない（{name}）"
                        ),
                        where=str(folder),
                        do=both(
                            "Bring the base that it was taught on, or teach it again.",
                            "学習に使った元のモデルを用意するか、学習し直すこと。",
                        ),
                    )
                weight.copy_(found)
        if model.words.fresh:
            rows = load_file(folder / NEW_ROWS)
            for name, own in model.words.fresh_rows().items():
                own.copy_(rows[name])


def _save_tokenizer(model: Savable, folder: Path) -> None:
    with heard():
        model.tokens.tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = read_json(file, str(folder))
    for key in [key for key, value in settings.items() if key in _PATH_KEYS or _is_local(value, model.about.folder)]:
        del settings[key]
    _write(file, settings)
    for name in _VOCABULARY_FILES:
        source = Path(model.about.folder) / name
        if model.about.folder and source.is_file() and not (folder / name).exists():
            shutil.copyfile(source, folder / name)


def _is_local(value: Any, folder: str) -> bool:
    return isinstance(value, str) and bool(folder) and value.startswith(folder)


def _write(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
