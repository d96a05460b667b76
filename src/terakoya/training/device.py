"""What the device that a training runs on can do, and the memory that it still has."""

from __future__ import annotations

from typing import Literal

import torch

from terakoya.models import memory

Precision = Literal["no", "bf16"]


def precision(device: str, *, pretrained: bool, dtype: str) -> Precision:
    """Mixed precision in bfloat16 for pretrained models where the GPU computes in it and the config leaves it open.

    Weights and optimizer stay in float32. Built-in models are too small to gain, and keep their bits.

    device      of the config: "auto", "cpu", "cuda" or "mps"
    pretrained  whether the model is a pretrained one
    dtype       `model.dtype` of the config
    """
    able = device in ("auto", "cuda") and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16" if able and pretrained and dtype == "auto" else "no"


def available_memory(device: torch.device | None = None) -> int | None:
    """Bytes that can still be allocated; None where that is not known.

    device  a CUDA device, or None for main memory
    """
    if device is not None and device.type == "cuda":
        # What torch has reserved and does not use is as good as free.
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + spare
    return memory.available_memory()
