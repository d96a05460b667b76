"""A pretrained base as it is before any training, with examples in its prompt.

    base = FewShotModel(model, examples, max_tokens)   # model: a PretrainedModel that was never trained
    base.start(queries)                                # their prompts: the examples, then the query

In-context learning (Brown et al., 2020, arXiv:2005.14165): the examples stand before the query as earlier turns of the
conversation, in the very prompt that a trained model gets. A plain prompt has one line for each turn, so there an
output ends with its line; a chat template has a token for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.pretrained.prompt import conversation
from terakoya.models.protocol import DecodingState, Pair, Query
from terakoya.records import Turn

Shot = tuple[Query, str]  # a query and its output, as the prompt shows it


class FewShotModel:
    """What decoding needs of a model (a part of protocol.Model), with the same examples before every query.

    model       a pretrained model without further training
    shots       queries with their outputs, in the order of the prompt; () is zero-shot
    max_tokens  tokens that an output may have; prompt and output must fit into the model's positions
    one_line    whether no output holds a line break; then an output after a plain prompt ends with its line
    """

    head: Literal["sequence", "set"] = "sequence"
    labels: tuple[str, ...] = ()

    def __init__(
        self, model: PretrainedModel, shots: Sequence[Shot], max_tokens: int, *, one_line: bool = True
    ) -> None:
        self.model, self.shots, self.max_tokens = model, tuple(shots), max_tokens
        self.max_target_length = model.max_target_length
        self._by_line = one_line and model.prompt.separator == "\n" and bool(self._line_ends)
        self.end = self._line_ends[0] if self._by_line else model.end

    @property
    def module(self) -> Any:
        """The network."""
        return self.model.module

    def with_shots(self, query: Query) -> Query:
        """The same `query` after the examples; its own system message stays first."""
        own = conversation(query)
        system = own[:1] if own[0].role == "system" else ()
        turns = [turn for shown, output in self.shots for turn in _turns(shown, output)]
        return Query(query.source, (*system, *turns, *own[len(system) :])) if turns else query

    def prompt_ids(self, query: Query) -> list[int]:
        """Ids of the examples and of this `query`."""
        return self.model.prompt_ids(self.with_shots(query))

    def length(self, pair: Pair) -> int:
        """Tokens of the prompt of `pair`, by which queries of similar length are batched together."""
        return len(self.prompt_ids(pair.query))

    def fits(self, query: Query) -> bool:
        """Whether the examples, this `query` and an output fit into the model's context."""
        return 0 < len(self.prompt_ids(query)) <= self.model.max_positions - self.max_tokens - 1

    def start(self, queries: Sequence[Query]) -> DecodingState:
        """Begin to generate an output for each of `queries`. The prefix that all prompts share is computed once."""
        state = self.model.start([self.with_shots(query) for query in queries])
        return _LineState(state, self._line_ends) if self._by_line else state

    def text(self, tokens: Sequence[int]) -> str:
        """Decode token ids `tokens`, without the end token, to text."""
        return self.model.text(tokens)

    def token_texts(self) -> Sequence[str]:
        """(V,) the text that each token id adds to an output."""
        return self.model.token_texts()

    def unknown_characters(self, query: Query) -> str:
        """The characters of `query` that the tokenizer does not know, each once."""
        return self.model.unknown_characters(query)

    def label_ids(self, label: str) -> list[int]:
        """Token ids of a `label` where an output begins. Raises DataError where the tokenizer would lose part of it."""
        return self.model.target_ids(label)[:-1]

    @cached_property
    def _line_ends(self) -> list[int]:
        """Ids that end a line: the line break first, every token that begins with one, end-of-text."""
        found = [number for number, text in enumerate(self.token_texts()) if text.startswith("\n")]
        if not found:
            return []
        shortest = min(found, key=lambda number: len(self.token_texts()[number]))
        return list(dict.fromkeys([shortest, *found, self.model.end]))


class _LineState:
    """A decoding state in which all tokens that end a line are one: its first holds the probability of them all.

    state  of the model
    ends   their ids
    """

    def __init__(self, state: DecodingState, ends: Sequence[int]) -> None:
        self.state, self.ends = state, torch.tensor(list(ends))

    @property
    def logits(self) -> Tensor:
        logits = self.state.logits.clone()
        ends = self.ends.to(logits.device)
        together = logits[:, ends].logsumexp(dim=1)
        logits[:, ends] = -torch.inf
        logits[:, ends[0]] = together
        return logits

    def advance(self, tokens: Tensor) -> None:
        self.state.advance(tokens)

    def select(self, rows: Tensor) -> None:
        self.state.select(rows)


def _turns(query: Query, output: str) -> list[Turn]:
    """An example as turns; a system message may stand once only, before all of them."""
    return [*(turn for turn in conversation(query) if turn.role != "system"), Turn("assistant", output)]
