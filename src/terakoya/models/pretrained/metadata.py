"""What a hub model is besides its weights: the facts that a saved folder carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from terakoya.records import Finding


@dataclass(frozen=True)
class About:
    """What a hub model is besides its weights; with the weights, all of a saved folder.

    base, revision  where it came from; `folder` the files it was opened from
    template        "chat" or "plain", as it was settled
    kept            full ids of a trimmed vocabulary, in working order (None: full)
    new_tokens      tokens that were added
    forward         "quick" where parts of it may be ours, "library" where all is as transformers writes it
    lora            peft's settings (None: full training); `merge` folds them into the weights on saving
    """

    base: str
    revision: str = ""
    folder: str = ""
    template: str = "auto"
    instruction: str = ""
    kept: tuple[int, ...] | None = None
    new_tokens: tuple[str, ...] = ()
    lora: dict[str, Any] | None = None
    merge: bool = True
    max_source: int = 0
    max_target: int = 0
    forward: str = "quick"
    findings: tuple[Finding, ...] = field(default=(), compare=False)
