"""A codec constrained to one source: the prediction is a prefix of the source, with products in place of numbers.

    codec = QuantityCodec(tail="[ 　]*を[^を]*")                  # the instruction after the line that is copied
    codec.for_source("大根 1/2本 を3倍").viable("大根 <1/2*")      # yes
    codec.for_source("大根 1/2本 を3倍").viable("大恨")            # no: the source has other characters
    codec.for_source("大根 1/2本 を3倍").complete("大根")          # no: the line goes on

A small model is worst at copying characters that it has seen a handful of times, and the characters to be copied are
known beforehand. Constrained to its source it only decides which numbers are quantities, what they are multiplied by
(one factor for all), and where the line ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import regex

from terakoya.codec.base import Codec
from terakoya.errors import IncompatibleError
from terakoya.i18n import _

_SECONDS = 2.0  # for one match of the pattern


class _State(NamedTuple):
    """How far the source has been copied, and the position in a product: "outside", "opened", "one" or "two" (its
    factors).

    phase   of the product
    copied  characters of the source that have been copied
    start   where the product's first number starts in the source
    second  as much of the second number as is written
    factor  the second number of the first product; a prediction has one factor
    """

    phase: str
    copied: int
    start: int = 0
    second: str = ""
    factor: str = ""


@dataclass(frozen=True)
class SourceBoundCodec:
    """A codec for the predictions of one source.

    codec   writes and reads; its language is narrowed to copies of the source
    source  the line, and the instruction after it
    number  pattern of a number that may open a product
    tail    pattern of what is not copied: a prediction ends where the rest of the source matches it
    """

    codec: Codec
    source: str
    number: str
    tail: str
    _known: dict[str, _State | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the codec without a source."""
        return self.codec.name

    @property
    def alphabet(self) -> frozenset[str]:
        """The characters that a prediction for this source may hold: others need not be tried."""
        return frozenset(self.source) | frozenset("<>*0123456789./")

    def write(self, target: str) -> str:
        """As the codec without a source writes the `target`."""
        return self.codec.write(target)

    def read(self, raw: str) -> str | None:
        """As the codec without a source reads `raw`."""
        return self.codec.read(raw)

    def canonical(self, target: str) -> str:
        """As the codec without a source has the canonical form of the `target`."""
        return self.codec.canonical(target)

    def viable(self, prefix: str) -> bool:
        """Whether some copy of the source has this prefix.

        prefix  characters so far
        """
        return self._state(prefix) is not None and self.codec.viable(prefix)

    def complete(self, written: str) -> bool:
        """Whether a text is a whole copy, so that only the instruction is left of the source.

        written  characters so far
        """
        state = self._state(written)
        if state is None or state.phase != "outside" or not self.codec.complete(written):
            return False
        # The pattern may come with somebody else's model, and some patterns never end.
        try:
            return regex.fullmatch(self.tail, self.source, pos=state.copied, timeout=_SECONDS) is not None
        except TimeoutError as error:
            raise IncompatibleError(
                _("the pattern of this codec takes too long"),
                where=self.tail,
                do=_("Predict without it: --set decode.constrained=false"),
            ) from error

    def _state(self, prefix: str) -> _State | None:
        """The state after a prefix, None where it left the source; computed from the longest known shorter prefix."""
        if prefix in self._known:
            return self._known[prefix]
        known = max(0, len(prefix) - 1)
        while known and prefix[:known] not in self._known:
            known -= 1
        state = self._known[prefix[:known]] if known else _State("outside", 0)
        for end in range(known + 1, len(prefix) + 1):
            state = self._step(state, prefix[end - 1]) if state is not None else None
            self._known[prefix[:end]] = state
        return state

    def _step(self, state: _State, char: str) -> _State | None:
        follows = char == self.source[state.copied : state.copied + 1]
        if state.phase == "outside":
            if char == "<":
                return state._replace(phase="opened", start=state.copied) if self._opens(state.copied) else None
            return state._replace(copied=state.copied + 1) if follows else None
        if state.phase == "two":
            return _in_factor(state, char)
        if state.phase == "one" and char == "*":
            return state._replace(phase="two", second="") if self._end(state.start) == state.copied else None
        if state.phase == "opened" and char == "<":  # doubled: a < of the source itself
            return state._replace(phase="outside", copied=state.copied + 1) if follows else None
        inside = follows and state.copied < self._end(state.start)
        return state._replace(phase="one", copied=state.copied + 1) if inside else None

    def _opens(self, at: int) -> bool:
        """Whether a number starts here, and not in the middle of one."""
        return self.source[at : at + 1] == "<" or self._end(at) > at

    def _end(self, start: int) -> int:
        """The end of the number that starts here; `start` where there is none."""
        found = regex.compile(self.number).match(self.source, start)
        return found.end() if found else start


def _in_factor(state: _State, char: str) -> _State | None:
    """The factor is free in the first product, and the same in all that follow."""
    if char == ">":
        same = state.second == (state.factor or state.second)
        return state._replace(phase="outside", factor=state.second) if same else None
    second = state.second + char
    return state._replace(second=second) if not state.factor or state.factor.startswith(second) else None
