"""A layer of LFM2 that mixes by a short convolution, in half of the operators; hub_layers_decoder has its attention.

B, C and x are one product; B · x is convolved along each channel, backward only, and multiplied by C. Weights are cast
together and laid beside each other. With a cache, which keeps a convolution's past in its own way, the architecture's
own forward is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.pretrained.fused import tree_attention
from terakoya.models.pretrained.fused.decoder_layer import LFM2, activated
from terakoya.models.pretrained.fused.equivalence import (
    Prepared,
    agree,
    known_precision,
    norm,
    norm_facts,
    product_dtype,
    watched,
)
from terakoya.models.pretrained.fused.grouped_matmul import Projection, beside, laid, projections


@dataclass(frozen=True)
class Plan:
    """What a layer is made of."""

    reach: int  # places that a convolution sees
    eps: float
    adapted: tuple[bool, ...]  # which of its products have an adapter


def plan(layer: Any) -> Plan | None:
    """What the layer seems to be by its parts; None where it has others, or not all of them."""
    mixer, feed = getattr(layer, "conv", None), getattr(layer, LFM2.feed, None)
    conv = getattr(mixer, "conv", None)
    norms = [getattr(layer, name, None) for name in LFM2.outer]
    if feed is None or type(conv) is not nn.Conv1d or conv.bias is not None or None in norms:
        return None
    if (
        conv.groups != conv.in_channels
        or conv.in_channels != conv.out_channels
        or conv.stride + conv.dilation != (1, 1)
    ):
        return None
    modules = _linear(layer)
    linear = projections(modules)
    if linear is None or any(one.bias is not None for one in linear):
        return None
    known = {id(weight) for one in (*modules, *norms, conv) for weight in one.parameters()}
    facts, *others = {norm_facts(one) for one in norms}
    if {id(weight) for weight in layer.parameters()} != known or others or facts[0] != 0.0:
        return None
    return Plan(int(conv.kernel_size[0]), facts[1], tuple(one.adapted for one in linear))


def quick(original: Any, plan: Plan, prepared: Prepared) -> Any:
    """The layer's forward: ours where something is launched, `original` where this is not known here."""

    def forward(
        layer: Any, hidden_states: Tensor, *rest: Any, attention_mask: Tensor | None = None,
        past_key_values: Any = None, **told: Any,
    ) -> Any:  # fmt: skip
        linear = projections(_linear(layer)) if tree_attention.launches(hidden_states) else None
        if (
            linear is None or rest or past_key_values is not None
            or (attention_mask is not None and attention_mask.dim() != 2)
            or not known_precision(layer.operator_norm.weight, hidden_states)
            or watched((layer.conv, layer.feed_forward))
        ):  # fmt: skip
            return original(
                layer, hidden_states, *rest, attention_mask=attention_mask, past_key_values=past_key_values, **told
            )
        return _layer(layer, plan, linear, hidden_states, attention_mask, product_dtype(hidden_states))

    return forward


def same(layer: Any, plan: Plan) -> bool:
    """Whether both ways come to the same, with places that are filled up in the middle too."""
    chance = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 6, len(layer.operator_norm.weight), generator=chance)
    real = torch.ones(2, 6, dtype=torch.long)
    real[1, 2] = real[1, 5] = 0
    linear = projections(_linear(layer))
    assert linear is not None

    def own(hidden: Tensor) -> list[Tensor]:
        found = type(layer).forward(layer, hidden, attention_mask=real, past_key_values=None)
        return [found if isinstance(found, Tensor) else found[0]]

    def ours(hidden: Tensor) -> list[Tensor]:
        return [_layer(layer, plan, linear, hidden, real, torch.float32, joined=True)]

    return agree(layer, own, ours, {"hidden": hidden})


def _layer(
    layer: Any, plan: Plan, linear: list[Projection], hidden: Tensor, real: Tensor | None, dtype: torch.dtype,
    *, joined: bool = False,
) -> Tensor:  # fmt: skip
    """hidden (B, T, D) → the same after this layer; real (B, T) is 0 where a place is filling."""
    asked, out, widen, narrow = laid([linear[:1], linear[1:2], linear[2:4], linear[4:]], dtype, joined=joined)
    kernel = layer.conv.conv.weight
    if kernel.dtype != dtype:
        (kernel,) = beside([[kernel]], dtype)
    depth = hidden.shape[-1]

    def normed(name: str) -> Tensor:
        scale = getattr(layer, name).weight
        return norm(hidden, scale if scale.dtype == torch.float32 else scale.float(), depth, plan.eps)

    given = normed(LFM2.outer[0])
    given = given.to(dtype) if real is None else (given * real[:, :, None]).to(dtype)
    before, after, x = asked.one(given).chunk(3, -1)
    size = hidden.shape[1]
    mixed = functional.conv1d((before * x).transpose(1, 2), kernel, padding=plan.reach - 1, groups=depth)[..., :size]
    hidden = hidden + out.one(after * mixed.transpose(1, 2))
    gate, up = widen.two(normed(LFM2.outer[1]).to(dtype))
    return hidden + narrow.one(activated(layer.feed_forward, gate) * up)


def _linear(layer: Any) -> list[Any]:
    """What B, C and x are made by; output; gate, up; down. None where one is not there."""
    found = [getattr(layer.conv, name, None) for name in ("in_proj", "out_proj")]
    return found + [getattr(layer.feed_forward, name, None) for name in LFM2.feeding]
