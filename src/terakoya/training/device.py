"""What the device that a training runs on can do, and the memory that it still has."""

from __future__ import annotations

from typing import Literal

import torch

from terakoya.models import memory

Precision = Literal["no", "bf16"]


def precision(device: str, *, pretrained: bool, dtype: str) -> Precision:
    """Mixed precision in bfloat16 for pretrained models: weights and optimizer stay in float32.

    Where the config leaves it open, it is used on a GPU that computes in bfloat16. On a processor it is used where the
    config wants it: matrix units (AMX) multiply matrices 4.5 times as fast so, but whether a real base is trained as
    well has not been measured. Built-in models are too small to gain, and keep their bits.

    device      of the config: "auto", "cpu", "cuda" or "mps"
    pretrained  whether the model is a pretrained one
    dtype       `model.dtype` of the config
    """
    if not pretrained or dtype not in ("auto", "mixed"):
        return "no"
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "no"
    return "bf16" if dtype == "mixed" and _is_processor(device) else "no"


def has_matrix_units() -> bool:
    """Whether this processor multiplies matrices of bfloat16 in units of their own (AMX)."""
    return bool(torch.cpu._is_amx_tile_supported())


def mixed_precision_is_slow(device: str) -> bool:
    """Whether mixed precision would cost time instead of saving it: on a processor without matrix units.

    device  of the config
    """
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    return not on_gpu and _is_processor(device) and not has_matrix_units()


def _is_processor(device: str) -> bool:
    return device == "cpu" or (device == "auto" and not torch.backends.mps.is_available())


def available_memory(device: torch.device | None = None) -> int | None:
    """Bytes that can still be allocated; None where that is not known.

    device  a CUDA device, or None for main memory
    """
    if device is not None and device.type == "cuda":
        # What torch has reserved and does not use is as good as free.
        spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + spare
    return memory.available_memory()
