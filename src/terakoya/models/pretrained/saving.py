"""A trained checkpoint on disk: what plain `from_pretrained` opens, with what Terakoya needs to know beside it.

Weights are those of the base's architecture under their usual names: LoRA merged (unless `merge` is off, which writes a
peft adapter instead), trimmed rows back in the full table, new rows at their ids. The model in memory is not changed by
saving it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from terakoya.errors import ConfigError, need
from terakoya.i18n import _
from terakoya.models.pretrained.checkpoint_errors import corrupt
from terakoya.models.pretrained.checkpoint_files import fingerprint_weights, read_json
from terakoya.models.pretrained.loading import capture_warnings
from terakoya.models.pretrained.metadata import PretrainedMetadata
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.tokenizer import PromptTokenizer
from terakoya.models.pretrained.vocabulary import VocabularyTables

METADATA_FILE = "terakoya-model.json"
FORMAT = 1
ADAPTER, NEW_ROWS = "adapter_model.safetensors", "new_rows.safetensors"
# transformers 5 writes no copy of these, yet other tools (llama.cpp, CTranslate2) look for them.
_VOCABULARY_FILES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
_PATH_KEYS = (
    "name_or_path", "_name_or_path", "tokenizer_file", "vocab_file", "special_tokens_map_file", "local_files_only",
    "is_local",
)  # fmt: skip


class SavableModel(Protocol):
    """The parts of a pretrained model from which a folder is written."""

    core: Any
    vocabulary: VocabularyTables
    tokenizer: PromptTokenizer
    prompt: Prompt
    metadata: PretrainedMetadata


def save(model: SavableModel, folder: Path) -> None:
    """Write a model that opens again with `build.load` and, unless it is an adapter, with plain from_pretrained.

    model   a pretrained model
    folder  made where it is missing
    Raises ConfigError where it is the very folder from which the model was opened.
    """
    metadata = model.metadata
    if metadata.folder and folder.exists() and folder.resolve() == Path(metadata.folder).resolve():
        raise ConfigError(
            _("a trained model is not written over its base"),
            where=str(folder),
            do=_("Name another folder."),
        )
    folder.mkdir(parents=True, exist_ok=True)
    values = _metadata_values(model, folder)
    if metadata.lora is None or metadata.merge:
        _save_merged(model, folder)
    else:
        _save_adapter(model, folder, values["base"])
    save_tokenizer(model, folder)
    text = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
    (folder / METADATA_FILE).write_text(text, encoding="utf-8")


def _metadata_values(model: SavableModel, folder: Path) -> dict[str, Any]:
    metadata = model.metadata
    adapter = metadata.lora is not None and not metadata.merge
    local = Path(metadata.base).is_absolute()
    left_out = ("folder", "findings", "kept_ids", "new_tokens")
    values = {key: value for key, value in asdict(replace(metadata, findings=())).items() if key not in left_out}
    return values | {
        "kept": None if metadata.kept_ids is None else list(metadata.kept_ids),
        "new_tokens": list(metadata.new_tokens),
        "format": FORMAT,
        "adapter": adapter,
        # A folder by its way from here, so that both can be moved together, and by its weights, so that it is found.
        "base": Path(os.path.relpath(metadata.base, folder)).as_posix() if local else metadata.base,
        "base_fingerprint": fingerprint_weights(Path(metadata.base)) if adapter and local else "",
        "template": "chat" if model.prompt.template else "plain",
    }


def merged_weights(model: SavableModel) -> dict[str, Tensor]:
    """Weights of `model` under the architecture's own names, with LoRA merged and the full vocabulary in place."""
    tables = model.vocabulary.tables
    embeddings, head = model.vocabulary.full()
    full_tables = {id(table.weight): embeddings for table in tables.inputs} | (
        {} if tables.tied else {id(tables.head.weight): head}
    )
    weights: dict[str, Tensor] = {}
    for name, weight in model.core.state_dict(keep_vars=True).items():
        if "lora_" in name or name.endswith(".fresh"):
            continue
        if ".base_layer." in name:
            layer = model.core.get_submodule(name.split(".base_layer.")[0])
            delta = layer.get_delta_weight("default") if name.endswith("weight") else 0
            weights[name.replace(".base_layer", "")] = (weight.detach() + delta).cpu()
        else:
            weights[name] = full_tables.get(id(weight), weight.detach().cpu())
    return weights


@torch.no_grad()
def _save_merged(model: SavableModel, folder: Path) -> None:
    module = model.core
    with _full_vocabulary_size(model), capture_warnings():
        module.save_pretrained(folder, state_dict=merged_weights(model))
    config = read_json(folder / "config.json", str(folder))
    config.pop("_name_or_path", None)
    _write_json(folder / "config.json", config)


@contextmanager
def _full_vocabulary_size(model: SavableModel) -> Iterator[None]:
    """Inside, the config has the number of rows of the full table, as it is to be written."""
    configs = [model.core.config, model.core.config.get_text_config()]
    before = [config.vocab_size for config in configs]
    for config in configs:
        config.vocab_size = model.vocabulary.id_map.rows
    try:
        yield
    finally:
        for config, size in zip(configs, before, strict=True):
            config.vocab_size = size


@torch.no_grad()
def _save_adapter(model: SavableModel, folder: Path, base: str) -> None:
    """A peft adapter: its folder opens with `build.load`, or with peft on the same base where no token was added."""
    peft = need("peft", extra="hub")
    assert model.metadata.lora is not None
    weights = {
        _peft_name(name): weight.detach().cpu().contiguous()
        for name, weight in model.core.named_parameters()
        if "lora_" in name
    }
    save_file(weights, folder / ADAPTER, metadata={"format": "pt"})
    settings = peft.LoraConfig(**model.metadata.lora)
    settings.base_model_name_or_path, settings.revision = base, model.metadata.revision or None
    settings.inference_mode = True
    settings.save_pretrained(folder)
    if model.vocabulary.fresh:
        rows = {name: row.detach().cpu().contiguous() for name, row in model.vocabulary.fresh_rows().items()}
        save_file(rows, folder / NEW_ROWS)


def _peft_name(name: str) -> str:
    """The name that peft gives an adapter's weight in its files."""
    return "base_model.model." + name.replace(".default.", ".")


def load_adapter(model: SavableModel, folder: Path) -> None:
    """Copy adapter weights and new rows into a model that already has adapters.

    model   of the same base, changed in place
    folder  that `save` wrote with `merge` off
    Raises CorruptError where the adapter does not fit the base.
    """
    saved = load_file(folder / ADAPTER)
    with torch.no_grad():
        for name, weight in model.core.named_parameters():
            if "lora_" not in name:
                continue
            found = saved.get(_peft_name(name))
            if found is None or found.shape != weight.shape:
                raise corrupt(
                    _("the adapter does not fit its base ({name})", name=name),
                    str(folder),
                    _("Bring the base on which it was trained, or train it again."),
                )
            weight.copy_(found)
        if model.vocabulary.fresh:
            rows = load_file(folder / NEW_ROWS)
            for name, row in model.vocabulary.fresh_rows().items():
                row.copy_(rows[name])


def save_tokenizer(model: SavableModel, folder: Path) -> None:
    """Write the files of the tokenizer of `model` to `folder`, without the paths of this machine."""
    opened_from = model.metadata.folder
    with capture_warnings():
        model.tokenizer.hf_tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = read_json(file, str(folder))
    for key in [key for key, value in settings.items() if key in _PATH_KEYS or _is_local(value, opened_from)]:
        del settings[key]
    _write_json(file, settings)
    for name in _VOCABULARY_FILES:
        source = Path(opened_from) / name
        if opened_from and source.is_file() and not (folder / name).exists():
            shutil.copyfile(source, folder / name)


def _is_local(value: Any, folder: str) -> bool:
    return isinstance(value, str) and bool(folder) and value.startswith(folder)


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
