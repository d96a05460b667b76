"""The protocol that every model satisfies: built in or pretrained, causal or encoder-decoder, full or LoRA.

Training, decoding and export know this protocol and nothing else. Shapes: B rows, V tokens of the vocabulary, L labels,
S the largest set, N target positions of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from terakoya.records import Turn

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Query:
    """One input to a model.

    source  the text to respond to
    turns   the conversation before it, oldest turn first; () without one
    """

    source: str
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """One training row.

    query   the input
    target  the expected output as the codec encodes it; "" where only the input matters
    key     name of the row in error messages
    """

    query: Query
    target: str
    key: str = ""


@dataclass(frozen=True)
class Batch:
    """Rows ready for one forward pass.

    tensors  inputs of the model that collated them, by names of its own
    targets  number of tokens (or labels) that the loss is taken over
    tokens   number of real tokens, padding not counted
    keys     names of the rows, so that an error can name the bad one
    """

    tensors: Mapping[str, Tensor]
    targets: int
    tokens: int
    keys: tuple[str, ...] = ()

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on `device`."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()}
        return Batch(moved, self.targets, self.tokens, self.keys)


@dataclass(frozen=True)
class Outputs:
    """What a loss needs.

    logits   (N, V) of a sequence head, at target positions only; (B, L) of a set head
    targets  (N,) token ids; (B, L) set membership as 0.0 or 1.0
    sizes    (B, S) logits of the set sizes 1..S; None for a sequence head
    prior    (V,) or (L,) log share of each token or label in the training data; None where unknown
    counts   (V,) or (L,) occurrences of each in the training data; None where unknown
    penalty  () regularisation of the weights, minimised with the loss and reported in no metric; None without one
    """

    logits: Tensor
    targets: Tensor
    sizes: Tensor | None = None
    prior: Tensor | None = None
    counts: Tensor | None = None
    penalty: Tensor | None = None


class DecodingState(Protocol):
    """Sequences that are being generated, one token per step. B is the number of rows that are still unfinished."""

    @property
    def logits(self) -> Tensor:
        """(B, V) logits of the next token of every unfinished row."""
        ...

    def advance(self, tokens: Tensor) -> None:
        """Append one token to every row and compute the next logits.

        tokens  (B,) token ids
        """
        ...

    def select(self, rows: Tensor) -> None:
        """Keep some rows, or repeat them for beam search.

        rows  (any length,) indices into the present rows
        """
        ...


@dataclass(frozen=True, slots=True)
class LabelPenalty:
    """A Lagrange multiplier that keeps a label within its share of all predicted labels.

    label   index of the label
    weight  the multiplier, in units of the metric: a set that holds the label must be worth that much more
    cap     the largest share of all predicted labels that the label may have; each predicted label earns `weight * cap`
    """

    label: int
    weight: float
    cap: float


@dataclass(frozen=True)
class SetScores:
    """The output of a set head before decoding.

    labels     (B, L) logit of each label
    sizes      (B, S) logits of the set sizes 1..S
    penalties  one per label whose share is capped
    """

    labels: Tensor
    sizes: Tensor
    penalties: tuple[LabelPenalty, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, for the record of a run.

    name        named size or checkpoint
    family      "encoder-decoder", "decoder" or "set"
    weights     number of weights
    trainable   number of weights that training changes
    vocabulary  number of tokens (or features)
    extra       whatever else that kind of model has to report
    """

    name: str
    family: str
    weights: int
    trainable: int
    vocabulary: int
    extra: Mapping[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """A trainable model with a sequence head (generates text) or a set head (scores labels).

    A model may also have `unknown_characters(query) -> str`: the characters of a query that it cannot read, each once.
    Their predictions are then withheld or marked (`decode.unknown`).

    head               "sequence" or "set"
    end                id of the token that ends a sequence
    max_target_length  tokens that a target can have at most, its end token included; 0 for a set head
    labels             labels of a set head, in the order of its logits; () for a sequence head
    """

    @property
    def module(self) -> nn.Module:
        """The network, for optimisers, devices and gradients."""
        ...

    head: Literal["sequence", "set"]
    end: int
    max_target_length: int
    labels: tuple[str, ...]

    @property
    def info(self) -> ModelInfo:
        """Name, family and size of the model."""
        ...

    def collate(self, pairs: Sequence[Pair]) -> Batch:
        """Tensors for one forward pass.

        pairs  the rows of the batch; none is truncated
        Raises DataError, naming the row, where a text is too long or holds what the model cannot represent.
        """
        ...

    def length(self, pair: Pair) -> int:
        """Length of `pair` in tokens, by which rows of similar length are batched together."""
        ...

    def fits(self, query: Query) -> bool:
        """Whether the model can read all of `query`. Nothing is truncated: what does not fit gets no prediction."""
        ...

    def outputs(self, batch: Batch) -> Outputs:
        """One forward pass over `batch`, with logits at the target positions only."""
        ...

    def start(self, queries: Sequence[Query]) -> DecodingState:
        """Begin to generate a sequence for each of `queries` (sequence head). Raises ConfigError for a set head."""
        ...

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        """Score every label for each of `queries` (set head). Raises ConfigError for a sequence head."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Decode token ids `tokens`, without the end token, to text."""
        ...

    def token_texts(self) -> Sequence[str]:
        """(V,) the text that each token id adds to a target; "" for ids that may never stand in one."""
        ...

    def show_tokens(self, pair: Pair) -> Sequence[tuple[str, bool]]:
        """The tokens of `pair` as the model receives them, each with whether the loss includes it; for inspection."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model to `folder`, from which it loads without the training data."""
        ...

    def parameters_to_train(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights that the optimiser updates."""
        ...
