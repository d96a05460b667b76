"""A block of T5 (encoder or decoder), or of what is built like it, with less than half of the operators.

As in decoder_layer, weights are cast together and concatenated, so that queries, keys and values are one matmul; the
relative position bias and the mask are added up and cast once a pass and not in every block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.models.pretrained.fused import dispatch
from terakoya.models.pretrained.fused.equivalence import agree
from terakoya.models.pretrained.fused.grouped_matmul import GroupedLinear, Projection, grouped_linears, projections
from terakoya.models.pretrained.fused.pass_cache import PassCache
from terakoya.models.pretrained.fused.rms_norm import norm_constants, rms_norm


@dataclass(frozen=True)
class T5BlockSpec:
    """What a T5 block consists of.

    heads          of queries, keys and values
    width          of a head
    scaling        of attention scores
    eps            of its norms
    decoder        whether it is causal and attends to an encoder's output
    position_bias  whether it computes the relative position bias that the blocks after it use
    gated          whether the feed-forward has a gate
    adapted        which of its projections have an adapter
    """

    heads: int
    width: int
    scaling: float
    eps: float
    decoder: bool
    position_bias: bool
    gated: bool
    adapted: tuple[bool, ...]


@dataclass(frozen=True)
class _T5Context:
    """What a block gets beside its hidden states; biases and masks as PassCache.mask prepares them."""

    bias: Tensor | None
    encoded: Tensor | None = None  # the encoder's output
    encoded_bias: Tensor | None = None
    cache: Any = None


def inspect_layer(layer: Any) -> T5BlockSpec | None:
    """What a block (`layer`) consists of by its parts; None where it has others, or not all of them."""
    parts = list(layer.layer) if isinstance(getattr(layer, "layer", None), nn.ModuleList) else []
    if len(parts) not in (2, 3) or not all(hasattr(part, "layer_norm") for part in parts):
        return None
    attentions, feed = _attentions(layer), getattr(parts[-1], "DenseReluDense", None)
    if None in attentions or feed is None or not hasattr(feed, "act"):
        return None
    modules = _linear_modules(layer)
    linear = projections(modules)
    if linear is None or any(one.bias is not None for one in linear):
        return None
    position_bias = bool(getattr(attentions[0], "has_relative_attention_bias", False))
    if position_bias != hasattr(attentions[0], "relative_attention_bias"):
        return None
    known = {id(weight) for one in (*modules, *(part.layer_norm for part in parts)) for weight in one.parameters()}
    known |= {id(attentions[0].relative_attention_bias.weight)} if position_bias else set()
    if {id(weight) for weight in layer.parameters()} != known:
        return None
    constants, *others = {norm_constants(part.layer_norm) for part in parts}
    shapes = {
        (getattr(one, "n_heads", 0), getattr(one, "key_value_proj_dim", 0), getattr(one, "scaling", None))
        for one in attentions
    }
    ((heads, width, scaling), *different) = shapes
    if others or different or constants[0] != 0.0 or not heads or not width or scaling is None:
        return None
    return T5BlockSpec(
        heads=heads, width=width, scaling=float(scaling), eps=constants[1], decoder=len(parts) == 3,
        position_bias=position_bias, gated=hasattr(feed, "wi_0"), adapted=tuple(one.adapted for one in linear),
    )  # fmt: skip


def fused_forward(original: Any, spec: T5BlockSpec, cache: PassCache) -> Any:
    """A forward for blocks of this kind: fused on a GPU, and the original one in all cases that are not known here.

    original  the forward of the block's class
    spec      what the block consists of
    cache     of masks, shared by all blocks of a model
    """

    def forward(
        layer: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, position_bias: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None, encoder_attention_mask: Tensor | None = None,
        encoder_decoder_position_bias: Tensor | None = None, past_key_values: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        linear = projections(_linear_modules(layer)) if dispatch.is_on_gpu(hidden_states) else None
        size = hidden_states.shape[1]
        past = None if linear is None else _cached_tokens(layer, past_key_values)
        if (
            linear is None or past is None or spec.decoder == (encoder_hidden_states is None)
            or (attention_mask is None and past and size > 1)
            or encoder_decoder_position_bias is not None or options.get("output_attentions")
            or (getattr(layer, "gradient_checkpointing", False) and layer.training)
            or layer.layer[0].layer_norm.weight.dtype != torch.float32 or dispatch.has_hooks(tuple(layer.layer))
        ):  # fmt: skip
            return original(
                layer, hidden_states, attention_mask, position_bias, encoder_hidden_states, encoder_attention_mask,
                encoder_decoder_position_bias, past_key_values=past_key_values, **options,
            )  # fmt: skip
        dtype = dispatch.matmul_dtype(hidden_states)
        if position_bias is None and spec.position_bias:
            position_bias = layer.layer[0].SelfAttention.compute_bias(
                size, past + size, device=hidden_states.device, past_seen_tokens=past
            )
        elif position_bias is None:
            position_bias = hidden_states.new_zeros(1, spec.heads, size, past + size)
        causal = size if spec.decoder and size > 1 else 0
        context = _T5Context(
            cache.mask(attention_mask, dtype, bias=position_bias, causal=causal),
            encoder_hidden_states,
            cache.mask(encoder_attention_mask, dtype),
            past_key_values,
        )
        return _block(layer, spec, linear, hidden_states.float(), context, dtype), position_bias, None

    return forward


def _cached_tokens(layer: Any, cache: Any) -> int | None:
    """How many tokens a cache holds; None where it is of a kind, or used in a way, that is not known here."""
    if cache is None:
        return 0
    if torch.is_grad_enabled() or not hasattr(cache, "cross_attention_cache"):
        return None
    length = cache.self_attention_cache.get_seq_length(layer.layer[0].SelfAttention.layer_idx)
    return length if isinstance(length, int) else None


def is_equivalent(layer: Any, spec: T5BlockSpec) -> bool:
    """Whether the fused forward of a block (`layer`) with this `spec` gives what its own gives, for masks that no model
    would make."""
    rng = torch.Generator().manual_seed(0)
    size, source_size, width = 5, 4, len(layer.layer[0].layer_norm.weight)
    inputs = {"hidden": torch.randn(2, size, width, generator=rng)}
    if not spec.position_bias:
        inputs["bias"] = torch.randn(1, spec.heads, size, size, generator=rng)
    if spec.decoder:
        inputs["encoded"] = torch.randn(2, source_size, width, generator=rng)
    mask = torch.ones(2, 1, size, size, dtype=torch.bool)
    mask[1, :, 2:, 1] = False
    source_mask = torch.ones(2, 1, size, source_size, dtype=torch.bool)
    source_mask[0, :, :, 3] = False
    linear = projections(_linear_modules(layer))
    assert linear is not None
    cache = PassCache()

    def original(hidden: Tensor, bias: Tensor | None = None, encoded: Tensor | None = None) -> list[Tensor]:
        outputs = type(layer).forward(layer, hidden, mask, bias, encoded, None if encoded is None else source_mask)
        return [outputs[0]]

    def fused(hidden: Tensor, bias: Tensor | None = None, encoded: Tensor | None = None) -> list[Tensor]:
        if bias is None:
            bias = layer.layer[0].SelfAttention.compute_bias(size, size, device=hidden.device)
        encoded_bias = None if encoded is None else cache.mask(source_mask, torch.float32)
        context = _T5Context(cache.mask(mask, torch.float32, bias=bias), encoded, encoded_bias)
        return [_block(layer, spec, linear, hidden, context, torch.float32, concatenate=True)]

    return agree(layer, original, fused, inputs)


def _block(
    layer: Any, spec: T5BlockSpec, linear: list[Projection], hidden: Tensor, context: _T5Context, dtype: torch.dtype,
    *, concatenate: bool = False,
) -> Tensor:  # fmt: skip
    """hidden (B, T, D) float32 → the same after this block."""
    attentions, feed = _attentions(layer), layer.layer[-1].DenseReluDense
    sizes = (3, 1, *((1, 2, 1) if spec.decoder else ()), 2 if spec.gated else 1, 1)
    remaining = iter(linear)
    groups = [list(islice(remaining, size)) for size in sizes]
    qkv, output, *cross, wide, narrow = grouped_linears(groups, dtype, concatenate=concatenate)

    def normed(part: Any) -> Tensor:
        return rms_norm(hidden, part.layer_norm.weight, hidden.shape[-1], spec.eps).to(dtype)

    first, last = layer.layer[0], layer.layer[-1]
    heads = _split_heads(qkv(normed(first)), spec, 3)
    if context.cache is not None:
        heads[1:] = context.cache.self_attention_cache.update(*heads[1:], attentions[0].layer_idx)
    hidden = hidden + first.dropout(output.one(_attend(attentions[0], heads, context.bias, spec)))
    if spec.decoder:
        second, (cross_query, cross_key_value, cross_output) = layer.layer[1], cross
        queries = _split_heads(cross_query(normed(second)), spec, 1)
        heads = queries + _cross_keys_values(attentions[1], context, cross_key_value, spec, dtype)
        attended = _attend(attentions[1], heads, context.encoded_bias, spec)
        hidden = hidden + second.dropout(cross_output.one(attended))
    if spec.gated:
        gate, up = wide.two(normed(last))
        activated = feed.act(gate) * up
    else:
        activated = feed.act(wide.one(normed(last)))
    fed: Tensor = last.dropout(narrow.one(feed.dropout(activated)))
    return hidden + fed


def _cross_keys_values(
    attention: Any, context: _T5Context, linear: GroupedLinear, spec: T5BlockSpec, dtype: torch.dtype
) -> list[Tensor]:
    """Keys and values of the encoder's output: projected, or as they were cached at the first token."""
    index = getattr(attention, "layer_idx", None)
    if context.cache is not None and context.cache.is_updated.get(index):
        cached = context.cache.cross_attention_cache.layers[index]
        return [cached.keys, cached.values]
    assert context.encoded is not None
    heads = _split_heads(linear(context.encoded.to(dtype)), spec, 2)
    if context.cache is not None:
        heads = list(context.cache.cross_attention_cache.update(*heads, index))
        context.cache.is_updated[index] = True
    return heads


def _attentions(layer: Any) -> list[Any]:
    """Self-attention and cross-attention; None where one is missing."""
    modules = [getattr(layer.layer[0], "SelfAttention", None)]
    return modules + [getattr(part, "EncDecAttention", None) for part in list(layer.layer)[1:-1]]


def _linear_modules(layer: Any) -> list[Any]:
    """Queries, keys, values, output of each attention; then those of the feed-forward. None where one is missing."""
    feed = layer.layer[-1].DenseReluDense
    modules = [getattr(one, name, None) for one in _attentions(layer) for name in "qkvo"]
    wide = ("wi_0", "wi_1") if hasattr(feed, "wi_0") else ("wi",)
    return modules + [getattr(feed, name, None) for name in (*wide, "wo")]


def _split_heads(tensors: Sequence[Tensor], spec: T5BlockSpec, count: int) -> list[Tensor]:
    """`count` projections, as one tensor or separate, (B, T, H·W) → (B, H, T, W) each."""
    heads = [one.view(*one.shape[:2], -1, spec.width).transpose(1, 2) for one in tensors]
    return heads if len(heads) == count else list(heads[0].chunk(count, 1))


def _attend(attention: Any, heads: Sequence[Tensor], bias: Tensor | None, spec: T5BlockSpec) -> Tensor:
    queries, keys, values = heads
    dropout = attention.dropout if attention.training else 0.0
    attended = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=bias, dropout_p=dropout, scale=spec.scaling
    )
    return attended.transpose(1, 2).reshape(len(attended), attended.shape[2], -1)
