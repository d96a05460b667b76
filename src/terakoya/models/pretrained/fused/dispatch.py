"""When a fused function may be used: on a GPU, in a known precision, with nobody observing the parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def is_on_gpu(x: Tensor) -> bool:
    """Whether operators on `x` are kernels launched on a GPU, where fewer launches save time."""
    return x.is_cuda


def matmul_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which matmuls of `x` are computed: autocast's where it is on, else that of x."""
    device_type = x.device.type
    return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else x.dtype


def is_known_precision(weight: Tensor, x: Tensor) -> bool:
    """Whether `weight` and `x` are both float32, or both of the half precision in which matmuls are computed."""
    return weight.dtype == x.dtype and (x.dtype == torch.float32 or matmul_dtype(x) == x.dtype)


def has_hooks(modules: Sequence[nn.Module]) -> bool:
    """Whether any of these `modules` has forward hooks: then they have to be called one by one."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in modules)
