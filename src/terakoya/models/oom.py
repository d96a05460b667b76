"""Memory that could not be had: recognised whoever says it, and what a failed attempt held given back."""

from __future__ import annotations

import gc

import torch

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def is_oom(error: BaseException) -> bool:
    """Whether this is memory that could not be had: torch on a GPU, torch on a processor, Python."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def released() -> None:
    """Give back what a failed attempt left behind. To be called when its exception, which holds it, is gone."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
