"""What the built-in guards share: a finding is reported once, also across an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def was_reported(state: Mapping[str, Any]) -> bool:
    """Whether a guard had reported its finding when a checkpoint was made.

    state  what the guard's `state()` returned; checkpoints of the first format hold it as "told"
    """
    return bool(state.get("reported", state.get("told", False)))
