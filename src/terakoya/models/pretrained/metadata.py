"""What a pretrained model is besides its weights: the metadata that a saved folder carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya.config.reading import is_path
from terakoya.records import Finding


@dataclass(frozen=True)
class PretrainedMetadata:
    """What a pretrained model is besides its weights; together they are all of a saved folder.

    base         Hub name, or whole path of the folder or GGUF file that it was made from
    base_fingerprint  of that folder's weights, where an adapter needs them; "" else
    revision     commit of a Hub name, "" for a folder
    folder       where the files lie that it was opened from
    template     "chat" or "plain"; "auto" until the prompt is made
    instruction  text before every source
    kept_ids     full ids of a trimmed vocabulary, in the order of its rows (None: not trimmed)
    new_tokens   tokens that were added to the tokenizer
    lora         settings of peft (None: all weights are trained)
    merge        whether saving folds the adapters into the weights
    max_source   tokens of a prompt at most (0: what the model's positions allow)
    max_target   tokens of a target at most, its end included (0: the same)
    forward      "fused" where verified fused layers may be used, "library" where all is as in transformers
    gguf         architecture, quantisation and sha256 of the GGUF file that it was made from; {} for all else
    findings     what was noticed while the checkpoint was opened
    """

    base: str
    base_fingerprint: str = ""
    revision: str = ""
    folder: str = ""
    template: str = "auto"
    instruction: str = ""
    kept_ids: tuple[int, ...] | None = None
    new_tokens: tuple[str, ...] = ()
    lora: dict[str, Any] | None = None
    merge: bool = True
    max_source: int = 0
    max_target: int = 0
    forward: str = "fused"
    gguf: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """What it was made from, in short: a Hub name, or the name of a folder."""
        return Path(self.base).name if is_path(self.base) else self.base


# What a saved folder may say: name → its types. Whoever made the folder may have written anything.
_TYPES: Mapping[str, tuple[type, ...]] = {
    "base": (str,), "base_fingerprint": (str,), "revision": (str,), "template": (str,), "instruction": (str,),
    "lora": (dict, type(None)), "merge": (bool,), "max_source": (int,), "max_target": (int,), "forward": (str,),
    "gguf": (dict,),
}  # fmt: skip
# Of peft's settings the ones that we write: others name modules to be imported, or files.
_LORA: Mapping[str, tuple[type, ...]] = {
    "r": (int,), "lora_alpha": (int, float), "lora_dropout": (int, float), "target_modules": (str, list),
    "bias": (str,),
}  # fmt: skip


def metadata_of_values(values: Mapping[str, Any], folder: str) -> PretrainedMetadata:
    """The metadata that a saved folder holds.

    values  content of its file
    folder  where it lies
    Raises ValueError, naming the value, where it is none that `save` writes.
    """
    known = {"base": values["base"]} | {name: values[name] for name in _TYPES if name in values}
    _check(known, _TYPES)
    if not all(isinstance(value, str) for value in known.get("gguf", {}).values()):
        raise ValueError("gguf")
    lora = known.get("lora")
    if lora is not None:
        if set(lora) - set(_LORA):
            raise ValueError("lora")
        _check(lora, _LORA)
        targets = lora.get("target_modules")
        if targets != "all-linear" and not (isinstance(targets, list) and all(isinstance(one, str) for one in targets)):
            raise ValueError("target_modules")  # a text is a pattern to peft, and some patterns never end
    kept, added = values["kept"], values["new_tokens"]
    if kept is not None and not (isinstance(kept, list) and all(type(one) is int and one >= 0 for one in kept)):
        raise ValueError("kept")
    if not isinstance(added, list) or not all(isinstance(one, str) for one in added):
        raise ValueError("new_tokens")
    return PretrainedMetadata(
        **known, kept_ids=None if kept is None else tuple(kept), new_tokens=tuple(added), folder=folder
    )


def _check(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    for name, value in values.items():
        if type(value) not in types[name]:
            raise ValueError(name)
