"""Prepacked weights: the large linear layers of a model on a CPU, reordered once for many forward passes.

oneDNN copies a weight, block by block, into the layout that its matmul kernel reads. For the few rows of one decoding
step that copy takes up to two thirds of the time, and it is the same copy at every step. Inside `prepacked_weights` the
weights do not change, so one copy in that layout is kept. The sums are the same, in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.memory import available_memory
from terakoya.models.oom import is_oom
from terakoya.models.pretrained.vocabulary import NewRowsHead

_LEAST_QUERIES = 16  # from which the time of packing, that of a few steps, is won back
_LEAST_WEIGHTS = 1 << 17  # of a layer; below it the call costs more than the layout saves
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # relative and absolute, of the trial matmul
_MEMORY_DIVISOR = 4  # the copies take at most one part in so many of the free memory


@contextmanager
def prepacked_weights(module: nn.Module, queries: int) -> Iterator[None]:
    """Inside, the large linear layers of a module on a CPU compute from prepacked copies of their weights.

    module   the network; its weights must not change inside
    queries  how many queries will be processed: for few, or where memory is short, nothing is prepacked
    """
    forwards = _try_to_pack(_layers_to_pack(module)) if queries >= _LEAST_QUERIES else {}
    for layer, forward in forwards.items():
        setattr(layer, _method_name(layer), forward)
    try:
        yield
    finally:
        for layer in forwards:
            vars(layer).pop(_method_name(layer), None)  # another thread with the same model may have removed it


def _try_to_pack(layers: Sequence[nn.Linear]) -> dict[nn.Linear, Callable[[Tensor], Tensor]]:
    """The new forward of each layer; none where memory runs out after all, for decoding itself needs it."""
    try:
        return {layer: _prepacked_linear(layer.weight, layer.bias) for layer in layers}
    except (RuntimeError, MemoryError) as error:
        if not is_oom(error):
            raise
        return {}


def _layers_to_pack(module: nn.Module) -> list[nn.Linear]:
    """Large layers whose forward is a plain matmul; none where the copies do not fit into memory."""
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Linear)
        and _method_name(layer)
        and _method_name(layer) not in vars(layer)
        and _is_packable(layer.weight)
    ]
    bytes_more, left = sum(layer.weight.nbytes for layer in layers), available_memory()
    return [] if left is not None and bytes_more > left // _MEMORY_DIVISOR else layers


def _method_name(layer: nn.Linear) -> str:
    """The method that is the plain matmul; "" for subclasses whose forward may do anything else."""
    if type(layer) is nn.Linear:
        return "forward"
    return NewRowsHead.frozen_logits.__name__ if isinstance(layer, NewRowsHead) else ""


def _is_packable(weight: Tensor) -> bool:
    on_cpu = weight.device.type == "cpu" and weight.layout is torch.strided
    return on_cpu and weight.numel() >= _LEAST_WEIGHTS and _is_supported(weight.dtype)


@cache
def _is_supported(dtype: torch.dtype) -> bool:
    """Whether this build of torch on this CPU has the operators, and a trial agrees with the plain matmul."""
    if dtype not in _TOLERANCES or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    rng = torch.Generator().manual_seed(0)
    x, bias = torch.randn(2, 3, 32, generator=rng).to(dtype), torch.randn(48, generator=rng).to(dtype)
    weight = torch.randn(48, 32, generator=rng).to(dtype)
    try:
        with torch.inference_mode():
            result = _prepacked_linear(weight, bias)(x.transpose(0, 1))
            expected = functional.linear(x.transpose(0, 1), weight, bias)
    except (AttributeError, NotImplementedError, RuntimeError):  # an operator that is missing, or another of its name
        return False
    tolerance = _TOLERANCES[dtype]
    same_kind = result.shape == expected.shape and result.dtype == dtype
    return same_kind and torch.allclose(result, expected, rtol=tolerance, atol=tolerance)


def _prepacked_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """`functional.linear` with a prepacked copy of the weight, for inputs of the weight's dtype."""
    mkldnn: Any = torch.ops.mkldnn
    prepacked_weight = mkldnn._reorder_linear_weight(weight.detach(), None)

    def forward(x: Tensor) -> Tensor:
        if x.dtype != weight.dtype:
            return functional.linear(x, weight, bias)
        result: Tensor = mkldnn._linear_pointwise(x, prepacked_weight, bias, "none", [], "")
        return result

    return forward
