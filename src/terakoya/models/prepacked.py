"""Weights laid out for the products of a processor while a model is asked: packed once, not anew at every token.

A matrix product on a processor copies its weight, piece by piece, into the order in which the arithmetic takes it. For
the few rows of a step of decoding that copy costs up to two thirds of the time, and it is the same copy at every step.
Inside `packed` weights stand still, so oneDNN keeps them in that order. Sums are the same, in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.memory import memory_left
from terakoya.models.oom import is_oom
from terakoya.models.pretrained.vocabulary import Head

_ASKS = 16  # from which packing, some steps' worth of products, is won back
_WEIGHTS = 1 << 17  # below it the call costs more than the order saves
_CLOSE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # how near the sums of a trial must come
_SHARE = 4  # the copies take at most one part in so many of the memory that is left


@contextmanager
def packed(module: nn.Module, asks: int) -> Iterator[None]:
    """Inside, the large linear layers of a module on a processor compute from packed copies of their weights.

    asks  how many answers are asked for: for few, or where memory is short, everything stays as it is
    """
    ways = _packed(_worth(module)) if asks >= _ASKS else {}
    for part, way in ways.items():
        setattr(part, _name(part), way)
    try:
        yield
    finally:
        for part in ways:
            vars(part).pop(_name(part), None)  # another thread that asks the same model may have been quicker


def _packed(parts: Sequence[nn.Linear]) -> dict[nn.Linear, Callable[[Tensor], Tensor]]:
    """The way of each layer; none where memory runs out all the same, for it is needed for the answers."""
    try:
        return {part: _product(part.weight, part.bias) for part in parts}
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return {}


def _worth(module: nn.Module) -> list[nn.Linear]:
    """Layers whose product is the library's own; none where the copies do not fit."""
    found = [
        part
        for part in module.modules()
        if isinstance(part, nn.Linear) and _name(part) and _name(part) not in vars(part) and _suits(part.weight)
    ]
    bytes_more, left = sum(part.weight.nbytes for part in found), memory_left()
    return [] if left is not None and bytes_more > left // _SHARE else found


def _name(part: nn.Linear) -> str:
    """Of the method that is the plain product: the whole way of the library's class, or what a class of ours calls so;
    "" where nobody knows."""
    if type(part) is nn.Linear:
        return "forward"
    return "product" if isinstance(part, Head) else ""


def _suits(weight: Tensor) -> bool:
    on_processor = weight.device.type == "cpu" and weight.layout is torch.strided
    return on_processor and weight.numel() >= _WEIGHTS and _able(weight.dtype)


@cache
def _able(dtype: torch.dtype) -> bool:
    """Whether this build of torch and this processor do it, and come to what the plain product comes to."""
    if dtype not in _CLOSE or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    chance = torch.Generator().manual_seed(0)
    x, bias = torch.randn(2, 3, 32, generator=chance).to(dtype), torch.randn(48, generator=chance).to(dtype)
    weight = torch.randn(48, 32, generator=chance).to(dtype)
    try:
        with torch.inference_mode():
            found = _product(weight, bias)(x.transpose(0, 1))
            wanted = functional.linear(x.transpose(0, 1), weight, bias)
    except (AttributeError, NotImplementedError, RuntimeError):  # an operator that is not there, or another of its name
        return False
    near = _CLOSE[dtype]
    return found.shape == wanted.shape and found.dtype == dtype and torch.allclose(found, wanted, rtol=near, atol=near)


def _product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    library: Any = torch.ops.mkldnn
    kept = library._reorder_linear_weight(weight.detach(), None)

    def forward(x: Tensor) -> Tensor:
        if x.dtype != weight.dtype:
            return functional.linear(x, weight, bias)
        found: Tensor = library._linear_pointwise(x, kept, bias, "none", [], "")
        return found

    return forward
