"""What the machine that a training runs on can do, and what it still has."""

from __future__ import annotations

from typing import Literal

import torch

from terakoya import memory

Precision = Literal["no", "bf16"]


def precision(device: str, *, pretrained: bool, dtype: str) -> Precision:
    """Mixed precision in bfloat16 for pretrained models where the GPU computes in it and the config leaves it open.

    Weights and optimizer stay in float32. Built-in models are too small to gain, and keep their bits.
    """
    able = device in ("auto", "cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16" if able and pretrained and dtype == "auto" else "no"


def memory_left(device: torch.device | None = None) -> int | None:
    """Bytes that may still be taken, of the device or of the processor's memory; None where nobody tells."""
    if device is not None and device.type == "cuda":
        # What torch holds and does not use is as good as free.
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + spare
    return memory.memory_left()
