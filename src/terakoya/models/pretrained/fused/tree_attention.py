"""Attention over a prefix tree branch by branch: the same values as through a mask, sooner and in less memory.

Rows laid out as a prefix tree (`causal_batches`) see T × T positions through a mask, although a token attends at most
to its own row. Here the tokens of each row form a branch, whose queries meet only the keys on the path from the root:
G branches of at most Q queries and L keys, G·Q·L scores where there were T². Sums are the same, in another order.

Whether branches give what the mask gives is measured on the model itself. On a GPU, where a small model waits for
kernels to be launched, branches would launch more than they save and are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from terakoya.errors import need
from terakoya.models.pretrained.fused import dispatch

NAME = "terakoya"  # of this attention among those of transformers
_NEED_MASK = ("softcap", "s_aux", "position_bias")
BRANCH_TENSORS = ("queries", "paths", "branch_mask", "valid", "output_index")


def branches(parents: Sequence[int], new_tokens: Sequence[int]) -> dict[str, Tensor]:
    """Index tensors that cut a prefix tree into branches.

    parents     (T,) index of the token before each one, -1 at a root; a token comes after its parent
    new_tokens  number of tokens that each row added to the tree, in order; their sum is T
    Returns, by BRANCH_TENSORS: queries (G, Q) and paths (G, L), indices of tokens; branch_mask (G, Q, L), 0 where a
    query sees a key, else -inf; valid (G, Q, 1), 1 where a query is no padding; output_index (T,), where each token's
    output lies among the G·Q. Branches are left-padded: a query sees its keys up to the one that is as far from the
    right as itself.
    """
    # The first row brings the prefix that all share; cut into several branches, it makes none of the others longer.
    most = sorted(new_tokens)[len(new_tokens) // 2] or 1
    cuts = [(part, min(part + most, end)) for start, end in _spans(new_tokens) for part in range(start, end, most)]
    ancestors = [_path(parents, end - 1) for _, end in cuts]
    count, widest, longest = len(cuts), max(end - start for start, end in cuts), max(map(len, ancestors))
    queries, paths = np.zeros((count, widest), np.int64), np.zeros((count, longest), np.int64)
    first = np.zeros(count, np.int64)
    output_index = np.zeros(len(parents), np.int64)
    for branch, ((start, end), path) in enumerate(zip(cuts, ancestors, strict=True)):
        queries[branch, widest - (end - start) :] = range(start, end)
        paths[branch, longest - len(path) :] = path
        first[branch] = longest - len(path)
        output_index[start:end] = np.arange(branch * widest + widest - (end - start), (branch + 1) * widest)
    keys = np.arange(longest)
    visible = (keys >= first[:, None, None]) & (keys <= np.arange(longest - widest, longest)[None, :, None])
    visible[:, :, -1] |= ~visible.any(2)  # a padding query sees something, for a mean over nothing is NaN
    mask = np.where(visible, np.float32(0), np.float32(-np.inf))
    valid = np.zeros((count * widest), np.float32)
    valid[output_index] = 1
    arrays = (queries, paths, mask, valid.reshape(count, widest, 1), output_index)
    return {name: torch.from_numpy(array) for name, array in zip(BRANCH_TENSORS, arrays, strict=True)}


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    branches: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """An attention function for transformers: by branches where a batch brings them, else the library's own.

    module          the attention layer
    query           (1, H, T, D)
    key, value      (1, K, T, D), H a multiple of K
    attention_mask  as the library wants it; not used with branches
    dropout         of attention weights; with dropout the mask is used
    scaling         of scores, 1/√D by default
    branches        tensors of `branches`; None without a prefix tree
    options         what else the library passes; soft caps, sinks and position biases go through the mask
    Returns (1, T, H, D) and None, as transformers expects it.
    """
    if branches is None or dropout or any(options.get(name) is not None for name in _NEED_MASK):
        plain = need("transformers.integrations.sdpa_attention", extra="hub").sdpa_attention_forward
        return plain(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options)  # type: ignore[no-any-return]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    tensors = (branches[name] for name in BRANCH_TENSORS)
    dtype = dispatch.matmul_dtype(query)
    # Cast here and not by each matmul: the backward pass has no autocast, and would meet two dtypes.
    with torch.autocast(query.device.type, enabled=False):
        output: Tensor = _BranchAttention.apply(  # type: ignore[no-untyped-call]
            query.to(dtype), key.to(dtype), value.to(dtype), *tensors, scale
        )
    return output, None


def use_tree_attention(module: Any) -> None:
    """Make `attention` that of a model of transformers; without branches it computes what the library computes.

    module  changed in place
    """
    transformers = need("transformers", extra="hub")
    masks = need("transformers.masking_utils", extra="hub")
    transformers.AttentionInterface.register(NAME, attention)
    transformers.AttentionMaskInterface.register(NAME, masks.sdpa_mask)
    module.set_attn_implementation(NAME)


class _BranchAttention(torch.autograd.Function):
    """softmax(Q·Kᵀ·scale + mask)·V of every branch, as one autograd node where there would be twenty.

    H heads of queries share K heads of keys. The branches' copies of queries, keys and values are gathered again in the
    backward pass, which costs less than to keep them. A token is a query once, so what scatters in one direction
    gathers in the other; only keys, which many branches see, are summed.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor,
        queries: Tensor, paths: Tensor, mask: Tensor, valid: Tensor, output_index: Tensor, scale: float,
    ) -> Tensor:  # fmt: skip
        heads, groups = query.shape[1], key.shape[1]
        q, k, v = _gather(query, queries, groups), _gather(key, paths, groups), _gather(value, paths, groups)
        scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
        count, rows, longest = mask.shape
        scores.view(count, groups, rows, -1, longest).add_(mask[:, None, :, None])
        weights = scores.softmax(-1)
        ctx.save_for_backward(query, key, value, weights, queries, paths, valid, output_index)
        ctx.scale = scale
        outputs = _ungroup(torch.bmm(weights, v), rows, groups)
        return outputs.index_select(0, output_index).view(1, len(output_index), heads, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        query, key, value, weights, queries, paths, valid, output_index = ctx.saved_tensors
        groups, rows = key.shape[1], queries.shape[1]
        q, k, v = _gather(query, queries, groups), _gather(key, paths, groups), _gather(value, paths, groups)
        output_gradient = _gather(gradient.transpose(1, 2), queries, groups, valid)
        value_gradient = torch.bmm(weights.transpose(1, 2), output_gradient)
        weight_gradient = torch.bmm(output_gradient, v.transpose(1, 2))
        score_gradient = torch._softmax_backward_data(weight_gradient, weights, -1, weights.dtype).mul_(ctx.scale)
        query_gradient = _ungroup(torch.bmm(score_gradient, k), rows, groups).index_select(0, output_index)
        key_gradient = torch.bmm(score_gradient.transpose(1, 2), q)
        return (
            query_gradient.view(len(output_index), query.shape[1], -1).transpose(0, 1)[None],
            _scatter_add(key_gradient, key, paths), _scatter_add(value_gradient, value, paths), *[None] * 6,
        )  # fmt: skip


def _gather(x: Tensor, indices: Tensor, groups: int, valid: Tensor | None = None) -> Tensor:
    """(1, H, T, D) at indices (G, N) → (G·K, N·(H/K), D) for K groups of heads; × valid (G, N, 1) where given."""
    _, heads, _, width = x.shape
    found = x[0].transpose(0, 1).reshape(-1, heads * width).index_select(0, indices.reshape(-1))
    if valid is not None:
        found.mul_(valid.reshape(-1, 1))
    grouped = found.view(*indices.shape, groups, -1, width).transpose(1, 2)
    return grouped.reshape(len(indices) * groups, -1, width)


def _ungroup(x: Tensor, rows: int, groups: int) -> Tensor:
    """(G·K, Q·(H/K), D) with Q rows a branch → (G·Q, H·D)."""
    grouped = x.view(len(x) // groups, groups, rows, -1, x.shape[-1]).transpose(1, 2)
    return grouped.reshape(len(grouped) * rows, -1)


def _scatter_add(x: Tensor, like: Tensor, paths: Tensor) -> Tensor:
    """(G·K, L, D), each branch's gradient of the keys on its path → (1, K, T, D) like the keys."""
    _, groups, size, width = like.shape
    parts = x.view(len(paths), groups, -1, width).transpose(1, 2).reshape(-1, groups * width)
    # In float32: many branches see the first keys, and a sum of as many terms in bfloat16 loses the small ones.
    total = parts.new_zeros(size, groups * width, dtype=torch.float32).index_add_(0, paths.reshape(-1), parts.float())
    return total.to(x.dtype).view(size, groups, width).transpose(0, 1)[None]


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """(start, end) of consecutive parts of these sizes, empty ones left out."""
    ends = np.cumsum(sizes).tolist()
    return [(end - size, end) for end, size in zip(ends, sizes, strict=True) if size]


def _path(parents: Sequence[int], index: int) -> list[int]:
    """Indices from the root to a token."""
    path = []
    while index >= 0:
        path.append(index)
        index = parents[index]
    return path[::-1]
