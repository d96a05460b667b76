"""What quick layers of every kind share beside their products: precision, what is made once a pass, the trial."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.pretrained.fused import tree_attention

_ALIGNED = 16  # numbers from one row of a mask to the next: the kernels copy a mask that lies otherwise, in every layer


def product_dtype(x: Tensor) -> torch.dtype:
    """What products of x are worked out in: autocast's dtype where it is on, or that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def known_precision(weight: Tensor, x: Tensor) -> bool:
    """Whether weights and x are both float32, or both of the half precision that products are worked out in."""
    return weight.dtype == x.dtype and (x.dtype == torch.float32 or product_dtype(x) == x.dtype)


def norm_facts(one: Any) -> tuple[float | None, float]:
    """What an RMS norm adds to its weight, and its epsilon; None where the module is another function. By trial."""
    tried = one if one.weight.dtype == torch.float32 else copy.deepcopy(one).float()
    return tree_attention.shift(tried), tree_attention.epsilon(one)


def watched(parts: Sequence[nn.Module]) -> bool:
    """Whether somebody looks at what these parts give: then they have to be called one by one."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in parts)


def norm(x: Tensor, scale: Tensor | None, width: int, eps: float) -> Tensor:
    """x · rsqrt(mean(x²) + eps) · scale over the last dimension, worked out and given in float32."""
    return functional.rms_norm(x.float(), (width,), scale, eps)


# ── what is the same in every layer of a pass ────────────────────────────────────────────────────────────────


class Prepared:
    """Made once a pass; known again by being made of the very same tensors."""

    def __init__(self) -> None:
        self._kept: list[tuple[tuple[Any, ...], Any]] = []

    def angles(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 1, W) each, half of sin with its sign changed: x · cos + (x rolled by W/2) · sin is x turned."""

        def make() -> tuple[Tensor, Tensor]:
            first, second = sin.float().chunk(2, -1)
            return cos.float()[:, :, None], torch.cat((-first, second), -1)[:, :, None]

        return self._known((cos, sin), make)  # type: ignore[no-any-return]

    def mask(
        self, mask: Tensor | None, dtype: torch.dtype, *, bias: Tensor | None = None, causal: int = 0
    ) -> Tensor | None:
        """What is added to scores, in rows that lie aligned: a bias where something is seen, -inf elsewhere.

        mask    (B, 1, T, S), True where something is seen, or numbers to be added
        causal  T, where without a mask a place sees those up to itself; 0 where it sees everything
        None comes out where nothing went in.
        """
        if mask is None and bias is None and not causal:
            return None
        return self._known((mask, bias, dtype, causal), lambda: _added(mask, bias, causal, dtype))  # type: ignore[no-any-return]

    def _known(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        for known, made in self._kept:
            if len(known) == len(key) and all(one is other for one, other in zip(known, key, strict=True)):
                return made
        made = make()
        self._kept = [*self._kept[-3:], (key, made)]  # two kinds of angles and two of masks
        return made


def _added(mask: Tensor | None, bias: Tensor | None, causal: int, dtype: torch.dtype) -> Tensor:
    if mask is None and causal:
        assert bias is not None
        mask = torch.ones(causal, causal, dtype=torch.bool, device=bias.device).tril()[None, None]
    found = bias
    if mask is not None and mask.dtype == torch.bool:
        seen = mask.new_zeros(mask.shape, dtype=torch.float32) if bias is None else bias
        found = seen.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        found = mask if bias is None else bias + mask
    assert found is not None
    size = found.shape[-1]
    return functional.pad(found.to(dtype), (0, -size % _ALIGNED))[..., :size]


# ── trial ────────────────────────────────────────────────────────────────────────────────────────────────────

Way = Callable[..., Sequence[Tensor]]


def agree(layer: nn.Module, own: Way, quick: Way, given: Mapping[str, Tensor]) -> bool:
    """Whether two ways come to the same on this layer in float32: values, and derivatives by what is given and by all
    weights. A way that cannot be gone is another one."""
    with _at_rest(layer):
        try:
            one, other = (_slopes(way, layer, given) for way in (own, quick))
        except (ValueError, RuntimeError, TypeError, IndexError, KeyError, AttributeError):
            return False
    apart = (((a - b).norm(), a.norm() + b.norm()) for a, b in zip(one, other, strict=True))
    return all(bool(between <= 1e-4 * size + 1e-9) for between, size in apart)


@contextmanager
def _at_rest(layer: nn.Module) -> Iterator[None]:
    """Without dropout, and with derivatives whatever the caller switched off."""
    was = layer.training
    layer.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        layer.train(was)


def _slopes(way: Way, layer: nn.Module, given: Mapping[str, Tensor]) -> list[Tensor]:
    told = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    found = way(**told)
    chance = torch.Generator().manual_seed(1)
    whole = torch.stack([(part * torch.randn(part.shape, generator=chance)).sum() for part in found]).sum()
    slopes = torch.autograd.grad(whole, [*told.values(), *weights], allow_unused=True)
    return [part.detach() for part in found] + [torch.zeros(1) if slope is None else slope for slope in slopes]
