"""Quantities whose arithmetic the codec does: the model copies and marks products, the codec computes them.

A target may hold products in angle brackets, and so may a prediction:

    大根 <5/4*5/2>本（約<300*5/2>g）   reads as   大根 25/8本（約750g）

Digit by digit a small model scales .12 of unseen pairs of quantity and factor correctly, with products .94. Both
factors are numbers as recipes write them: 250, ２５０, 1.5, 3/4, ½, 1と1/2, 1 1/2, 1½, 1,000, 半; the first may also be
a kanji numeral (三), ひと or ふた, or an amount whose half stands behind its unit (<1本半*2> reads as 3本). Values are
exact fractions. A `<` that opens no product is text; it is written twice.

Canonical form: equal value, equal text. A whole number is written as one. Beside a metric unit (g kg ml cc L cm …) a
value that ends within three decimals is a decimal; everywhere else it is a reduced fraction, improper where it is one
(1と1/2個, 1.5個 and 3/2個 are 3/2個). Digits are half-width. A plain number without a known unit stays as it is, and
so do sizes (2cm幅, 6枚切り, 10枚入り): they are names, not quantities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import regex

from terakoya.codec.base import Codec, require_target
from terakoya.codec.recipe_numbers import (
    AFTER,
    AMOUNT_NUMBER,
    CLOSED_HALF_AFTER_UNIT,
    HALF_AFTER_UNIT,
    METRIC,
    NO_QUANTITY,
    NUMBER,
    OUTSIDE,
    RANGE,
    SHORT_SPOONS,
    SPOON_GAP,
    SPOONS,
    UNITS,
    join_half,
    read_number,
    spell,
)
from terakoya.codec.source_bound import SourceBoundCodec

_ANY_AMOUNT = rf"(?:{CLOSED_HALF_AFTER_UNIT}|{AMOUNT_NUMBER})"
_PRODUCT = rf"<{_ANY_AMOUNT}\*{NUMBER}>"
_PLAIN = rf"{OUTSIDE}(?!半){NUMBER}{AFTER}"

_TOKENS = regex.compile(rf"(?:[^<]+|<<|{_PRODUCT})*+")
_OPEN = regex.compile(_PRODUCT)
_ESCAPED = re.compile(rf"({_PRODUCT})|<")
_NUMBER = re.compile(rf"{_PRODUCT}|{_PLAIN}")
_HALF_BEHIND = re.compile(
    rf"<(?P<first>{HALF_AFTER_UNIT})\*(?P<second>{NUMBER})>|{OUTSIDE}(?=[0-9０-９])(?P<plain>{HALF_AFTER_UNIT})"
)
# A run of numbers (a range has two) with the spoon before it or the unit after it.
_QUANTITY = re.compile(
    rf"(?P<spoon>(?:{'|'.join((*SPOONS, *SHORT_SPOONS))}){SPOON_GAP})?"
    rf"(?P<numbers>(?:{_PRODUCT}|{_PLAIN})(?:[{RANGE}](?:{_PRODUCT}|{_PLAIN}))?)"
    rf"(?:(?P<unit>[ 　]?{UNITS})(?!{NO_QUANTITY}))?"
)
# Larger units that amounts may be promoted to: how many of the smaller make one, and which amounts are worth it.
_PROMOTED = {"g": ("kg", 1000), "ｇ": ("ｋｇ", 1000), "ml": ("L", 1000), "cc": ("L", 1000), "ｍｌ": ("Ｌ", 1000)}


@dataclass(frozen=True)
class QuantityCodec:
    """Text with quantities: products are computed, every quantity has one form.

    promote  full larger units are written as such: 小さじ3 is 大さじ1, 1000g is 1kg, 1500ml is 1.5L
    tail     pattern of the instruction in a source after the line that its target copies, with products in place of
             numbers; constrained decoding then allows only such copies (codec/source_bound.py). "" where targets are
             no copies
    """

    promote: bool = False
    tail: str = ""

    @property
    def name(self) -> str:
        """ "quantity" and the options: "quantity:promote+copied"."""
        options = [word for word, on in (("promote", self.promote), ("copied", self.tail)) if on]
        return ":".join(["quantity", "+".join(options)] if options else ["quantity"])

    def for_source(self, source: str) -> Codec:
        """The codec of predictions for this source alone.

        source  the line, and the instruction that `tail` matches
        """
        return SourceBoundCodec(self, source, OUTSIDE + _ANY_AMOUNT, self.tail) if self.tail else self

    def write(self, target: str) -> str:
        """The target as it is, products kept; other `<` are doubled.

        target  text; products in angle brackets
        Raises DataError for an empty target.
        """
        return _ESCAPED.sub(lambda found: found[1] or "<<", require_target(target))

    def read(self, raw: str) -> str | None:
        """The text with products computed and quantities in canonical form; None for an empty text and a product half
        written.

        raw  any text
        """
        if not self.complete(raw):
            return None
        return self._canonical("".join(_unescaped(raw)))

    def canonical(self, target: str) -> str:
        """The text with products computed and quantities in one form.

        target  text
        Raises DataError for an empty target.
        """
        return self._canonical(require_target(target))

    def viable(self, prefix: str) -> bool:
        """Whether some written text has this prefix: only an open product restricts what follows.

        prefix  characters so far
        """
        if "<" not in prefix:
            return True
        rest = prefix[_end_of_tokens(prefix) :]
        return not rest or rest == "<" or _OPEN.fullmatch(rest, partial=True) is not None

    def complete(self, written: str) -> bool:
        """Whether a text is whole: not empty, and no product open.

        written  characters so far
        """
        return bool(written) and ("<" not in written or _end_of_tokens(written) == len(written))

    def _canonical(self, text: str) -> str:
        """Computed until nothing changes: a result may form another number with the digits, or the half, beside it."""
        while (again := _QUANTITY.sub(self._one_form, _HALF_BEHIND.sub(_half_before_unit, text))) != text:
            text = again
        return text

    def _one_form(self, found: re.Match[str]) -> str:
        spoon, numbers, unit = found["spoon"] or "", found["numbers"], found["unit"] or ""
        values = [_value(part) for part in _NUMBER.findall(numbers)]
        if self.promote:
            spoon, unit, values = _promoted(spoon, unit, values)
        parts = iter(values)
        metric = unit.lstrip(" 　") in METRIC
        known = bool(spoon or unit)
        return spoon + _NUMBER.sub(lambda one: _shown(one[0], next(parts), metric, known), numbers) + unit


def quantity_codec(*, promote: bool = False, tail: str = "") -> QuantityCodec:
    """The codec for text with quantities.

    promote  full larger units are written as such: 小さじ3 as 大さじ1, 1000g as 1kg
    tail     pattern of the instruction after the line that targets copy; "" where they are no copies
    """
    return QuantityCodec(promote, tail)


def _end_of_tokens(text: str) -> int:
    found = _TOKENS.match(text)
    assert found is not None
    return found.end()


def _unescaped(raw: str) -> list[str]:
    return [piece if piece != "<<" else "<" for piece in re.findall(rf"{_PRODUCT}|<<|[^<]+", raw)]


def _half_before_unit(found: re.Match[str]) -> str:
    """1本半 as 1半本, so that the number stands together."""
    number, unit = join_half(found["plain"] or found["first"])
    return f"{number}{unit}" if found["plain"] else f"<{number}*{found['second']}>{unit}"


def _value(text: str) -> Fraction:
    if text.startswith("<"):
        one, other = text[1:-1].split("*")
        return read_number(one) * read_number(other)
    return read_number(text)


def _shown(text: str, value: Fraction, metric: bool, known: bool) -> str:
    if known:
        return spell(value, decimal=metric)
    if text.startswith("<"):  # a unit we do not know: as the quantity was written
        return spell(value, decimal="." in text.partition("*")[0] or "．" in text.partition("*")[0])
    return spell(value, decimal=False) if re.search("[と・+＋半]", text) else text


def _promoted(spoon: str, unit: str, values: list[Fraction]) -> tuple[str, str, list[Fraction]]:
    """Full larger units, where every number of the run makes one."""
    if spoon.startswith(("小さじ", "小匙")) and all(value >= 3 and value % 3 == 0 for value in values):
        return "大" + spoon[1:], unit, [value / 3 for value in values]
    smaller = unit.lstrip(" 　")
    larger, count = _PROMOTED.get(smaller, ("", 1))
    if larger and all(value >= count for value in values):
        return spoon, unit.removesuffix(smaller) + larger, [value / count for value in values]
    return spoon, unit, values
