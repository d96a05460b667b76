"""A decoder layer in a third of the operators: Llama, Qwen 2 and 3, Gemma 3, LFM2, and what is built like them.

Its weights are cast together and laid beside each other, so that three products are one; queries and keys are normed
and turned in one piece; masks and angles are made ready once a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from terakoya.models.pretrained.fused import tree_attention
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
class Names:
    """What families call the same parts."""

    outer: tuple[str, str] = ("input_layernorm", "post_attention_layernorm")
    sandwich: tuple[str, str] = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    inner: tuple[str, str] = ("q_norm", "k_norm")
    asking: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    feed: str = "mlp"
    feeding: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")


USUAL = Names()
LFM2 = Names(
    outer=("operator_norm", "ffn_norm"), inner=("q_layernorm", "k_layernorm"), feed="feed_forward",
    asking=("q_proj", "k_proj", "v_proj", "out_proj"), feeding=("w1", "w3", "w2"),
)  # fmt: skip
_BIASES = ([False] * 7, [True] * 3 + [False] * 4)  # of queries, keys, values (Qwen 2); output, gate, up, down


@dataclass(frozen=True)
class Plan:
    """What a layer is made of. `plus` is what its norms add to their weights (Gemma: 1)."""

    names: Names
    heads: int
    shared: int  # heads of keys and values
    width: int  # of a head
    scaling: float
    eps: float
    plus: float
    normed: bool  # queries and keys have norms
    sandwich: bool  # attention and feed-forward have a norm behind them too
    biased: bool  # queries, keys and values have a bias
    adapted: tuple[bool, ...]  # which of the seven products have an adapter


def plan(layer: Any) -> Plan | None:
    """What the layer seems to be by its parts; None where it has others, or not all of them."""
    names = LFM2 if hasattr(layer, LFM2.feed) else USUAL
    attention, feed = getattr(layer, "self_attn", None), getattr(layer, names.feed, None)
    if attention is None or feed is None or getattr(attention, "attention_dropout", None):
        return None
    modules = _linear(layer, names)
    linear = projections(modules)
    if linear is None:
        return None
    norms = _norms(layer, names)
    has = [name in norms for name in (*names.outer, *names.sandwich, *names.inner)]
    if not all(has[:2]) or has[2] != has[3] or has[4] != has[5]:
        return None
    known = {id(weight) for one in (*modules, *norms.values()) for weight in one.parameters()}
    biases = [one.bias is not None for one in linear]
    if {id(weight) for weight in layer.parameters()} != known or biases not in _BIASES:
        return None
    plus, *others = {norm_facts(one) for one in norms.values()}
    width, scaling = getattr(attention, "head_dim", 0), getattr(attention, "scaling", None)
    if others or plus[0] is None or not width or width % 2 or scaling is None:
        return None
    heads, shared = (len(one.weight) // width for one in linear[:2])
    return Plan(
        names=names, heads=heads, shared=shared, width=width, scaling=float(scaling), plus=plus[0], eps=plus[1],
        normed=has[4], sandwich=has[2], biased=biases[0], adapted=tuple(one.adapted for one in linear),
    )  # fmt: skip


def quick(original: Any, plan: Plan, prepared: Prepared) -> Any:
    """The layer's forward: ours where something is launched, `original` where this is not known here."""

    def forward(
        layer: Any, hidden_states: Tensor, *rest: Any, position_embeddings: Any = None,
        attention_mask: Tensor | None = None, past_key_values: Any = None, **told: Any,
    ) -> Any:  # fmt: skip
        # What else transformers tells a layer (places, flags of caches) changes nothing here; lanes would. Adapters are
        # looked at each time: they can be switched off, or folded in.
        linear = projections(_linear(layer, plan.names)) if tree_attention.launches(hidden_states) else None
        if (
            linear is None or rest or "lanes" in told or told.get("output_attentions")
            or not isinstance(position_embeddings, tuple)
            or not known_precision(getattr(layer, plan.names.outer[0]).weight, hidden_states)
            or watched((layer.self_attn, getattr(layer, plan.names.feed)))
            or not _cache_is_known(layer.self_attn, past_key_values, hidden_states, attention_mask)
        ):  # fmt: skip
            return original(
                layer, hidden_states, *rest, position_embeddings=position_embeddings, attention_mask=attention_mask,
                past_key_values=past_key_values, **told,
            )  # fmt: skip
        dtype = product_dtype(hidden_states)
        angles, mask = prepared.angles(*position_embeddings), prepared.mask(attention_mask, dtype)
        around = _Around(angles, mask, past_key_values)
        return _layer(layer, plan, linear, hidden_states, around, dtype)

    return forward


def _cache_is_known(attention: Any, cache: Any, hidden: Tensor, mask: Tensor | None) -> bool:
    """Answers are written without derivatives; a mask that is left out says that nothing lies before."""
    if cache is None:
        return True
    if torch.is_grad_enabled():
        return False
    return mask is not None or hidden.shape[1] == 1 or not cache.get_seq_length(attention.layer_idx)


def same(layer: Any, plan: Plan) -> bool:
    """Whether both ways come to the same, with angles and a mask that no model would make."""
    chance = torch.Generator().manual_seed(0)
    size = 6
    hidden = torch.randn(2, size, len(getattr(layer, plan.names.outer[0]).weight), generator=chance)
    cos, sin = torch.randn(2, 2, size, plan.width, generator=chance)
    sight = torch.ones(size, size, dtype=torch.bool).tril()[None, None].repeat(2, 1, 1, 1)
    sight[1, :, 3:, 1] = False  # something that a causal mask would show
    linear = projections(_linear(layer, plan.names))
    assert linear is not None
    prepared = Prepared()

    def own(hidden: Tensor) -> list[Tensor]:
        found = type(layer).forward(
            layer, hidden, position_embeddings=(cos, sin), attention_mask=sight, past_key_values=None,
            position_ids=torch.arange(size)[None].expand(2, -1),
        )  # fmt: skip
        return [found if isinstance(found, Tensor) else found[0]]

    def ours(hidden: Tensor) -> list[Tensor]:
        around = _Around(prepared.angles(cos, sin), prepared.mask(sight, torch.float32))
        return [_layer(layer, plan, linear, hidden, around, torch.float32, joined=True)]

    return agree(layer, own, ours, {"hidden": hidden})


@dataclass(frozen=True)
class _Around:
    """What a layer is told beside its hidden states, as Prepared makes it; no mask is a causal one."""

    angles: tuple[Tensor, Tensor]
    mask: Tensor | None
    cache: Any = None


def _layer(
    layer: Any, plan: Plan, linear: list[Projection], hidden: Tensor, around: _Around, dtype: torch.dtype,
    *, joined: bool = False,
) -> Tensor:  # fmt: skip
    """hidden (B, T, D) → the same after this layer. Weights of another dtype are joined, and always where told so."""
    attention, feed, names = layer.self_attn, getattr(layer, plan.names.feed), plan.names
    ask, out, widen, narrow = laid([linear[:3], linear[3:4], linear[4:6], linear[6:]], dtype, joined=joined)
    scales = _scales(layer, plan)
    depth = hidden.shape[-1]

    def normed(x: Tensor, name: str) -> Tensor:
        return norm(x, scales[name], depth, plan.eps)

    asked = ask(normed(hidden, names.outer[0]).to(dtype))
    seen = out.one(_attention(attention, asked, plan, scales, around))
    if plan.sandwich:
        hidden = hidden + normed(seen, names.outer[1]).to(hidden.dtype)
        before, after = names.sandwich
    else:
        hidden = hidden + seen
        before, after = names.outer[1], ""
    gate, up = widen.two(normed(hidden, before).to(dtype))
    told = narrow.one(activated(feed, gate) * up)
    return hidden + (normed(told, after).to(hidden.dtype) if after else told)


def _attention(
    attention: Any, asked: Sequence[Tensor], plan: Plan, scales: dict[str, Tensor], around: _Around
) -> Tensor:
    """Queries, keys and values, side by side (B, T, (H + 2K)·W) or each by itself → (B, T, H·W)."""
    rows, size, _ = asked[0].shape
    if len(asked) == 1:
        heads = asked[0].view(rows, size, -1, plan.width)
        turning, values = torch.split(heads, [plan.heads + plan.shared, plan.shared], 2)
    else:
        turning, values = (part.view(rows, size, -1, plan.width) for part in (torch.cat([*asked[:2]], -1), asked[2]))
    if plan.normed:
        of_heads = torch.cat(
            [scales[plan.names.inner[0]].expand(plan.heads, -1), scales[plan.names.inner[1]].expand(plan.shared, -1)]
        )
        turning = norm(turning, None, plan.width, plan.eps) * of_heads
    cos, sin = around.angles
    turned = torch.addcmul(turning * cos, turning.roll(plan.width // 2, -1), sin).to(values.dtype)
    queries, keys = torch.split(turned.transpose(1, 2), [plan.heads, plan.shared], 1)
    values = values.transpose(1, 2)
    if around.cache is not None:
        keys, values = around.cache.update(keys, values, attention.layer_idx)
    if size == 1:  # heads that share keys are asked as places that see the same
        queries = queries.reshape(rows, plan.shared, -1, plan.width)
    else:
        keys, values = _repeated(keys, plan), _repeated(values, plan)
    seen = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=around.mask, is_causal=around.mask is None and size > 1, scale=plan.scaling
    )
    if size == 1:
        return seen.reshape(rows, 1, -1)
    return seen.transpose(1, 2).reshape(rows, size, -1)


def _repeated(part: Tensor, plan: Plan) -> Tensor:
    """(B, K, T, W) → (B, H, T, W): every head of keys as often as heads of queries share it."""
    if plan.heads == plan.shared:
        return part
    rows, shared, size, width = part.shape
    return part[:, :, None].expand(rows, shared, plan.heads // shared, size, width).reshape(rows, -1, size, width)


def activated(feed: Any, gate: Tensor) -> Tensor:
    """The feed-forward's own function; where it has no module for it, SiLU (the trial would tell another)."""
    found: Tensor = feed.act_fn(gate) if hasattr(feed, "act_fn") else functional.silu(gate)
    return found


def _linear(layer: Any, names: Names) -> list[Any]:
    """Queries, keys, values; output; gate, up; down. None where one is not there."""
    found = [getattr(layer.self_attn, name, None) for name in names.asking]
    return found + [getattr(getattr(layer, names.feed), name, None) for name in names.feeding]


def _norms(layer: Any, names: Names) -> dict[str, Any]:
    found = {name: getattr(layer, name, None) for name in (*names.outer, *names.sandwich)}
    found |= {name: getattr(layer.self_attn, name, None) for name in names.inner}
    return {name: one for name, one in found.items() if one is not None}


def _scales(layer: Any, plan: Plan) -> dict[str, Tensor]:
    """What every norm multiplies by, in float32."""
    norms = _norms(layer, plan.names)
    weights = [one.weight for one in norms.values()]
    if weights[0].dtype != torch.float32:
        weights = list(beside([[weight] for weight in weights], torch.float32))
    return dict(zip(norms, torch._foreach_add(weights, plan.plus) if plan.plus else weights, strict=True))
