"""Linear projections of a layer with few matmuls: weights that share an input are concatenated, with their adapters.

Where weights have to be cast to the dtype of the matmul, all of a layer's are cast at once, those of a group into one
matrix, and the group is one matmul. Where they have that dtype already they stay where they are: copies would take as
much memory again as the weights. LoRA (Hu et al., 2021, arXiv:2106.09685) as peft injects it is two more matmuls per
group: its down-projections are concatenated, its up-projections form a block-diagonal matrix, so that each sees its
own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Projection:
    """A linear layer, and its adapter, which adds up · down · x · scale.

    weight, bias  of the layer
    down, up      of the adapter, None without one
    scale         of the adapter
    """

    weight: Tensor
    bias: Tensor | None
    down: Tensor | None = None
    up: Tensor | None = None
    scale: float = 0.0

    @property
    def adapted(self) -> bool:
        """Whether the layer has an adapter."""
        return self.down is not None


def projection(module: Any) -> Projection | None:
    """The parts of a `module`; None where it is no linear layer, or has an adapter of another kind."""
    if type(module) is nn.Linear:
        return Projection(module.weight, module.bias)
    base, downs, ups = (getattr(module, name, None) for name in ("base_layer", "lora_A", "lora_B"))
    if type(base) is not nn.Linear or downs is None or ups is None or list(downs) != list(ups) or len(downs) != 1:
        return None
    (name,) = downs
    down, up = downs[name], ups[name]
    if module.disable_adapters or module.merged or list(module.active_adapters) != [name]:
        return None
    if not isinstance(module.lora_dropout[name], nn.Identity) or getattr(module, "lora_variant", {}):
        return None
    if any(type(one) is not nn.Linear or one.bias is not None for one in (down, up)):
        return None
    return Projection(base.weight, base.bias, down.weight, up.weight, float(module.scaling[name]))


def projections(modules: Sequence[Any]) -> list[Projection] | None:
    """The parts of all `modules`; None where one is not known, or adapters differ in scale, which is applied to a whole
    group."""
    found = [one for module in modules if (one := projection(module)) is not None]
    same_scale = len({one.scale for one in found if one.adapted}) <= 1
    return found if len(found) == len(modules) and same_scale else None


@dataclass(frozen=True)
class GroupedLinear:
    """The projections of one input, in one dtype: separate matrices, or one matrix for the whole group.

    weights, biases  one of each per projection, or one for all
    adapters         (down, up) for each of the weights, None without
    scale            of the adapters
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor | None]
    adapters: Sequence[tuple[Tensor, Tensor] | None]
    scale: float

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Project `x` (…, D): one tensor per projection, or a single one where the group is one matrix."""
        outputs = []
        for weight, bias, adapter in zip(self.weights, self.biases, self.adapters, strict=True):
            output = functional.linear(x, weight, bias)
            if adapter is not None:
                down, up = adapter
                output = torch.add(output, functional.linear(functional.linear(x, down), up), alpha=self.scale)
            outputs.append(output)
        return outputs

    def one(self, x: Tensor) -> Tensor:
        """Project `x` (…, D) by a group of one."""
        (output,) = self(x)
        return output

    def two(self, x: Tensor) -> Sequence[Tensor]:
        """Project `x` (…, D) by a group of two of the same size."""
        outputs = self(x)
        return outputs if len(outputs) == 2 else outputs[0].chunk(2, -1)


def grouped_linears(
    groups: Sequence[Sequence[Projection]], dtype: torch.dtype, *, concatenate: bool = False
) -> list[GroupedLinear]:
    """The matmuls of a layer.

    groups       projections that share an input
    dtype        in which they are computed
    concatenate  one matrix per group even where nothing has to be cast
    """
    if concatenate or groups[0][0].weight.dtype != dtype:
        return _concatenated(groups, dtype)
    parts = [part for group in groups for one in group for part in (one.down, one.up) if part is not None]
    in_dtype = all(part.dtype == dtype for part in parts)
    cast = iter(parts if in_dtype else concatenate_cast([[part] for part in parts], dtype))
    return [
        GroupedLinear(
            [one.weight for one in group],
            [one.bias for one in group],
            [(next(cast), next(cast)) if one.adapted else None for one in group],
            _scale(group),
        )
        for group in groups
    ]


def _concatenated(groups: Sequence[Sequence[Projection]], dtype: torch.dtype) -> list[GroupedLinear]:
    layouts: list[_BlockLayout] = []
    for group in groups:
        layouts += [_stacked([one.weight for one in group])]
        layouts += [_stacked([one.bias for one in group if one.bias is not None])] if group[0].bias is not None else []
        if any(one.adapted for one in group):
            layouts += [_stacked([one.down for one in group if one.down is not None]), _block_diagonal(group)]
    tensors = iter(_assemble(layouts, dtype))
    linears = []
    for group in groups:
        weight = next(tensors)
        bias = next(tensors) if group[0].bias is not None else None
        adapter = (next(tensors), next(tensors)) if any(one.adapted for one in group) else None
        linears.append(GroupedLinear([weight], [bias], [adapter], _scale(group)))
    return linears


def _scale(group: Sequence[Projection]) -> float:
    return max(one.scale for one in group)


# ── block matrices ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _BlockLayout:
    """A tensor of this shape with each of the weights at its corner (row, column), zeros elsewhere."""

    shape: tuple[int, ...]
    weights: tuple[Tensor, ...]
    corners: tuple[tuple[int, int], ...]

    @property
    def is_dense(self) -> bool:
        return sum(weight.numel() for weight in self.weights) == torch.Size(self.shape).numel()

    def blocks(self, tensor: Tensor) -> Iterator[Tensor]:
        for weight, (row, column) in zip(self.weights, self.corners, strict=True):
            rows = tensor[row : row + len(weight)]
            yield rows if rows.dim() == 1 else rows[:, column : column + weight.shape[1]]


def _stacked(weights: Sequence[Tensor]) -> _BlockLayout:
    """One below the other."""
    starts = [sum(map(len, weights[:index])) for index in range(len(weights))]
    shape = (sum(map(len, weights)), *weights[0].shape[1:])
    return _BlockLayout(shape, tuple(weights), tuple((start, 0) for start in starts))


def _block_diagonal(group: Sequence[Projection]) -> _BlockLayout:
    """Up-projections, each in the rows of its own weight and the columns of its own down-projection."""
    row = column = 0
    weights, corners = [], []
    for one in group:
        if one.up is not None:
            weights.append(one.up)
            corners.append((row, column))
            column += one.up.shape[1]
        row += len(one.weight)
    return _BlockLayout((row, column), tuple(weights), tuple(corners))


class _CastAndStack(torch.autograd.Function):
    """Block matrices in another dtype: one launch forward, and one backward for those whose weights are trained."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, layouts: Sequence[_BlockLayout], *weights: Tensor) -> tuple[Tensor, ...]:
        tensors = tuple(
            (torch.empty if layout.is_dense else torch.zeros)(
                layout.shape, dtype=dtype, device=layout.weights[0].device
            )
            for layout in layouts
        )
        blocks = [block for layout, tensor in zip(layouts, tensors, strict=True) for block in layout.blocks(tensor)]
        torch._foreach_copy_(blocks, list(weights))
        ctx.layouts = layouts
        ctx.set_materialize_grads(False)
        needed = iter(ctx.needs_input_grad[2:])
        trained = [any(list(islice(needed, len(layout.weights)))) for layout in layouts]
        ctx.mark_non_differentiable(*(one for one, wanted in zip(tensors, trained, strict=True) if not wanted))
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        weights = [weight for layout in ctx.layouts for weight in layout.weights]
        blocks: list[Any] = []
        for layout, gradient in zip(ctx.layouts, gradients, strict=True):
            blocks += [None] * len(layout.weights) if gradient is None else layout.blocks(gradient)
        needed = ctx.needs_input_grad[2:]
        wanted = [index for index, block in enumerate(blocks) if block is not None and needed[index]]
        found = {index: torch.empty_like(weights[index]) for index in wanted}
        torch._foreach_copy_(list(found.values()), [blocks[index] for index in wanted])
        return None, None, *(found.get(index) for index in range(len(weights)))


def _assemble(layouts: Sequence[_BlockLayout], dtype: torch.dtype) -> tuple[Tensor, ...]:
    weights = [weight for layout in layouts for weight in layout.weights]
    tensors: tuple[Tensor, ...] = _CastAndStack.apply(dtype, layouts, *weights)  # type: ignore[no-untyped-call]
    return tensors


def concatenate_cast(groups: Sequence[Sequence[Tensor]], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """One tensor per group, its weights one below the other; gradients go back to each.

    groups  weights of the same width
    dtype   of the result
    """
    return _assemble([_stacked(group) for group in groups], dtype)
