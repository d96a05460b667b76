"""A written language held to one source: the answer is how its source begins, with products in place of numbers.

    codec = QuantityCodec(tail="[ 　]*を[^を]*")             # what a source asks after the line that is copied
    codec.bound("大根 1/2本 を3倍").viable("大根 <1/2*")      # yes
    codec.bound("大根 1/2本 を3倍").viable("大恨")            # no: the source says otherwise
    codec.bound("大根 1/2本 を3倍").complete("大根")          # no: the line goes on

What a small model does worst is copying characters that it has seen a handful of times, and what it copies is known
beforehand. Held to its source it only says which numbers are quantities, what they are multiplied by (one factor for
all), and where the line ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import regex


class Outer(Protocol):
    """The language without a source."""

    @property
    def name(self) -> str: ...

    def write(self, target: str) -> str: ...

    def read(self, raw: str) -> str | None: ...

    def canonical(self, target: str) -> str: ...

    def viable(self, prefix: str) -> bool: ...

    def complete(self, written: str) -> bool: ...


class _Place(NamedTuple):
    """How far the source has been copied, and where in a product the answer stands: outside, opened, one, two.

    began   where the product's first number begins in the source
    second  as much of its second number as is written
    factor  the second number of the first product; an answer has one factor
    """

    part: str
    at: int
    began: int = 0
    second: str = ""
    factor: str = ""


@dataclass(frozen=True)
class Copied:
    """`outer` for one source.

    number  pattern of a number that may open a product
    tail    pattern of what is not copied: an answer ends where the rest of the source is this
    """

    outer: Outer
    source: str
    number: str
    tail: str
    _known: dict[str, _Place | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.outer.name

    @property
    def alphabet(self) -> frozenset[str]:
        """The characters that an answer to this source may hold: others need never be tried."""
        return frozenset(self.source) | frozenset("<>*0123456789./")

    def write(self, target: str) -> str:
        return self.outer.write(target)

    def read(self, raw: str) -> str | None:
        return self.outer.read(raw)

    def canonical(self, target: str) -> str:
        return self.outer.canonical(target)

    def viable(self, prefix: str) -> bool:
        return self._place(prefix) is not None and self.outer.viable(prefix)

    def complete(self, written: str) -> bool:
        place = self._place(written)
        if place is None or place.part != "outside" or not self.outer.complete(written):
            return False
        return regex.fullmatch(self.tail, self.source, pos=place.at) is not None

    def _place(self, prefix: str) -> _Place | None:
        """Where that prefix leads to; None where it left the source. One step from what is known of a shorter one."""
        if prefix in self._known:
            return self._known[prefix]
        known = max(0, len(prefix) - 1)
        while known and prefix[:known] not in self._known:
            known -= 1
        place = self._known[prefix[:known]] if known else _Place("outside", 0)
        for end in range(known + 1, len(prefix) + 1):
            place = self._step(place, prefix[end - 1]) if place is not None else None
            self._known[prefix[:end]] = place
        return place

    def _step(self, place: _Place, char: str) -> _Place | None:
        follows = char == self.source[place.at : place.at + 1]
        if place.part == "outside":
            if char == "<":
                return place._replace(part="opened", began=place.at) if self._opens(place.at) else None
            return place._replace(at=place.at + 1) if follows else None
        if place.part == "two":
            return _second(place, char)
        if place.part == "one" and char == "*":
            return place._replace(part="two", second="") if self._end(place.began) == place.at else None
        if place.part == "opened" and char == "<":  # doubled: a sign of the source's own
            return place._replace(part="outside", at=place.at + 1) if follows else None
        within = follows and place.at < self._end(place.began)
        return place._replace(part="one", at=place.at + 1) if within else None

    def _opens(self, at: int) -> bool:
        """Whether a number begins here, and not in the midst of one."""
        return self.source[at : at + 1] == "<" or self._end(at) > at

    def _end(self, begin: int) -> int:
        """Where the number that begins here ends; `begin` where there is none."""
        found = regex.compile(self.number).match(self.source, begin)
        return found.end() if found else begin


def _second(place: _Place, char: str) -> _Place | None:
    """The factor is free in the first product, and the same in all that follow."""
    if char == ">":
        same = place.second == (place.factor or place.second)
        return place._replace(part="outside", factor=place.second) if same else None
    second = place.second + char
    return place._replace(second=second) if not place.factor or place.factor.startswith(second) else None
