"""A block of T5 (encoder or decoder) in less than half of the operators; of what is built like it too.

As in hub_layers_decoder: weights are cast together and laid beside each other, so that queries, keys and values are
one product; the bias of distances and the mask are added up and cast once a pass and not in every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.pretrained.fused import tree_attention
from terakoya.models.pretrained.fused.equivalence import Prepared, agree, norm, norm_facts, product_dtype, watched
from terakoya.models.pretrained.fused.grouped_matmul import Products, Projection, laid, projections


@dataclass(frozen=True)
class Plan:
    """What a block is made of."""

    heads: int
    width: int  # of a head
    scaling: float
    eps: float
    decoder: bool  # looks at an encoder's output, and only backward at its own
    distances: bool  # makes the bias that the blocks after it use
    gated: bool
    adapted: tuple[bool, ...]  # which of its products have an adapter


@dataclass(frozen=True)
class _Seen:
    """What a block is told beside its hidden states; biases and masks as Prepared.mask makes them."""

    bias: Tensor | None
    other: Tensor | None = None  # the encoder's output
    other_bias: Tensor | None = None
    cache: Any = None


def plan(layer: Any) -> Plan | None:
    """What the block seems to be by its parts; None where it has others, or not all of them."""
    parts = list(layer.layer) if isinstance(getattr(layer, "layer", None), nn.ModuleList) else []
    if len(parts) not in (2, 3) or not all(hasattr(part, "layer_norm") for part in parts):
        return None
    attentions, feed = _attentions(layer), getattr(parts[-1], "DenseReluDense", None)
    if None in attentions or feed is None or not hasattr(feed, "act"):
        return None
    modules = _linear(layer)
    linear = projections(modules)
    if linear is None or any(one.bias is not None for one in linear):
        return None
    distances = bool(getattr(attentions[0], "has_relative_attention_bias", False))
    if distances != hasattr(attentions[0], "relative_attention_bias"):
        return None
    known = {id(weight) for one in (*modules, *(part.layer_norm for part in parts)) for weight in one.parameters()}
    known |= {id(attentions[0].relative_attention_bias.weight)} if distances else set()
    if {id(weight) for weight in layer.parameters()} != known:
        return None
    norms, *others = {norm_facts(part.layer_norm) for part in parts}
    heads_of = {
        (getattr(one, "n_heads", 0), getattr(one, "key_value_proj_dim", 0), getattr(one, "scaling", None))
        for one in attentions
    }
    ((heads, width, scaling), *different) = heads_of
    if others or different or norms[0] != 0.0 or not heads or not width or scaling is None:
        return None
    return Plan(
        heads=heads, width=width, scaling=float(scaling), eps=norms[1], decoder=len(parts) == 3, distances=distances,
        gated=hasattr(feed, "wi_0"), adapted=tuple(one.adapted for one in linear),
    )  # fmt: skip


def quick(original: Any, plan: Plan, prepared: Prepared) -> Any:
    """The block's forward: ours where something is launched, `original` where this is not known here."""

    def forward(
        layer: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, position_bias: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None, encoder_attention_mask: Tensor | None = None,
        encoder_decoder_position_bias: Tensor | None = None, past_key_values: Any = None, **told: Any,
    ) -> Any:  # fmt: skip
        linear = projections(_linear(layer)) if tree_attention.launches(hidden_states) else None
        size = hidden_states.shape[1]
        before = None if linear is None else _before(layer, past_key_values)
        if (
            linear is None or before is None or plan.decoder == (encoder_hidden_states is None)
            or (attention_mask is None and before and size > 1)
            or encoder_decoder_position_bias is not None or told.get("output_attentions")
            or (getattr(layer, "gradient_checkpointing", False) and layer.training)
            or layer.layer[0].layer_norm.weight.dtype != torch.float32 or watched(tuple(layer.layer))
        ):  # fmt: skip
            return original(
                layer, hidden_states, attention_mask, position_bias, encoder_hidden_states, encoder_attention_mask,
                encoder_decoder_position_bias, past_key_values=past_key_values, **told,
            )  # fmt: skip
        dtype = product_dtype(hidden_states)
        if position_bias is None and plan.distances:
            position_bias = layer.layer[0].SelfAttention.compute_bias(
                size, before + size, device=hidden_states.device, past_seen_tokens=before
            )
        elif position_bias is None:
            position_bias = hidden_states.new_zeros(1, plan.heads, size, before + size)
        seen = _Seen(
            prepared.mask(attention_mask, dtype, bias=position_bias, causal=size if plan.decoder and size > 1 else 0),
            encoder_hidden_states, prepared.mask(encoder_attention_mask, dtype), past_key_values,
        )  # fmt: skip
        return _block(layer, plan, linear, hidden_states.float(), seen, dtype), position_bias, None

    return forward


def _before(layer: Any, cache: Any) -> int | None:
    """How many tokens a cache holds; None where it is of a kind, or asked in a way, that is not known here."""
    if cache is None:
        return 0
    if torch.is_grad_enabled() or not hasattr(cache, "cross_attention_cache"):
        return None
    held = cache.self_attention_cache.get_seq_length(layer.layer[0].SelfAttention.layer_idx)
    return held if isinstance(held, int) else None


def same(layer: Any, plan: Plan) -> bool:
    """Whether both ways come to the same, with masks that no model would make."""
    chance = torch.Generator().manual_seed(0)
    size, length, depth = 5, 4, len(layer.layer[0].layer_norm.weight)
    given = {"hidden": torch.randn(2, size, depth, generator=chance)}
    if not plan.distances:
        given["bias"] = torch.randn(1, plan.heads, size, size, generator=chance)
    if plan.decoder:
        given["other"] = torch.randn(2, length, depth, generator=chance)
    sight = torch.ones(2, 1, size, size, dtype=torch.bool)
    sight[1, :, 2:, 1] = False
    theirs = torch.ones(2, 1, size, length, dtype=torch.bool)
    theirs[0, :, :, 3] = False
    linear = projections(_linear(layer))
    assert linear is not None
    prepared = Prepared()

    def own(hidden: Tensor, bias: Tensor | None = None, other: Tensor | None = None) -> list[Tensor]:
        told = type(layer).forward(layer, hidden, sight, bias, other, None if other is None else theirs)
        return [told[0]]

    def ours(hidden: Tensor, bias: Tensor | None = None, other: Tensor | None = None) -> list[Tensor]:
        if bias is None:
            bias = layer.layer[0].SelfAttention.compute_bias(size, size, device=hidden.device)
        mask = prepared.mask(sight, torch.float32, bias=bias)
        seen = _Seen(mask, other, None if other is None else prepared.mask(theirs, torch.float32))
        return [_block(layer, plan, linear, hidden, seen, torch.float32, joined=True)]

    return agree(layer, own, ours, given)


def _block(
    layer: Any, plan: Plan, linear: list[Projection], hidden: Tensor, seen: _Seen, dtype: torch.dtype,
    *, joined: bool = False,
) -> Tensor:  # fmt: skip
    """hidden (B, T, D) float32 → the same after this block. Weights of another dtype are joined, and always where
    told so."""
    attentions, feed = _attentions(layer), layer.layer[-1].DenseReluDense
    sizes = (3, 1, *((1, 2, 1) if plan.decoder else ()), 2 if plan.gated else 1, 1)
    left = iter(linear)
    ask, out, *between, widen, narrow = laid([list(islice(left, size)) for size in sizes], dtype, joined=joined)

    def begun(part: Any) -> Tensor:
        return norm(hidden, part.layer_norm.weight, hidden.shape[-1], plan.eps).to(dtype)

    first, last = layer.layer[0], layer.layer[-1]
    asked = _heads(ask(begun(first)), plan, 3)
    if seen.cache is not None:
        asked[1:] = seen.cache.self_attention_cache.update(*asked[1:], attentions[0].layer_idx)
    hidden = hidden + first.dropout(out.one(_attended(attentions[0], asked, seen.bias, plan)))
    if plan.decoder:
        second, (own_ask, other_ask, other_out) = layer.layer[1], between
        asked = _heads(own_ask(begun(second)), plan, 1) + _read(attentions[1], seen, other_ask, plan, dtype)
        hidden = hidden + second.dropout(other_out.one(_attended(attentions[1], asked, seen.other_bias, plan)))
    if plan.gated:
        gate, up = widen.two(begun(last))
        wide = feed.act(gate) * up
    else:
        wide = feed.act(widen.one(begun(last)))
    told: Tensor = last.dropout(narrow.one(feed.dropout(wide)))
    return hidden + told


def _read(attention: Any, seen: _Seen, ask: Products, plan: Plan, dtype: torch.dtype) -> list[Tensor]:
    """Keys and values of the encoder's output: worked out, or as they were kept after the first token."""
    place = getattr(attention, "layer_idx", None)
    if seen.cache is not None and seen.cache.is_updated.get(place):
        kept = seen.cache.cross_attention_cache.layers[place]
        return [kept.keys, kept.values]
    assert seen.other is not None
    read = _heads(ask(seen.other.to(dtype)), plan, 2)
    if seen.cache is not None:
        read = list(seen.cache.cross_attention_cache.update(*read, place))
        seen.cache.is_updated[place] = True
    return read


def _attentions(layer: Any) -> list[Any]:
    """To itself, and to the encoder's output; None where one is not there."""
    found = [getattr(layer.layer[0], "SelfAttention", None)]
    return found + [getattr(part, "EncDecAttention", None) for part in list(layer.layer)[1:-1]]


def _linear(layer: Any) -> list[Any]:
    """Queries, keys, values, output of each attention; what widens and what narrows. None where one is not there."""
    feed = layer.layer[-1].DenseReluDense
    found = [getattr(one, name, None) for one in _attentions(layer) for name in "qkvo"]
    widening = ("wi_0", "wi_1") if hasattr(feed, "wi_0") else ("wi",)
    return found + [getattr(feed, name, None) for name in (*widening, "wo")]


def _heads(parts: Sequence[Tensor], plan: Plan, count: int) -> list[Tensor]:
    """`count` tensors side by side or each by itself, (B, T, H·W) → (B, H, T, W) each."""
    laid = [part.view(*part.shape[:2], -1, plan.width).transpose(1, 2) for part in parts]
    return laid if len(laid) == count else list(laid[0].chunk(count, 1))


def _attended(attention: Any, asked: Sequence[Tensor], bias: Tensor | None, plan: Plan) -> Tensor:
    queries, keys, values = asked
    dropout = attention.dropout if attention.training else 0.0
    seen = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=bias, dropout_p=dropout, scale=plan.scaling
    )
    return seen.transpose(1, 2).reshape(len(seen), seen.shape[2], -1)
