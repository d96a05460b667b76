"""Products of a layer, few at a time: weights of one input laid beside each other, with their adapters.

Where weights have to be cast to the dtype of the products, all of a layer's are cast at once, those of a group into one
table, and the group is one product. Where they have that dtype already they stay where they are: copies would take as
much memory again as the weights. LoRA (Hu et al., 2021, arXiv:2106.09685) as peft puts it in is two products more a
group: its down-projections lie beside each other, its up-projections in blocks, so that each sees its own.
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
    """A linear layer, and what an adapter adds to it: up · down · input · times."""

    weight: Tensor
    bias: Tensor | None
    down: Tensor | None = None
    up: Tensor | None = None
    times: float = 0.0

    @property
    def adapted(self) -> bool:
        return self.down is not None


def projection(module: Any) -> Projection | None:
    """What a module is by its parts; None where it is no linear layer, or has an adapter of another kind."""
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
    """What every module is; None where one of them is not known, or adapters come in by different factors: a factor is
    applied to a whole group."""
    found = [one for module in modules if (one := projection(module)) is not None]
    same = len({one.times for one in found if one.adapted}) <= 1
    return found if len(found) == len(modules) and same else None


@dataclass(frozen=True)
class Products:
    """What an input is multiplied with: tensors of one dtype, one of each or one for every projection of a group."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor | None]
    adapters: Sequence[tuple[Tensor, Tensor] | None]
    times: float

    def __call__(self, x: Tensor) -> list[Tensor]:
        """x (…, D) times the weights: one tensor where the group lies in one table."""
        found = []
        for weight, bias, adapter in zip(self.weights, self.biases, self.adapters, strict=True):
            one = functional.linear(x, weight, bias)
            if adapter is not None:
                down, up = adapter
                one = torch.add(one, functional.linear(functional.linear(x, down), up), alpha=self.times)
            found.append(one)
        return found

    def one(self, x: Tensor) -> Tensor:
        """x times the only weight of a group of one."""
        (found,) = self(x)
        return found

    def two(self, x: Tensor) -> Sequence[Tensor]:
        """x times two weights of the same size."""
        found = self(x)
        return found if len(found) == 2 else found[0].chunk(2, -1)


def laid(groups: Sequence[Sequence[Projection]], dtype: torch.dtype, *, joined: bool = False) -> list[Products]:
    """What each group multiplies its input with, in that dtype. `joined`: in tables even where nothing is cast."""
    if joined or groups[0][0].weight.dtype != dtype:
        return _joined(groups, dtype)
    flat = [part for group in groups for one in group for part in (one.down, one.up) if part is not None]
    cast = iter(flat if all(part.dtype == dtype for part in flat) else beside([[part] for part in flat], dtype))
    return [
        Products(
            [one.weight for one in group],
            [one.bias for one in group],
            [(next(cast), next(cast)) if one.adapted else None for one in group],
            _times(group),
        )
        for group in groups
    ]


def _joined(groups: Sequence[Sequence[Projection]], dtype: torch.dtype) -> list[Products]:
    tables: list[_Table] = []
    for group in groups:
        tables += [_below([one.weight for one in group])]
        tables += [_below([one.bias for one in group if one.bias is not None])] if group[0].bias is not None else []
        if any(one.adapted for one in group):
            tables += [_below([one.down for one in group if one.down is not None]), _blocks(group)]
    made = iter(_made(tables, dtype))
    found = []
    for group in groups:
        weight = next(made)
        bias = next(made) if group[0].bias is not None else None
        adapter = (next(made), next(made)) if any(one.adapted for one in group) else None
        found.append(Products([weight], [bias], [adapter], _times(group)))
    return found


def _times(group: Sequence[Projection]) -> float:
    return max(one.times for one in group)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Table:
    """A tensor of this shape, each of the weights at its corner (row, column), zeros elsewhere."""

    shape: tuple[int, ...]
    weights: tuple[Tensor, ...]
    corners: tuple[tuple[int, int], ...]

    @property
    def full(self) -> bool:
        return sum(weight.numel() for weight in self.weights) == torch.Size(self.shape).numel()

    def places(self, table: Tensor) -> Iterator[Tensor]:
        for weight, (row, column) in zip(self.weights, self.corners, strict=True):
            rows = table[row : row + len(weight)]
            yield rows if rows.dim() == 1 else rows[:, column : column + weight.shape[1]]


def _below(weights: Sequence[Tensor]) -> _Table:
    """One below the other."""
    starts = [sum(map(len, weights[:place])) for place in range(len(weights))]
    shape = (sum(map(len, weights)), *weights[0].shape[1:])
    return _Table(shape, tuple(weights), tuple((start, 0) for start in starts))


def _blocks(group: Sequence[Projection]) -> _Table:
    """Up-projections, each in the rows of its own weight and the columns of its own down-projection."""
    row = column = 0
    weights, corners = [], []
    for one in group:
        if one.up is not None:
            weights.append(one.up)
            corners.append((row, column))
            column += one.up.shape[1]
        row += len(one.weight)
    return _Table((row, column), tuple(weights), tuple(corners))


class _Made(torch.autograd.Function):
    """Tables in another dtype: one launch, and one on the way back for those that are taught."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, tables: Sequence[_Table], *weights: Tensor) -> tuple[Tensor, ...]:
        found = tuple(
            (torch.empty if table.full else torch.zeros)(table.shape, dtype=dtype, device=table.weights[0].device)
            for table in tables
        )
        places = [place for table, one in zip(tables, found, strict=True) for place in table.places(one)]
        torch._foreach_copy_(places, list(weights))
        ctx.tables = tables
        ctx.set_materialize_grads(False)
        needed = iter(ctx.needs_input_grad[2:])
        taught = [any(list(islice(needed, len(table.weights)))) for table in tables]
        ctx.mark_non_differentiable(*(one for one, wanted in zip(found, taught, strict=True) if not wanted))
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Any:
        weights = [weight for table in ctx.tables for weight in table.weights]
        given: list[Any] = []
        for table, slope in zip(ctx.tables, slopes, strict=True):
            given += [None] * len(table.weights) if slope is None else table.places(slope)
        needed = ctx.needs_input_grad[2:]
        wanted = [place for place, part in enumerate(given) if part is not None and needed[place]]
        found = {place: torch.empty_like(weights[place]) for place in wanted}
        torch._foreach_copy_(list(found.values()), [given[place] for place in wanted])
        return None, None, *(found.get(place) for place in range(len(weights)))


def _made(tables: Sequence[_Table], dtype: torch.dtype) -> tuple[Tensor, ...]:
    weights = [weight for table in tables for weight in table.weights]
    found: tuple[Tensor, ...] = _Made.apply(dtype, tables, *weights)  # type: ignore[no-untyped-call]
    return found


def beside(groups: Sequence[Sequence[Tensor]], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """One tensor of that dtype for every group, its weights one below the other; gradients go back to each."""
    return _made([_below(group) for group in groups], dtype)
