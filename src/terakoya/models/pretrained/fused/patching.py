"""Layers in a third of the operators, for devices on which a small model waits for each of them to be launched.

A layer as libraries write it is a hundred operators forward and more on the way back: each weight is cast by itself,
queries, keys and values are multiplied one after the other, every layer makes the mask ready anew. What is put in its
place on a GPU comes to the same sums in the same precision: products in autocast's dtype, norms and angles in float32,
the residual stream in that of the weights.

Whether a layer is of a kind that is known here (hub_layers_decoder, hub_layers_conv, hub_layers_t5) is tried out on the
layer itself. Adapters as peft puts them in are known too, without dropout of their own. Modules that somebody looks at
and layers of another kind take the architecture's own way; so does everything on a processor, where launches are not
what costs.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import Any

import torch
from torch import nn

from terakoya.models.pretrained.fused import decoder_layer, lfm2_conv, t5_block
from terakoya.models.pretrained.fused.equivalence import Prepared

_KINDS: tuple[Any, ...] = (decoder_layer, lfm2_conv, t5_block)


def quicken_layers(module: nn.Module) -> int:
    """Gives the module's layers, where a trial finds them equal, the quick way. Returns how many."""
    prepared = Prepared()
    tried: dict[tuple[Any, Any], bool] = {}
    found = 0
    for layer in module.modules():
        if "forward" in vars(layer):
            continue
        for kind in _KINDS:
            plan = kind.plan(layer)
            if plan is None:
                continue
            key = (plan, _marks(layer))
            if key not in tried:
                tried[key] = kind.same(_told_apart(layer), plan)
            if tried[key]:
                layer.forward = MethodType(kind.quick(type(layer).forward, plan, prepared), layer)
                found += 1
    return found


def _marks(layer: nn.Module) -> frozenset[tuple[str, ...]]:
    """All that tells a layer from the next but its weights and its place: the class of every part, and what it is told
    in plain values. One class may turn queries in some layers and not in others (SmolLM3); each such kind is tried."""
    return frozenset(
        (name, type(part).__qualname__, key, repr(value))
        for name, part in layer.named_modules()
        for key, value in {"": "", **vars(part)}.items()
        if isinstance(value, (bool, int, float, str, tuple, type(None))) and key not in ("layer_idx", "training")
    )


def _told_apart(layer: nn.Module) -> nn.Module:
    """The layer as a trial can judge it: two ways of summing are told from two functions only where rounding is small,
    and what an adapter adds is seen only where it is not zero, as it is at the beginning."""
    weights = list(layer.parameters())
    if all(weight.dtype == torch.float32 and bool(weight.any()) for weight in weights):
        return layer
    other = copy.deepcopy(layer).float()
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            if not weight.any():
                weight.copy_(0.1 * torch.randn(weight.shape, generator=chance))
    return other
