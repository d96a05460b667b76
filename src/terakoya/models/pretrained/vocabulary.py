"""Embeddings and output head of a pretrained model: whole, trimmed, or with new rows beside frozen ones.

**Trimming.** A model with 262,144 tokens spends most of its time and memory on tokens that the data never uses.
Trimmed, it holds the rows of those that data, template and special tokens need. What changes: the softmax runs over
the kept tokens, so a loss is lower than over all of them, and a prediction is chosen among the kept ones; hidden states
do not change. A source may hold any token all the same: rows that were not kept are read, frozen, from the checkpoint.
`VocabularyTables.full` puts the full table together again, with rows that were not kept bit for bit as they were.

**New rows under LoRA.** The rows of new tokens are parameters of their own (`fresh`), the others stay frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from terakoya.errors import IncompatibleError
from terakoya.i18n import _


class TokenIdMap:
    """Ids of the full vocabulary ↔ ids of the trimmed one, with which the model works.

    rows  size of the full table
    kept  full ids of the kept tokens, in trimmed order (None: all, and both ids are the same)

    Token i that is not kept is `size + i` in trimmed ids, so that a source can still name it.
    """

    def __init__(self, rows: int, kept: Sequence[int] | None = None) -> None:
        self.rows = rows
        self.kept_ids = None if kept is None else tuple(kept)
        self.size = rows if kept is None else len(kept)
        self._trimmed = {} if kept is None else {full: index for index, full in enumerate(kept)}

    def to_trimmed(self, ids: Iterable[int]) -> list[int]:
        """Trimmed ids of these full `ids`."""
        if self.kept_ids is None:
            return list(ids)
        return [self._trimmed.get(full, self.size + full) for full in ids]

    def to_full(self, ids: Iterable[int]) -> list[int]:
        """Full ids of these trimmed `ids`."""
        if self.kept_ids is None:
            return list(ids)
        return [self.kept_ids[trimmed] if trimmed < self.size else trimmed - self.size for trimmed in ids]


@dataclass(frozen=True)
class EmbeddingTables:
    """The modules that hold a row per token.

    inputs  embeddings, all sharing one weight (V, D)
    head    output projection
    tied    whether the head shares that weight
    """

    inputs: tuple[nn.Embedding, ...]
    head: nn.Linear
    tied: bool

    @property
    def rows(self) -> int:
        """Number of embedding rows."""
        return int(self.inputs[0].weight.shape[0])


def embedding_tables(module: Any) -> EmbeddingTables:
    """Embeddings and head of `module`, a model of transformers."""
    weight = module.get_input_embeddings().weight
    inputs = tuple(m for m in module.modules() if isinstance(m, nn.Embedding) and m.weight is weight)
    head = module.get_output_embeddings()
    return EmbeddingTables(inputs, head, head.weight is weight)


class VocabularyTables:
    """The embeddings and the head of a model, trimmed and with new rows where wanted. Changes the model in place.

    module  a model of transformers
    kept    full ids whose rows stay in the model (None: all)
    Raises IncompatibleError where the head cannot be trimmed.
    """

    def __init__(self, module: Any, kept: Sequence[int] | None = None) -> None:
        self.tables = embedding_tables(module)
        self.module = module
        self.id_map = TokenIdMap(self.tables.rows, kept)
        self.fresh: tuple[int, int] | None = None  # first trimmed id and number of the rows trained beside frozen ones
        # Embeddings and head as they were opened: mapped from the checkpoint's file, and read where they are needed.
        self.full_tables: tuple[Tensor, Tensor] | None = None
        if kept is not None:
            self._trim(torch.tensor(kept))

    def read_full_tables_from(self, embeddings: Tensor, head: Tensor) -> None:
        """Take the rows that are not kept from these tensors and release the copy in memory.

        embeddings, head  (V, D) each, mapped from a file
        """
        self.full_tables = (embeddings, head)
        for table in self.tables.inputs:
            table.rest = embeddings

    @torch.no_grad()
    def _trim(self, kept: Tensor) -> None:
        if self.tables.head.bias is not None:
            raise IncompatibleError(
                _("the head of this model has a bias for every token, which cannot be trimmed"),
                where="model.vocabulary",
                do=_("Set model.vocabulary = 'full'."),
            )
        old, head = self.tables.inputs[0].weight, self.tables.head
        self.full_tables = (old.data, old.data if self.tables.tied else head.weight.data)
        small = nn.Parameter(old.data[kept].clone(), requires_grad=old.requires_grad)
        index_of = {full: index for index, full in enumerate(kept.tolist())}
        for table in self.tables.inputs:
            _mix_in(table, _EmbeddingRows)
            table.rest = self.full_tables[0]
            table.weight, table.num_embeddings = small, len(kept)
            table.padding_idx = None if table.padding_idx is None else index_of.get(table.padding_idx)
        head.weight = small if self.tables.tied else nn.Parameter(head.weight.data[kept].clone())
        head.out_features = len(kept)

    def free_rows(self, first: int, count: int) -> None:
        """Under LoRA: train some rows as parameters of their own, while the others stay frozen.

        first  trimmed id of the first row
        count  number of rows
        """
        self.fresh = (first, count)
        table, head = self.tables.inputs[0], self.tables.head
        own = nn.Parameter(table.weight.data[first : first + count].clone())
        for one in self.tables.inputs:
            _mix_in(one, _EmbeddingRows)
            one.fresh, one.first = own, first  # type: ignore[assignment]
        _mix_in(head, NewRowsHead)
        head.first = first  # type: ignore[assignment]
        head.fresh = own if self.tables.tied else nn.Parameter(head.weight.data[first : first + count].clone())

    def fresh_rows(self) -> dict[str, nn.Parameter]:
        """The rows that `free_rows` made trainable, by the table they belong to ("embeddings", "head")."""
        parts: dict[str, Any] = {"embeddings": self.tables.inputs[0]}
        parts |= {} if self.tables.tied else {"head": self.tables.head}
        return {name: part.fresh for name, part in parts.items()}

    def full(self) -> tuple[Tensor, Tensor]:
        """The full tables (embeddings, head) with trained rows at their ids; one tensor twice where they are tied."""
        table, head = self.tables.inputs[0], self.tables.head
        embeddings = self._full(table, 0)
        return embeddings, embeddings if self.tables.tied else self._full(head, 1)

    @torch.no_grad()
    def _full(self, part: Any, which: int) -> Tensor:
        weight: Tensor = part.weight.detach().cpu()
        if self.fresh:
            start, count = self.fresh
            weight = torch.cat((weight[:start], part.fresh.detach().cpu(), weight[start + count :]))
        if self.full_tables is None:
            return weight
        assert self.id_map.kept_ids is not None
        opened = self.full_tables[which]
        whole: Tensor = weight.new_empty(self.id_map.rows, weight.shape[1])
        whole[: len(opened)] = opened  # a file holds no rows for new tokens; those are always kept
        whole[torch.tensor(self.id_map.kept_ids)] = weight
        return whole


@contextmanager
def head_at(head: nn.Module, indices: Tensor) -> Iterator[None]:
    """Inside, the head computes logits (1, N, V) of some positions only.

    head     output head of a model, whose own forward (soft caps, scales) goes on as usual
    indices  (N,), into the flattened (rows × positions)
    """

    def select(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].flatten(0, -2).index_select(0, indices)[None], *inputs[1:])

    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


class _EmbeddingRows:
    """Mixed into an embedding: looks up frozen rows of the checkpoint and separately trained rows beside its own."""

    rest: Tensor | None = None
    first = 0

    def forward(self, ids: Tensor) -> Tensor:
        own: Any = self
        size, trained = own.weight.shape[0], own._parameters.get("fresh")
        if trained is None and (own.rest is None or not bool((ids >= size).any())):
            return super().forward(ids)  # type: ignore[misc,no-any-return]
        unique, inverse = torch.unique(ids, return_inverse=True)
        rows = own.weight[unique.clamp(max=size - 1)]
        if own.rest is not None:
            others = (unique - size).clamp(min=0).to(own.rest.device)
            rows = torch.where((unique >= size)[:, None], own.rest[others].to(rows), rows)
        if trained is not None:
            offset = (unique - own.first).clamp(0, len(trained) - 1)
            is_new = (unique >= own.first) & (unique < own.first + len(trained))
            rows = torch.where(is_new[:, None], trained[offset], rows)
        # The embedding's own class does the rest (Gemma scales its rows), with these rows for a table.
        return torch.func.functional_call(own.original[0], {"weight": rows}, (inverse,))  # type: ignore[no-any-return]


class NewRowsHead:
    """Mixed into an output head: the logits of separately trained rows in place of the frozen ones."""

    first = 0

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits (…, V) of `hidden` (…, D)."""
        own: Any = self
        logits = own.frozen_logits(hidden)
        new = F.linear(hidden, own.fresh)
        return torch.cat((logits[..., : own.first], new, logits[..., own.first + len(own.fresh) :]), dim=-1)

    def frozen_logits(self, hidden: Tensor) -> Tensor:
        """Logits (…, V) of `hidden` (…, D) by the frozen weight alone: nearly all the work; `prepacked` replaces it."""
        return super().forward(hidden)  # type: ignore[misc,no-any-return]


def _mix_in(module: nn.Module, mixin: type) -> None:
    """Give a module the mixin's forward. Names of weights stay, and it remains an instance of its class."""
    if isinstance(module, mixin):
        return
    original = copy.copy(module)
    # Rows are passed to the original at each call; holding the table itself would keep all of a checkpoint in memory.
    held, empty = module._parameters, nn.Parameter(torch.empty(0), requires_grad=False)
    original.__dict__["_parameters"] = {name: None if weight is None else empty for name, weight in held.items()}
    original.__dict__["padding_idx"] = None
    module.__dict__["original"] = [original]  # in a list, so that it is not registered as a part of the model
    module.__class__ = type(f"{mixin.__name__}{type(module).__name__}", (mixin, type(module)), {})
