"""What a pretrained model is besides its weights: the metadata that a saved folder carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from terakoya.records import Finding


@dataclass(frozen=True)
class PretrainedMetadata:
    """What a pretrained model is besides its weights; together they are all of a saved folder.

    base         Hub name or folder that it was made from
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
    findings     what was noticed while the checkpoint was opened
    """

    base: str
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
    findings: tuple[Finding, ...] = field(default=(), compare=False)
