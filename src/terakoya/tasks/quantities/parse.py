"""Reads a query (an ingredient line and a factor) and finds the numbers that scale in it.

The rules are in tasks/exams/README.md: a number scales with a spoon before it or a unit behind it. Sizes and cuts
(5cm幅), contents of one piece (1切れ約80g, 10枚入り), times, concentrations and names do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from terakoya.codec.quantity import COUNTERS, METRIC, NO_QUANTITY, NUMBER, RANGE, SPOONS, read_number

_UNIT = "|".join(sorted({*METRIC, *COUNTERS}, key=len, reverse=True))
_SPOON = "|".join(SPOONS)
_BEFORE = r"(?<![0-9０-９.．/／,])"
_END = r"(?![0-9０-９.．/／,]*[0-9０-９])"
_NUM = rf"(?!半){NUMBER}{_END}"
_RUN = rf"{_NUM}(?:[{RANGE}]{_NUM})?"
# What may stand between a unit and the word that makes its number a size.
_SIZE = rf"(?:程度|くらい|ほど)?(?:{NO_QUANTITY}|サイズ|の(?:長さ|大きさ|幅|角)|に切)"
_AMOUNT = re.compile(
    rf"(?P<spoon>{_SPOON})[ 　約]{{0,2}}(?P<after>{_RUN})"
    rf"|(?<!No\.){_BEFORE}(?P<before>{_RUN})(?P<unit>{_UNIT})(?!{_SIZE})"
    rf"|(?<![一-鿿])(?P<half>半)(?:{'|'.join(COUNTERS)})"
)
_LENGTHS = ("cm", "ｃｍ", "㎝", "センチ")
_LONG = ("直径", "長さ", "厚さ", "幅", "×", "x", "X")  # before a length: a size
_EACH = re.compile(rf"\s*1(?:{_UNIT})(?:約|あたり約?|につき約?|は|が|＝|=)?{_NUM}(?:{_UNIT})")
_PARENTHESIS = re.compile(r"[（(][^（()）]*[）)]")
_RANGE_END = re.compile(rf"{_NUM}")

_QUERY = re.compile(r"(?P<line>.*?)[ 　]?を[ 　]?(?P<factor>[^を ]*(?:倍|半分|人分|人前))(?:に(?:する)?)?", re.DOTALL)
_TIMES = re.compile(rf"({NUMBER})倍")
_PEOPLE = re.compile(r"([0-9０-９]{1,3})人[分前](?:→|から|⇒|->)([0-9０-９]{1,3})人[分前]")


@dataclass(frozen=True)
class ScalingQuery:
    """An ingredient line, and the factor by which it is multiplied."""

    line: str
    factor: Fraction


def read_query(source: str) -> ScalingQuery | None:
    """The parts of `鶏肉 200g を2人分→3人分`, or None where the text does not end in a known factor.

    source  the whole query
    """
    found = _QUERY.fullmatch(source)
    if not found or not found["line"]:
        return None
    factor = read_factor(found["factor"])
    return None if factor is None else ScalingQuery(found["line"], factor)


def read_factor(text: str) -> Fraction | None:
    """The value of a factor: 3倍, 1/2倍, 半分, 2人分→5人分; None for another text.

    text  the factor alone
    """
    if text == "半分":
        return Fraction(1, 2)
    if times := _TIMES.fullmatch(text):
        return read_number(times[1]) or None
    if people := _PEOPLE.fullmatch(text):
        one, other = (int(number) for number in people.groups())
        return Fraction(other, one) if one and other else None
    return None


def amounts(line: str) -> Iterator[tuple[int, int]]:
    """Spans (start, end) of the numbers that scale, from left to right; a range has two.

    line  an ingredient line
    """
    fixed = [found.span() for found in _PARENTHESIS.finditer(line) if _EACH.match(found[0][1:-1])]
    for found in _AMOUNT.finditer(line):
        if any(start <= found.start() < end for start, end in fixed):
            continue
        if found["unit"] in _LENGTHS and line.endswith(_LONG, 0, found.start()):
            continue
        name = next(name for name in ("after", "before", "half") if found[name])
        begin, end = found.span(name)
        if name == "half":
            yield begin, end
            continue
        yield from (number.span() for number in _RANGE_END.finditer(line, begin, end))
