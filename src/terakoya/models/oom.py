"""Out-of-memory errors: recognised from whatever library raises them, and the memory of a failed attempt released."""

from __future__ import annotations

import gc

import torch

_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def is_oom(error: BaseException) -> bool:
    """Whether `error` is a failed allocation: of torch on a GPU, of torch on a CPU, or of Python."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error).lower() for message in _MESSAGES)


def release_memory() -> None:
    """Free what a failed attempt left behind. To be called when its exception, which holds references, is gone."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
