"""RMS norm (Zhang and Sennrich, 2019, arXiv:1910.07467) as one function with its own derivative.

It keeps the input and one value per row for the backward pass, in place of four tensors as large as the input. Which
modules are RMS norms is measured on each module, not looked up by its class. On a GPU the library's one kernel is used,
which saves a dozen launches each way.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.pretrained.fused import dispatch


class RMSNorm(torch.autograd.Function):
    """x · rsqrt(mean(x²) + eps) · w over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """The norm of `x` (…, D) with `weight` (D,) and `eps`; `ctx` keeps what the backward pass needs."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse: Tensor = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients with respect to x and the weight from the `gradient` of the output and what `ctx` kept."""
        x, weight, inverse = ctx.saved_tensors
        size = x.shape[-1]
        product = (gradient * x).reshape(-1, size)
        along = torch.mv(product, weight).view(inverse.shape).mul_(inverse.square()).div_(size)
        weight_gradient = torch.mv(product.t(), inverse.reshape(-1))
        return (gradient * weight).addcmul_(x, along, value=-1).mul_(inverse), weight_gradient, None


def rms_norm(x: Tensor, scale: Tensor | None, width: int, eps: float) -> Tensor:
    """RMS norm in float32, by the library's kernel.

    x      (…, width), any floating-point dtype
    scale  (width,) in float32, None for 1
    width  of the last dimension
    eps    added to the mean of squares
    """
    return functional.rms_norm(x.float(), (width,), scale, eps)


def patch_norms(module: nn.Module) -> int:
    """Replace the forward of every RMS norm in a model by the function above, where both give the same.

    module  a model of transformers, changed in place
    Returns how many norms were replaced.
    """
    count = 0
    for part in module.modules():
        offset = None if "forward" in vars(part) else weight_offset(part)
        if offset is not None:
            forward = _fused_forward(type(part).forward, offset, epsilon(part), _keeps_half_precision(part))
            part.forward = MethodType(forward, part)
            count += 1
    return count


def _fused_forward(original: Any, offset: float, eps: float, keeps_half: bool) -> Any:
    def forward(norm: Any, x: Tensor, *rest: Any, **options: Any) -> Tensor:
        weight: Tensor = norm.weight
        if rest or options or weight.dtype != torch.float32:
            return original(norm, x, *rest, **options)  # type: ignore[no-any-return]
        scale = weight + offset if offset else weight
        if dispatch.is_on_gpu(x):
            normalised = functional.rms_norm(x.float(), scale.shape, scale, eps)
            return normalised.to(x.dtype) if keeps_half else normalised
        if x.dtype != torch.float32:
            return original(norm, x)  # type: ignore[no-any-return]
        return RMSNorm.apply(x, scale, eps)  # type: ignore[no-any-return, no-untyped-call]

    return forward


def _keeps_half_precision(norm: Any) -> bool:
    """Whether half-precision input comes out in half precision though the weight is wider; families differ in it."""
    with torch.no_grad():
        out: Tensor = norm(torch.ones(1, norm.weight.shape[0], dtype=torch.bfloat16))
    return out.dtype == torch.bfloat16


def epsilon(norm: Any) -> float:
    """The epsilon of the module `norm`, 0 where it has none."""
    return float(getattr(norm, "eps", getattr(norm, "variance_epsilon", 0.0)) or 0.0)


def weight_offset(norm: Any) -> float | None:
    """What the module `norm` adds to its weight (Gemma: 1), measured; None where it is no RMS norm."""
    weight = norm._parameters.get("weight")
    if len(norm._parameters) != 1 or weight is None or weight.dim() != 1 or norm._modules or not epsilon(norm):
        return None
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return None
    rng = torch.Generator().manual_seed(0)
    sample = torch.randn(3, len(weight), generator=rng).to(weight.device)
    with torch.no_grad():
        wanted = norm(sample)
        for offset in (0.0, 1.0):
            fused = RMSNorm.apply(sample, weight + offset, epsilon(norm))  # type: ignore[no-untyped-call]
            if torch.allclose(fused, wanted, rtol=1e-5, atol=1e-6):
                return offset
    return None


def norm_constants(norm: Any) -> tuple[float | None, float]:
    """Weight offset and epsilon of the module `norm`, in any precision; the offset is None where it is no RMS norm."""
    in_float32 = norm if norm.weight.dtype == torch.float32 else copy.deepcopy(norm).float()
    return weight_offset(in_float32), epsilon(norm)
