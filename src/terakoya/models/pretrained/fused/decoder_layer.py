"""A decoder layer with a third of the operators: Llama, Qwen 2 and 3, Gemma 3, LFM2, and what is built like them.

Its weights are cast together and concatenated, so that three matmuls are one; queries and keys are normalised and
rotated as one tensor; masks and rotary angles are prepared once a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from terakoya.models.pretrained.fused import dispatch
from terakoya.models.pretrained.fused.equivalence import agree
from terakoya.models.pretrained.fused.grouped_matmul import Projection, concatenate_cast, grouped_linears, projections
from terakoya.models.pretrained.fused.pass_cache import PassCache
from terakoya.models.pretrained.fused.rms_norm import norm_constants, rms_norm


@dataclass(frozen=True)
class LayerNames:
    """How an architecture names the parts of a decoder layer.

    block_norms               before attention, and after it (before the feed-forward without sandwich norms)
    sandwich_norms            before and after the feed-forward (Gemma)
    head_norms                of queries and keys
    attention_projections     queries, keys, values, output
    feed_forward              the feed-forward module
    feed_forward_projections  gate, up, down
    """

    block_norms: tuple[str, str] = ("input_layernorm", "post_attention_layernorm")
    sandwich_norms: tuple[str, str] = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    head_norms: tuple[str, str] = ("q_norm", "k_norm")
    attention_projections: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    feed_forward: str = "mlp"
    feed_forward_projections: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")


USUAL = LayerNames()
LFM2 = LayerNames(
    block_norms=("operator_norm", "ffn_norm"), head_norms=("q_layernorm", "k_layernorm"), feed_forward="feed_forward",
    attention_projections=("q_proj", "k_proj", "v_proj", "out_proj"), feed_forward_projections=("w1", "w3", "w2"),
)  # fmt: skip
_BIASES = ([False] * 7, [True] * 3 + [False] * 4)  # of queries, keys, values (Qwen 2); output, gate, up, down


@dataclass(frozen=True)
class DecoderLayerSpec:
    """What a decoder layer consists of.

    names          of its parts
    heads          of queries
    key_heads      of keys and values
    width          of a head
    scaling        of attention scores
    eps            of the norms
    weight_offset  what the norms add to their weights (Gemma: 1)
    head_norms     whether queries and keys are normalised
    sandwich       whether attention and feed-forward have a norm behind them too
    biased         whether queries, keys and values have a bias
    adapted        which of the seven projections have an adapter
    """

    names: LayerNames
    heads: int
    key_heads: int
    width: int
    scaling: float
    eps: float
    weight_offset: float
    head_norms: bool
    sandwich: bool
    biased: bool
    adapted: tuple[bool, ...]


def inspect_layer(layer: Any) -> DecoderLayerSpec | None:
    """What a `layer` consists of by its parts; None where it has others, or not all of them."""
    names = LFM2 if hasattr(layer, LFM2.feed_forward) else USUAL
    attention, feed = getattr(layer, "self_attn", None), getattr(layer, names.feed_forward, None)
    if attention is None or feed is None or getattr(attention, "attention_dropout", None):
        return None
    modules = _linear_modules(layer, names)
    linear = projections(modules)
    if linear is None:
        return None
    norms = _norms(layer, names)
    has = [name in norms for name in (*names.block_norms, *names.sandwich_norms, *names.head_norms)]
    if not all(has[:2]) or has[2] != has[3] or has[4] != has[5]:
        return None
    known = {id(weight) for one in (*modules, *norms.values()) for weight in one.parameters()}
    biases = [one.bias is not None for one in linear]
    if {id(weight) for weight in layer.parameters()} != known or biases not in _BIASES:
        return None
    constants, *others = {norm_constants(one) for one in norms.values()}
    width, scaling = getattr(attention, "head_dim", 0), getattr(attention, "scaling", None)
    if others or constants[0] is None or not width or width % 2 or scaling is None:
        return None
    heads, key_heads = (len(one.weight) // width for one in linear[:2])
    return DecoderLayerSpec(
        names=names, heads=heads, key_heads=key_heads, width=width, scaling=float(scaling),
        weight_offset=constants[0], eps=constants[1], head_norms=has[4], sandwich=has[2], biased=biases[0],
        adapted=tuple(one.adapted for one in linear),
    )  # fmt: skip


def fused_forward(original: Any, spec: DecoderLayerSpec, cache: PassCache) -> Any:
    """A forward for layers of this kind: fused on a GPU, and the original one in all cases that are not known here.

    original  the forward of the layer's class
    spec      what the layer consists of
    cache     of angles and masks, shared by all layers of a model
    """

    def forward(
        layer: Any, hidden_states: Tensor, *rest: Any, position_embeddings: Any = None,
        attention_mask: Tensor | None = None, past_key_values: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        # What else transformers passes to a layer (position ids, flags of caches) changes nothing here; branches would.
        # Adapters are inspected each time: they can be switched off, or merged.
        linear = projections(_linear_modules(layer, spec.names)) if dispatch.is_on_gpu(hidden_states) else None
        if (
            linear is None or rest or "branches" in options or options.get("output_attentions")
            or not isinstance(position_embeddings, tuple)
            or not dispatch.is_known_precision(getattr(layer, spec.names.block_norms[0]).weight, hidden_states)
            or dispatch.has_hooks((layer.self_attn, getattr(layer, spec.names.feed_forward)))
            or not _cache_is_known(layer.self_attn, past_key_values, hidden_states, attention_mask)
        ):  # fmt: skip
            return original(
                layer, hidden_states, *rest, position_embeddings=position_embeddings, attention_mask=attention_mask,
                past_key_values=past_key_values, **options,
            )  # fmt: skip
        dtype = dispatch.matmul_dtype(hidden_states)
        angles, mask = cache.angles(*position_embeddings), cache.mask(attention_mask, dtype)
        return _layer(layer, spec, linear, hidden_states, _DecoderContext(angles, mask, past_key_values), dtype)

    return forward


def _cache_is_known(attention: Any, cache: Any, hidden: Tensor, mask: Tensor | None) -> bool:
    """Decoding needs no gradients; a missing mask means that nothing is in the cache."""
    if cache is None:
        return True
    if torch.is_grad_enabled():
        return False
    return mask is not None or hidden.shape[1] == 1 or not cache.get_seq_length(attention.layer_idx)


def is_equivalent(layer: Any, spec: DecoderLayerSpec) -> bool:
    """Whether the fused forward of a `layer` with this `spec` gives what its own gives, for angles and a mask that no
    model would make."""
    rng = torch.Generator().manual_seed(0)
    size = 6
    hidden = torch.randn(2, size, len(getattr(layer, spec.names.block_norms[0]).weight), generator=rng)
    cos, sin = torch.randn(2, 2, size, spec.width, generator=rng)
    mask = torch.ones(size, size, dtype=torch.bool).tril()[None, None].repeat(2, 1, 1, 1)
    mask[1, :, 3:, 1] = False  # something that a causal mask would show
    linear = projections(_linear_modules(layer, spec.names))
    assert linear is not None
    cache = PassCache()

    def original(hidden: Tensor) -> list[Tensor]:
        output = type(layer).forward(
            layer, hidden, position_embeddings=(cos, sin), attention_mask=mask, past_key_values=None,
            position_ids=torch.arange(size)[None].expand(2, -1),
        )  # fmt: skip
        return [output if isinstance(output, Tensor) else output[0]]

    def fused(hidden: Tensor) -> list[Tensor]:
        context = _DecoderContext(cache.angles(cos, sin), cache.mask(mask, torch.float32))
        return [_layer(layer, spec, linear, hidden, context, torch.float32, concatenate=True)]

    return agree(layer, original, fused, {"hidden": hidden})


@dataclass(frozen=True)
class _DecoderContext:
    """What a layer gets beside its hidden states, as PassCache prepares it; without a mask attention is causal."""

    angles: tuple[Tensor, Tensor]
    mask: Tensor | None
    cache: Any = None


def _layer(
    layer: Any, spec: DecoderLayerSpec, linear: list[Projection], hidden: Tensor, context: _DecoderContext,
    dtype: torch.dtype, *, concatenate: bool = False,
) -> Tensor:  # fmt: skip
    """hidden (B, T, D) → the same after this layer."""
    attention, feed, names = layer.self_attn, getattr(layer, spec.names.feed_forward), spec.names
    qkv, output, gate_up, down = grouped_linears(
        [linear[:3], linear[3:4], linear[4:6], linear[6:]], dtype, concatenate=concatenate
    )
    scales = _norm_scales(layer, spec)
    width = hidden.shape[-1]

    def normed(x: Tensor, name: str) -> Tensor:
        return rms_norm(x, scales[name], width, spec.eps)

    projected = qkv(normed(hidden, names.block_norms[0]).to(dtype))
    attended = output.one(_attention(attention, projected, spec, scales, context))
    if spec.sandwich:
        hidden = hidden + normed(attended, names.block_norms[1]).to(hidden.dtype)
        before, after = names.sandwich_norms
    else:
        hidden = hidden + attended
        before, after = names.block_norms[1], ""
    gate, up = gate_up.two(normed(hidden, before).to(dtype))
    fed = down.one(activate(feed, gate) * up)
    return hidden + (normed(fed, after).to(hidden.dtype) if after else fed)


def _attention(
    attention: Any, qkv: Sequence[Tensor], spec: DecoderLayerSpec, scales: dict[str, Tensor], context: _DecoderContext
) -> Tensor:
    """Queries, keys and values, as one tensor (B, T, (H + 2K)·W) or three → (B, T, H·W)."""
    rows, size, _ = qkv[0].shape
    if len(qkv) == 1:
        heads = qkv[0].view(rows, size, -1, spec.width)
        rotated, values = torch.split(heads, [spec.heads + spec.key_heads, spec.key_heads], 2)
    else:
        rotated, values = (part.view(rows, size, -1, spec.width) for part in (torch.cat([*qkv[:2]], -1), qkv[2]))
    if spec.head_norms:
        query_norm, key_norm = spec.names.head_norms
        scale = torch.cat([scales[query_norm].expand(spec.heads, -1), scales[key_norm].expand(spec.key_heads, -1)])
        rotated = rms_norm(rotated, None, spec.width, spec.eps) * scale
    cos, sin = context.angles
    rotated = torch.addcmul(rotated * cos, rotated.roll(spec.width // 2, -1), sin).to(values.dtype)
    queries, keys = torch.split(rotated.transpose(1, 2), [spec.heads, spec.key_heads], 1)
    values = values.transpose(1, 2)
    if context.cache is not None:
        keys, values = context.cache.update(keys, values, attention.layer_idx)
    if size == 1:  # heads that share keys become positions that see the same keys
        queries = queries.reshape(rows, spec.key_heads, -1, spec.width)
    else:
        keys, values = _repeat_heads(keys, spec), _repeat_heads(values, spec)
    attended = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=context.mask, is_causal=context.mask is None and size > 1, scale=spec.scaling
    )
    if size == 1:
        return attended.reshape(rows, 1, -1)
    return attended.transpose(1, 2).reshape(rows, size, -1)


def _repeat_heads(x: Tensor, spec: DecoderLayerSpec) -> Tensor:
    """(B, K, T, W) → (B, H, T, W): every head of keys as often as heads of queries share it."""
    if spec.heads == spec.key_heads:
        return x
    rows, groups, size, width = x.shape
    return x[:, :, None].expand(rows, groups, spec.heads // groups, size, width).reshape(rows, -1, size, width)


def activate(feed: Any, gate: Tensor) -> Tensor:
    """The activation function of a feed-forward module.

    feed  the module; where it has no module for the function, it is SiLU (`is_equivalent` would find another)
    gate  (…, D)
    """
    activated: Tensor = feed.act_fn(gate) if hasattr(feed, "act_fn") else functional.silu(gate)
    return activated


def _linear_modules(layer: Any, names: LayerNames) -> list[Any]:
    """Queries, keys, values; output; gate, up; down. None where one is missing."""
    feed = getattr(layer, names.feed_forward)
    modules = [getattr(layer.self_attn, name, None) for name in names.attention_projections]
    return modules + [getattr(feed, name, None) for name in names.feed_forward_projections]


def _norms(layer: Any, names: LayerNames) -> dict[str, Any]:
    norms = {name: getattr(layer, name, None) for name in (*names.block_norms, *names.sandwich_norms)}
    norms |= {name: getattr(layer.self_attn, name, None) for name in names.head_norms}
    return {name: norm for name, norm in norms.items() if norm is not None}


def _norm_scales(layer: Any, spec: DecoderLayerSpec) -> dict[str, Tensor]:
    """What every norm multiplies by, in float32."""
    norms = _norms(layer, spec.names)
    weights = [norm.weight for norm in norms.values()]
    if weights[0].dtype != torch.float32:
        weights = list(concatenate_cast([[weight] for weight in weights], torch.float32))
    scales = torch._foreach_add(weights, spec.weight_offset) if spec.weight_offset else weights
    return dict(zip(norms, scales, strict=True))
