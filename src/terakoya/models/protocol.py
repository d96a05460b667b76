"""The one face of everything that can be taught examples and asked for answers.

The loop, decoding and export know this protocol and nothing else; whether a model is causal or
encoder-decoder, built in or pretrained, full or LoRA, stays behind it. Shapes: B rows, V tokens, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from terakoya.records import Turn


@dataclass(frozen=True, slots=True)
class Query:
    """What a model is asked: a source, or a conversation that ends with it."""

    source: str
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """What a model is taught: a question and the answer as the codec writes it; `key` names the row in errors."""

    ask: Query
    written: str
    key: str = ""


@dataclass(frozen=True)
class Batch:
    """Rows ready for one forward pass. `tensors` is the model's own affair; the rest is for counting and for errors.

    targets  number of tokens (or labels) that the loss is taken over
    tokens   number of real tokens, padding not counted
    keys     the rows' names, so that a bad row can be named
    """

    tensors: Mapping[str, Tensor]
    targets: int
    tokens: int
    keys: tuple[str, ...] = ()

    def to(self, device: torch.device) -> Batch:
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()}
        return Batch(moved, self.targets, self.tokens, self.keys)


@dataclass(frozen=True)
class Outputs:
    """What a loss needs, for `targets` positions in the batch.

    A sequence head gives logits (N, V) and target ids (N,); a set head gives label logits (B, L), target
    membership (B, L) as 0/1 floats, and size logits (B, S) for sizes 1..S.
    """

    logits: Tensor
    targets: Tensor
    sizes: Tensor | None = None
    prior: Tensor | None = None  # (V,) or (L,) log share of each token or label in the training data, where known
    counts: Tensor | None = None  # (V,) or (L,) how often each stands in the training data, where known
    penalty: Tensor | None = None  # () what the weights themselves cost; trained beside the loss, told in no figure


class State(Protocol):
    """Answers being written. Rows leave when they are finished."""

    @property
    def logits(self) -> Tensor:
        """(B, V) for the next token of every row that is left."""
        ...

    def advance(self, tokens: Tensor) -> None:
        """Append one token (B,) to every row and compute the next logits."""
        ...

    def select(self, rows: Tensor) -> None:
        """Keep (or repeat, for beams) the rows at these indices (any length)."""
        ...


@dataclass(frozen=True, slots=True)
class LabelPenalty:
    """What a label costs in an answer, so that it takes no more than its share; `label` is its number.

    price  in units of the metric: a set that holds the label must be worth that much more
    share  of all labels answered, that the label may take; each label answered earns `price * share`
    """

    label: int
    price: float
    share: float


@dataclass(frozen=True)
class SetScores:
    """A set head's answer before decoding: label logits (B, L) and size logits (B, S), sizes 1..S."""

    labels: Tensor
    sizes: Tensor
    tolls: tuple[LabelPenalty, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, for the record: family ("encoder-decoder", "decoder", "set"), name, weights, vocabulary."""

    name: str
    family: str
    weights: int
    trainable: int
    vocabulary: int
    extra: Mapping[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """Anything that can be taught examples and asked for answers."""

    @property
    def module(self) -> nn.Module: ...

    head: Literal["sequence", "set"]
    end: int  # id of the token that ends an answer (sequence head)
    longest_answer: int  # tokens that an answer can have at most, its end included
    labels: tuple[str, ...]  # of a set head, in the order of its logits; () for a sequence head

    @property
    def card(self) -> ModelInfo: ...

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        """Tensors for these rows. Raises DataError, naming the row, where a text does not fit or cannot be carried."""
        ...

    def length(self, pair: Pair) -> int:
        """Tokens of the pair, by which batches of similar length are made."""
        ...

    def fits(self, ask: Query) -> bool:
        """Whether the model can take this source whole. Nothing is ever cut: what does not fit is not answered."""
        ...

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass: logits where there is a target, and only there."""
        ...

    def start(self, asks: Sequence[Query]) -> State:
        """Begin answers (sequence head)."""
        ...

    def set_scores(self, asks: Sequence[Query]) -> SetScores:
        """Score every label (set head)."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """The text of answer tokens, without the end token."""
        ...

    def pieces(self) -> Sequence[str]:
        """The text that each token id adds to an answer (V,); "" for ids that may never stand in an answer."""
        ...

    def shown(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        """The row token by token as the model is given it, and whether each token is learnt; for people to look at."""
        ...

    def save(self, folder: Path) -> None:
        """A folder that loads by itself, without the data."""
        ...

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]: ...
