"""Reads a query: an ingredient line, and the factor by which it is multiplied."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from terakoya.codec.recipe_numbers import KANJI_NUMBER, NUMBER, read_number

_COUNT = rf"(?:[0-9０-９]{{1,3}}|{KANJI_NUMBER})"
_PEOPLE = rf"({_COUNT})[ 　]?(?:人|名|皿)(?:分|前|用)?"
# The people for whom a recipe is, where を stands between them: 2人分を4人分に.
PEOPLE_FIRST = rf"[ 　]?{_PEOPLE}(?:の分量)?[ 　]?を".replace(rf"({_COUNT})", _COUNT)
_TO = r"[ 　]?(?:の分量)?(?:→|➡|⇒|->|=>|から|を|➔|➜)[ 　]?"
_FROM_TO = re.compile(rf"{_PEOPLE}{_TO}{_PEOPLE}")
_TIMES = re.compile(
    rf"({NUMBER}|{KANJI_NUMBER})[ 　]?倍(?:量|の量|分)?|[×✕✖xXｘＸ*＊][ 　]?({NUMBER})|({NUMBER})[ 　]?量"
)
_PARTS = re.compile(rf"({_COUNT})分の({_COUNT})(?:量|倍|の量)?")
_WORDS = {"半分": Fraction(1, 2), "半量": Fraction(1, 2), "半分量": Fraction(1, 2), "半分の量": Fraction(1, 2)} | {
    word: Fraction(2) for word in ("倍", "倍量", "倍の量", "倍分")
}
_ENDING = re.compile(r"[ 　]?(?:で|へ|に(?:する|して|したい|変更|増やす|減らす)?)?[。]?\Z")


@dataclass(frozen=True)
class ScalingQuery:
    """An ingredient line, and the factor by which it is multiplied."""

    line: str
    factor: Fraction


def read_query(source: str) -> ScalingQuery | None:
    """The parts of `鶏肉 200g を2人分→3人分`, or None where the text does not end in a known factor.

    source  the whole query
    """
    for found in re.finditer("[ 　]?を[ 　]?", source):
        factor = read_factor(_ENDING.sub("", source[found.end() :]))
        if factor is not None:
            return ScalingQuery(source[: found.start()], factor) if source[: found.start()] else None
    return None


def read_factor(text: str) -> Fraction | None:
    """The value of a factor: 3倍, 三倍, 倍量, ×2, 1/2倍, 半分, 半量, 三分の一, 2人分→5人分; None for another text.

    text  the factor alone
    """
    if text in _WORDS:
        return _WORDS[text]
    if times := _TIMES.fullmatch(text):
        return read_number(next(number for number in times.groups() if number)) or None
    if parts := _PARTS.fullmatch(text):
        below, above = map(read_number, parts.groups())
        return above / below if above and below else None
    if people := _FROM_TO.fullmatch(text):
        one, other = map(read_number, people.groups())
        return other / one if one and other else None
    return None
