"""Layers with a third of the operators, for devices on which a small model waits for each kernel launch.

A layer as libraries write it is a hundred operators forward and more backward: each weight is cast by itself, queries,
keys and values are projected one after the other, every layer prepares the mask anew. The fused forward that replaces
it on a GPU computes the same sums in the same precision: matmuls in autocast's dtype, norms and rotary angles in
float32, the residual stream in the dtype of the weights.

Whether a layer is of a kind that is known here (decoder_layer, lfm2_conv, t5_block) is measured on the layer itself.
Adapters as peft injects them are known too, without dropout of their own. Modules with hooks and layers of another kind
use the architecture's own forward; so does everything on a CPU, where launches are not what costs.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import nn

from terakoya.models.pretrained.fused import decoder_layer, lfm2_conv, t5_block
from terakoya.models.pretrained.fused.pass_cache import PassCache

_KINDS: tuple[Any, ...] = (decoder_layer, lfm2_conv, t5_block)


def patch_layers(module: nn.Module) -> int:
    """Replace the forward of layers by a fused one, where both give the same values and gradients.

    module  a model of transformers, changed in place
    Returns how many layers were patched.
    """
    cache = PassCache()
    verified: dict[tuple[Any, Any], bool] = {}
    count = 0
    for layer in module.modules():
        if "forward" in vars(layer):
            continue
        for kind in _KINDS:
            spec = kind.inspect_layer(layer)
            if spec is None:
                continue
            key = (spec, _signature(layer))
            if key not in verified:
                verified[key] = kind.is_equivalent(_testable(layer), spec)
            if verified[key]:
                layer.forward = MethodType(kind.fused_forward(type(layer).forward, spec, cache), layer)
                count += 1
    return count


def _signature(layer: nn.Module) -> frozenset[tuple[str, ...]]:
    """All that tells a layer from the next but its weights and its index: the class of every part, and its plain
    attributes. One class may rotate queries in some layers and not in others (SmolLM3); each such kind is verified."""
    return frozenset(
        (name, type(part).__qualname__, key, repr(value))
        for name, part in layer.named_modules()
        for key, value in {"": "", **vars(part)}.items()
        if isinstance(value, (bool, int, float, str, tuple, type(None))) and key not in ("layer_idx", "training")
    )


def _testable(layer: nn.Module) -> nn.Module:
    """The layer, or a copy of it, in which a difference would show: in float32, where rounding is small, and without
    weights of zero, as the up-projections of new adapters are."""
    weights = list(layer.parameters())
    if all(weight.dtype == torch.float32 and bool(weight.any()) for weight in weights):
        return layer
    other = copy.deepcopy(layer).float()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            if not weight.any():
                weight.copy_(0.1 * torch.randn(weight.shape, generator=rng))
    return other
