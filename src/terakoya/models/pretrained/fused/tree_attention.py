"""The same numbers sooner, in less memory: parts of a model that libraries compute the long way on a processor.

**Lanes.** Rows laid out as a tree (hub_causal) see T × T places through a mask, although a token has at most its own
row before it. Here the tokens of each row are put beside the path that leads to them: G lanes of at most Q queries and
L keys, G·Q·L products where there were T². Sums are the same, in another order.

**Norms.** RMS norm (Zhang and Sennrich, 2019, arXiv:1910.07467) as one function with its own derivative, which keeps
the input and one number a row in place of four tensors as large as the input.

Whether an architecture's norm is the one written here, and whether lanes give what the mask gives, is tried
out on the model itself and not looked up. On a GPU, where a small model waits for kernels to be launched, lanes would
launch more than they save and stay away; norms there are the library's one kernel, of which each way saves a dozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from terakoya.errors import need

NAME = "terakoya"  # of the attention among those of transformers
LANES = ("queries", "paths", "sight", "real", "back")


def lanes(before: Sequence[int], own: Sequence[int]) -> dict[str, Tensor]:
    """How the tokens of a tree are put beside their paths.

    before  the place of the token before each one, -1 at a beginning; a token stands behind the one before it
    own     how many places in a row each of the tree's rows brought, in order; their sum is T

    queries (G, Q) and paths (G, L) are places; sight (G, Q, L) is 0 where a query sees a key, else -inf; real (G, Q, 1)
    is 1 where a query is no filling; back (T,) tells where each token's answer lies among the G·Q. Lanes stand flush
    right: query i of a lane sees its keys up to the one that is as far from the right.
    """
    most = sorted(own)[len(own) // 2] or 1  # a first row that brings the common beginning is cut into several
    cut = [(part, min(part + most, end)) for begin, end in _spans(own) for part in range(begin, end, most)]
    ways = [_path(before, end - 1) for _, end in cut]
    many, widest, longest = len(cut), max(end - begin for begin, end in cut), max(map(len, ways))
    queries, paths = np.zeros((many, widest), np.int64), np.zeros((many, longest), np.int64)
    first = np.zeros(many, np.int64)
    back = np.zeros(len(before), np.int64)
    for lane, ((begin, end), way) in enumerate(zip(cut, ways, strict=True)):
        queries[lane, widest - (end - begin) :] = range(begin, end)
        paths[lane, longest - len(way) :] = way
        first[lane] = longest - len(way)
        back[begin:end] = np.arange(lane * widest + widest - (end - begin), (lane + 1) * widest)
    keys = np.arange(longest)
    seen = (keys >= first[:, None, None]) & (keys <= np.arange(longest - widest, longest)[None, :, None])
    seen[:, :, -1] |= ~seen.any(2)  # a filling query sees something, for a mean over nothing is NaN
    sight = np.where(seen, np.float32(0), np.float32(-np.inf))
    real = np.zeros((many * widest), np.float32)
    real[back] = 1
    found = dict(zip(LANES, (queries, paths, sight, real.reshape(many, widest, 1), back), strict=True))
    return {name: torch.from_numpy(array) for name, array in found.items()}


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    lanes: Mapping[str, Tensor] | None = None,
    **told: Any,
) -> tuple[Tensor, None]:
    """transformers' own attention, and lanes where a tree brings them: (1, H, T, D) of queries, (1, K, T, D) of keys.

    Returns (1, T, H, D) as transformers wants it. What lanes do not know (dropout, caps, sinks) takes the mask.
    """
    if lanes is None or dropout or any(told.get(name) is not None for name in ("softcap", "s_aux", "position_bias")):
        plain = need("transformers.integrations.sdpa_attention", extra="hub").sdpa_attention_forward
        return plain(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **told)  # type: ignore[no-any-return]
    times = query.shape[-1] ** -0.5 if scaling is None else scaling
    found: Tensor = _Lanes.apply(query, key, value, *(lanes[name] for name in LANES), times)  # type: ignore[no-untyped-call]
    return found, None


class _Lanes(torch.autograd.Function):
    """softmax(Q·Kᵀ·times + sight)·V of every lane, with one node to walk back through where there would be twenty.

    H heads of queries share K heads of keys. The lanes' copies of queries, keys and values are made again on the way
    back, which costs less than to keep them. A token is asked for once, so what scatters going one way gathers going
    the other; only keys, which many lanes see, are summed.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor,
        queries: Tensor, paths: Tensor, sight: Tensor, real: Tensor, back: Tensor, times: float,
    ) -> Tensor:  # fmt: skip
        heads, shared = query.shape[1], key.shape[1]
        asked, keys, values = _laned(query, queries, shared), _laned(key, paths, shared), _laned(value, paths, shared)
        scores = torch.bmm(asked, keys.transpose(1, 2)).mul_(times)
        many, rows, longest = sight.shape
        scores.view(many, shared, rows, -1, longest).add_(sight[:, None, :, None])
        weights = scores.softmax(-1)
        ctx.save_for_backward(query, key, value, weights, queries, paths, real, back)
        ctx.times = times
        answers = _unlaned(torch.bmm(weights, values), rows, shared)
        return answers.index_select(0, back).view(1, len(back), heads, -1)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        query, key, value, weights, queries, paths, real, back = ctx.saved_tensors
        shared, rows = key.shape[1], queries.shape[1]
        asked, keys, values = _laned(query, queries, shared), _laned(key, paths, shared), _laned(value, paths, shared)
        given = _laned(slope.transpose(1, 2), queries, shared, real)
        of_values = torch.bmm(weights.transpose(1, 2), given)
        of_weights = torch.bmm(given, values.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.times)
        of_query = _unlaned(torch.bmm(of_scores, keys), rows, shared).index_select(0, back)
        of_keys = torch.bmm(of_scores.transpose(1, 2), asked)
        return (
            of_query.view(len(back), query.shape[1], -1).transpose(0, 1)[None],
            _summed(of_keys, key, paths), _summed(of_values, value, paths), *[None] * 6,
        )  # fmt: skip


class _RMSNorm(torch.autograd.Function):
    """x · rsqrt(mean(x²) + eps) · w over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse: Tensor = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        size = x.shape[-1]
        both = (slope * x).reshape(-1, size)
        along = torch.mv(both, weight).view(inverse.shape).mul_(inverse.square()).div_(size)
        of_weight = torch.mv(both.t(), inverse.reshape(-1))
        return (slope * weight).addcmul_(x, along, value=-1).mul_(inverse), of_weight, None


def quicken_norms(module: nn.Module) -> int:
    """Gives every norm of the module that is an RMS norm, by trial, the function above. Returns how many."""
    found = 0
    for part in module.modules():
        plus = None if "forward" in vars(part) else shift(part)
        if plus is not None:
            part.forward = MethodType(_norm(type(part).forward, plus, epsilon(part), _narrows(part)), part)
            found += 1
    return found


def use_lanes(module: Any) -> None:
    """Make the attention above the module's own. Without lanes it is the one that the module had."""
    transformers = need("transformers", extra="hub")
    masks = need("transformers.masking_utils", extra="hub")
    transformers.AttentionInterface.register(NAME, attention)
    transformers.AttentionMaskInterface.register(NAME, masks.sdpa_mask)
    module.set_attn_implementation(NAME)


def _norm(original: Any, plus: float, eps: float, narrows: bool) -> Any:
    def forward(norm: Any, x: Tensor, *rest: Any, **told: Any) -> Tensor:
        weight: Tensor = norm.weight
        if rest or told or weight.dtype != torch.float32:
            return original(norm, x, *rest, **told)  # type: ignore[no-any-return]
        scale = weight + plus if plus else weight
        if launches(x):
            found = functional.rms_norm(x.float(), scale.shape, scale, eps)
            return found.to(x.dtype) if narrows else found
        if x.dtype != torch.float32:
            return original(norm, x)  # type: ignore[no-any-return]
        return _RMSNorm.apply(x, scale, eps)  # type: ignore[no-any-return, no-untyped-call]

    return forward


def launches(x: Tensor) -> bool:
    """Whether what is done with x is launched on another device."""
    return x.is_cuda


def _narrows(norm: Any) -> bool:
    """Whether half-precision input comes out in half precision though the weight is wider; families differ in it."""
    with torch.no_grad():
        found: Tensor = norm(torch.ones(1, norm.weight.shape[0], dtype=torch.bfloat16))
    return found.dtype == torch.bfloat16


def epsilon(norm: Any) -> float:
    return float(getattr(norm, "eps", getattr(norm, "variance_epsilon", 0.0)) or 0.0)


def shift(norm: Any) -> float | None:
    """What a norm adds to its weight (Gemma: 1), or None where the module is another function than ours."""
    weight = norm._parameters.get("weight")
    if len(norm._parameters) != 1 or weight is None or weight.dim() != 1 or norm._modules or not epsilon(norm):
        return None
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return None
    chance = torch.Generator().manual_seed(0)
    sample = torch.randn(3, len(weight), generator=chance).to(weight.device)
    with torch.no_grad():
        wanted = norm(sample)
        for plus in (0.0, 1.0):
            ours = _RMSNorm.apply(sample, weight + plus, epsilon(norm))  # type: ignore[no-untyped-call]
            if torch.allclose(ours, wanted, rtol=1e-5, atol=1e-6):
                return plus
    return None


def _laned(part: Tensor, places: Tensor, shared: int, real: Tensor | None = None) -> Tensor:
    """(1, H, T, D) at places (G, N) → (G·K, N·(H/K), D), K of them shared; × real (G, N, 1) where it is given."""
    _, heads, _, width = part.shape
    found = part[0].transpose(0, 1).reshape(-1, heads * width).index_select(0, places.reshape(-1))
    if real is not None:
        found.mul_(real.reshape(-1, 1))
    laid = found.view(*places.shape, shared, -1, width).transpose(1, 2)
    return laid.reshape(len(places) * shared, -1, width)


def _unlaned(part: Tensor, rows: int, shared: int) -> Tensor:
    """(G·K, Q·(H/K), D) with Q rows a lane → (G·Q, H·D)."""
    laid = part.view(len(part) // shared, shared, rows, -1, part.shape[-1]).transpose(1, 2)
    return laid.reshape(len(laid) * rows, -1)


def _summed(part: Tensor, like: Tensor, paths: Tensor) -> Tensor:
    """(G·K, L, D), each lane's share of what belongs to the keys on its path → (1, K, T, D) like the keys."""
    _, shared, size, width = like.shape
    shares = part.view(len(paths), shared, -1, width).transpose(1, 2).reshape(-1, shared * width)
    whole = shares.new_zeros(size, shared * width).index_add_(0, paths.reshape(-1), shares)
    return whole.view(size, shared, width).transpose(0, 1)[None]


def _spans(own: Sequence[int]) -> list[tuple[int, int]]:
    ends = np.cumsum(own).tolist()
    return [(end - size, end) for end, size in zip(ends, own, strict=True) if size]


def _path(before: Sequence[int], place: int) -> list[int]:
    way = []
    while place >= 0:
        way.append(place)
        place = before[place]
    return way[::-1]
