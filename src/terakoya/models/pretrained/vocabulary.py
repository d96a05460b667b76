"""The words of a pretrained model: new ones with a meaning from the start, and only those that are needed.

**New tokens.** Only what the data needs and the tokenizer cannot carry. A new row starts as the mean of the rows of
its name ("sparkles" for ✨, in Japanese where the name is known), at the usual length of a row, so that the first
loss is not above an even guess. Under LoRA the rows are trained by themselves (`fresh`), the others stay frozen.

**Trimming.** A model with 262,144 tokens spends most of its time and memory on words that the data never uses.
Trimmed, it holds the rows of the tokens that data, template and specials need. What changes: the softmax runs over
the kept tokens, so a loss is lower than over all of them, and an answer is chosen among the kept ones; hidden states
do not change. A source may hold any token all the same: rows that were not kept are read, frozen, from the
checkpoint. `restored` puts the full table together again; rows that were not kept come back bit for bit.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from terakoya.errors import IncompatibleError
from terakoya.i18n import both
from terakoya.text import graphemes

_SAMPLE = 4096  # rows whose lengths tell the usual one


class Numbering:
    """Full ids ↔ the ids that the model works with. Kept tokens come first; token i of the others is `size + i`."""

    def __init__(self, rows: int, kept: Sequence[int] | None = None) -> None:
        self.rows = rows
        self.kept = None if kept is None else tuple(kept)
        self.size = rows if kept is None else len(kept)
        self._inward = {} if kept is None else {full: place for place, full in enumerate(kept)}

    def inward(self, ids: Iterable[int]) -> list[int]:
        if self.kept is None:
            return list(ids)
        return [self._inward.get(number, self.size + number) for number in ids]

    def outward(self, ids: Iterable[int]) -> list[int]:
        if self.kept is None:
            return list(ids)
        return [self.kept[number] if number < self.size else number - self.size for number in ids]


@dataclass(frozen=True)
class Tables:
    """Where a model keeps its words: the embeddings (all sharing one weight) and the head, which may share it too."""

    inputs: tuple[nn.Embedding, ...]
    head: nn.Linear
    tied: bool

    @property
    def rows(self) -> int:
        return int(self.inputs[0].weight.shape[0])


def tables(module: Any) -> Tables:
    weight = module.get_input_embeddings().weight
    inputs = tuple(m for m in module.modules() if isinstance(m, nn.Embedding) and m.weight is weight)
    head = module.get_output_embeddings()
    return Tables(inputs, head, head.weight is weight)


def needed(
    written: Iterable[str],
    labels: Iterable[str],
    carries: Callable[[str], bool],
    spelt_in_bytes: Callable[[str], bool],
) -> list[str]:
    """Tokens to be added: labels that exist only as bytes or not at all, characters of targets that would be lost."""
    wanted = {label for label in labels if not carries(label) or spelt_in_bytes(label)}
    characters = {char for text in written for char in graphemes(text)} - {" "}
    wanted |= {char for char in characters if char not in wanted and not carries(char)}
    return sorted(wanted)


def meaning(token: str, names: Mapping[str, Sequence[str]]) -> str:
    """What a token means in words: given names, the Japanese name of an emoji, a plainer form, its Unicode name."""
    if names.get(token):
        return " ".join(names[token])
    import emoji

    emoji.config.load_language("ja")
    known = emoji.EMOJI_DATA.get(token) or emoji.EMOJI_DATA.get(token + "\ufe0f") or {}
    if known.get("ja"):
        return str(known["ja"]).strip(":").replace("_", " ")
    plainer = unicodedata.normalize("NFKC", token)
    if plainer not in ("", token):
        return plainer
    return " ".join(unicodedata.name(char, "") for char in token).lower().strip()


def first_rows(table: Tensor, spellings: Sequence[Sequence[int]], how: str, seed: int) -> Tensor:
    """(n, D) first values of new rows, all of the usual length: "meaning", "mean" or "random".

    A little noise (2% of the length) parts tokens of the same name.
    """
    sample = table[:: max(1, len(table) // _SAMPLE)].float()
    length = sample.norm(dim=1).median()
    chance = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(spellings), table.shape[1], generator=chance)
    noise = noise / noise.norm(dim=1, keepdim=True)
    if how == "random":
        chosen: Tensor = noise * length
        return chosen.to(table.dtype)
    middle = sample.mean(0)
    rows = [table[list(ids)].float().mean(0) if how == "meaning" and ids else middle for ids in spellings]
    start = torch.stack(rows)
    start = start / start.norm(dim=1, keepdim=True).clamp_min(1e-12)
    near: Tensor = (start + 0.02 * noise) * length
    return near.to(table.dtype)


@torch.no_grad()
def begin(module: Any, first: int, spellings: Sequence[Sequence[int]], how: str, seed: int) -> None:
    """Fill the rows from `first` on, one for each spelling, in embeddings and head."""
    found = tables(module)
    weights = [found.inputs[0].weight] if found.tied else [found.inputs[0].weight, found.head.weight]
    for weight in weights:
        weight[first : first + len(spellings)] = first_rows(weight[:first], spellings, how, seed)


class Words:
    """A model's tables under our hands: trimmed, with fresh rows, or untouched.

    kept   full ids whose rows are held (None: all)
    fresh  first id and number (in working ids) of rows that are trained while the others are frozen
    """

    def __init__(self, module: Any, kept: Sequence[int] | None = None) -> None:
        self.tables = tables(module)
        self.module = module
        self.numbering = Numbering(self.tables.rows, kept)
        self.fresh: tuple[int, int] | None = None
        # The whole tables, as they were opened: their pages are read from the checkpoint's file when they are needed.
        self.rest: tuple[Tensor, Tensor] | None = None
        if kept is not None:
            self._trim(torch.tensor(kept))

    def read_rest_from(self, embeddings: Tensor, head: Tensor) -> None:
        """Take the rows that are not kept from these tables (of a file) and let go of the copy in memory."""
        self.rest = (embeddings, head)
        for table in self.tables.inputs:
            table.rest = embeddings

    @torch.no_grad()
    def _trim(self, kept: Tensor) -> None:
        if self.tables.head.bias is not None:
            raise IncompatibleError(
                both(
                    "the head of this model has a bias for every token, which cannot be trimmed",
                    "このモデルのヘッドにはトークンごとのバイアスがあり、切り詰められない",
                ),
                where="model.vocabulary",
                do=both("Set model.vocabulary = 'full'.", "model.vocabulary = 'full' とすること。"),
            )
        old, head = self.tables.inputs[0].weight, self.tables.head
        self.rest = (old.data, old.data if self.tables.tied else head.weight.data)
        small = nn.Parameter(old.data[kept].clone(), requires_grad=old.requires_grad)
        for table in self.tables.inputs:
            _turn(table, _Rows)
            table.rest = self.rest[0]
            table.weight, table.num_embeddings = small, len(kept)
            pad = table.padding_idx
            table.padding_idx = None if pad is None or pad not in self._places(kept) else self._places(kept)[pad]
        head.weight = small if self.tables.tied else nn.Parameter(head.weight.data[kept].clone())
        head.out_features = len(kept)

    def _places(self, kept: Tensor) -> dict[int, int]:
        return {full: place for place, full in enumerate(kept.tolist())}

    def free_rows(self, first: int, count: int) -> None:
        """Under LoRA: rows first … first + count - 1 are trained, the other rows stay as they are."""
        self.fresh = (first, count)
        table, head = self.tables.inputs[0], self.tables.head
        own = nn.Parameter(table.weight.data[first : first + count].clone())
        for one in self.tables.inputs:
            _turn(one, _Rows)
            one.fresh, one.first = own, first  # type: ignore[assignment]
        _turn(head, Head)
        head.first = first  # type: ignore[assignment]
        head.fresh = own if self.tables.tied else nn.Parameter(head.weight.data[first : first + count].clone())

    def fresh_rows(self) -> dict[str, nn.Parameter]:
        """The rows that `free_rows` set free, by the table they belong to."""
        parts: dict[str, Any] = {"embeddings": self.tables.inputs[0]}
        parts |= {} if self.tables.tied else {"head": self.tables.head}
        return {name: part.fresh for name, part in parts.items()}

    def full(self) -> tuple[Tensor, Tensor]:
        """The full tables (embeddings, head), taught rows in their places; one tensor twice where they are tied."""
        table, head = self.tables.inputs[0], self.tables.head
        first = self._full(table, 0)
        return first, first if self.tables.tied else self._full(head, 1)

    @torch.no_grad()
    def _full(self, part: Any, which: int) -> Tensor:
        weight: Tensor = part.weight.detach().cpu()
        if self.fresh:
            start, count = self.fresh
            weight = torch.cat((weight[:start], part.fresh.detach().cpu(), weight[start + count :]))
        if self.rest is None:
            return weight
        assert self.numbering.kept is not None
        rest = self.rest[which]
        whole: Tensor = weight.new_empty(self.numbering.rows, weight.shape[1])
        whole[: len(rest)] = rest  # a file holds no rows for new tokens; those are always kept
        whole[torch.tensor(self.numbering.kept)] = weight
        return whole


@contextmanager
def only_at(head: nn.Module, places: Tensor) -> Iterator[None]:
    """Inside, the head sees hidden states at these places of the flattened (rows × positions) and gives (1, N, V).

    Every architecture's own forward goes on as ever (soft caps, scales), only on fewer positions.
    """

    def pick(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (given[0].flatten(0, -2).index_select(0, places)[None], *given[1:])

    hook = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()


class _Rows:
    """Mixed into an embedding: looks up frozen rows of the checkpoint and freshly trained rows beside its own."""

    rest: Tensor | None = None
    first = 0

    def forward(self, ids: Tensor) -> Tensor:
        own: Any = self
        size, trained = own.weight.shape[0], own._parameters.get("fresh")
        if trained is None and (own.rest is None or not bool((ids >= size).any())):
            return super().forward(ids)  # type: ignore[misc,no-any-return]
        found, places = torch.unique(ids, return_inverse=True)
        rows = own.weight[found.clamp(max=size - 1)]
        if own.rest is not None:
            others = (found - size).clamp(min=0).to(own.rest.device)
            rows = torch.where((found >= size)[:, None], own.rest[others].to(rows), rows)
        if trained is not None:
            at = (found - own.first).clamp(0, len(trained) - 1)
            fresh = (found >= own.first) & (found < own.first + len(trained))
            rows = torch.where(fresh[:, None], trained[at], rows)
        # The embedding's own class does the rest (Gemma scales its rows), with these rows for a table.
        return torch.func.functional_call(own.twin[0], {"weight": rows}, (places,))  # type: ignore[no-any-return]


class Head:
    """Mixed into a head: the columns of freshly trained rows in place of the frozen ones."""

    first = 0

    def forward(self, hidden: Tensor) -> Tensor:
        own: Any = self
        logits = own.product(hidden)
        fresh = F.linear(hidden, own.fresh)
        return torch.cat((logits[..., : own.first], fresh, logits[..., own.first + len(own.fresh) :]), dim=-1)

    def product(self, hidden: Tensor) -> Tensor:
        """With the frozen columns alone: all the work, so that `packed` may have it done another way."""
        return super().forward(hidden)  # type: ignore[misc,no-any-return]


def _turn(module: nn.Module, mixin: type) -> None:
    """Give a module the mixin's ways. Names of weights stay, and it remains an instance of its class."""
    if isinstance(module, mixin):
        return
    twin = copy.copy(module)
    # Rows are handed to the twin at each call; holding the table itself would keep all of a checkpoint in memory.
    held, none = module._parameters, nn.Parameter(torch.empty(0), requires_grad=False)
    twin.__dict__["_parameters"] = {name: None if weight is None else none for name, weight in held.items()}
    twin.__dict__["padding_idx"] = None
    module.__dict__["twin"] = [twin]  # in a list, so that it is no part of the model
    module.__class__ = type(f"{mixin.__name__}{type(module).__name__}", (mixin, type(module)), {})
