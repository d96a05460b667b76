"""Finds the amounts of an ingredient line, and abstains where a number is neither an amount nor known to stay.

The rules are in tasks/exams/README.md: a number scales with a spoon before it or a unit behind it. Sizes and cuts
(5cm幅), contents of one piece (1切れ約80g, 10枚入り), times, concentrations and names stay (fixed_numbers.py). Of a
piece and its count (100g × 4枚) only the count scales.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from terakoya.codec.recipe_numbers import (
    AFTER,
    COUNTERS,
    HALF_AFTER_UNIT,
    KANJI,
    KANJI_NUMBER,
    LENGTHS,
    METRIC,
    NATIVE_NUMBER,
    NUMBER,
    OUTSIDE,
    SHORT_SPOONS,
    SPOONS,
    UNITS,
    VULGAR,
    join_half,
    read_number,
)
from terakoya.tasks.quantities.fixed_numbers import FIXED, NUM, RUN, SIZE, TIMES_SIGN, contents

_HOW = "(?:約|およそ|各|山盛り|すりきり|すり切り|軽く|たっぷり|だいたい|計)?"
_SPOON = rf"(?:{'|'.join((*SPOONS, *SHORT_SPOONS))})[ 　]?{_HOW}[ 　約…・:：⋯]{{0,3}}(?:\.{{2,3}})?"
# What may follow an amount that is not written in digits, or whose unit stands apart.
_END = (
    r"(?=\Z|[\s、,，。・…⋯:：;；()（）\[\]【】〔〕〈〉「」/／+＋×✕✖]|[〜～~\-–](?![0-9０-９.½¼¾⅓⅔一二三四五六七八九十])|程度|くらい|ぐらい|ほど|弱|強|分|ぶん|前後"
    "|以上|以下|ずつ|と|を|または|か(?:[0-9０-９一二三四五]))"
)
_TWO = r"[1-9１-９](?P<comma>[、,])[1-9１-９]"  # 2、3個: two or three
# Words for numbers do not stand behind digits.
_NO_DIGIT = rf"(?<![0-9０-９.．/／,{''.join(VULGAR)}])(?<![0-9０-９{''.join(VULGAR)}][+＋・])"
_KANJI = rf"{_NO_DIGIT}(?<!{KANJI})(?<!万)(?<!{KANJI}[、,〜～~\-－か])(?<!分の){KANJI_NUMBER}(?!{KANJI})(?!万)"
_COUNTER = "|".join(sorted(COUNTERS, key=len, reverse=True))
_AMOUNT = re.compile(
    rf"(?P<fixed>{FIXED})"
    rf"|(?P<spoon>{_SPOON})(?:(?P<spoon_half>{HALF_AFTER_UNIT})|(?P<spoon_run>{RUN})"
    rf"|(?<![大小])(?<![大小][ 　])(?P<spoon_word>{_KANJI}|半(?:分(?!の|に))?)(?=杯|はい|{_END}))"
    rf"|{OUTSIDE}(?P<half_after>{HALF_AFTER_UNIT})(?!{SIZE})"
    rf"|{OUTSIDE}(?P<two>{_TWO})(?P<two_unit>{UNITS})(?!{SIZE})"
    rf"|(?P<run>{RUN})(?P<unit>{UNITS}|[ 　]{UNITS}{_END})(?!{SIZE})"
    rf"|{_NO_DIGIT}(?P<half>半)(?P<half_unit>{_COUNTER}){_END}"
    rf"|(?P<kanji>{_KANJI})(?P<kanji_unit>{UNITS}){_END}"
    rf"|{_NO_DIGIT}(?<!ひと)(?<!ふた)(?P<native>{NATIVE_NUMBER})(?P<native_unit>{_COUNTER}){_END}"
    rf"|(?:(?<=[ 　…・:：⋯])|(?<=\.\.))(?P<bare>{RUN})(?=\Z|[ 　]*[(（×✕]|弱|強|程度|くらい|ぐらい)"
)
_METRIC_NEXT = re.compile(rf"[ 　]?(?:{'|'.join(map(re.escape, METRIC))})")
_UNIT_NEXT = re.compile(rf"(?!杯|はい|ぱい|分){UNITS}")
_PIECE_NEXT = re.compile(rf"{NUM}(?!倍)")
_AFTER_SIGN = re.compile(rf"{TIMES_SIGN}[ 　]*\Z")
_NUMBERS = re.compile(rf"{OUTSIDE}(?!半){NUMBER}{AFTER}")
_NAMED_GROUPS = ("spoon_half", "spoon_run", "spoon_word", "half_after", "two", "run", "half", "kanji", "native", "bare")
# What is left of a number when amounts and fixed numbers are taken out of a line.
_LEFT_OVER = re.compile(
    rf"[0-9０-９{''.join(VULGAR)}半]|{KANJI}+[ 　]?{UNITS}|(?:ひと|ふた)(?:{_COUNTER})"
    rf"|(?:{'|'.join(SPOONS)})[ 　]?{KANJI}|{KANJI}分の{KANJI}|[ 　…・：:]{KANJI}+(?=\Z|[ 　(（])"
)
_NEGATIVE = re.compile(
    rf"(?<![0-9０-９])(?:\A|[ 　(（])[-−－–][0-9０-９.．一二三四五六七八九十百半ひ{''.join(VULGAR)}]"
)
_NO_SPOON = re.compile("[ 　]?(?:[%％℃°]|パーセント|度|倍|秒|時間)")  # カップ7％
_CUPS = ("カップ", "コップ", "ｶｯﾌﾟ")  # spoon and unit at once
_IN_WORDS = re.compile(rf"(?:{KANJI}|ひと|ふた)[ 　]?\Z")
_ONE_KANJI = re.compile(KANJI)
_MOST_CUPS = 20  # 180C is no amount of cups
_NOT_COUNTED = re.compile("少々|適量|適宜|好み|少量|少し|たっぷり|ひとつ[まか]み|全量|あれば|数[個本枚滴粒]")
_FOR_ONE = re.compile(rf"[1１一](?:人[分前]|名分)[ 　約]*{NUM}")
_CHAIN = re.compile(rf"[ 　]*{TIMES_SIGN}[ 　]*")


@dataclass(frozen=True)
class Amount:
    """A number that scales.

    start, end  its span in the line; where a half stands behind the unit (1本半) the span holds the unit too
    number      as recipe_numbers.read_number reads it
    unit        the unit inside the span, "" where there is none
    metric      whether a metric unit follows
    last        end of the whole amount, its unit and the other end of its range included
    """

    start: int
    end: int
    number: str
    unit: str
    metric: bool
    last: int


def find_amounts(line: str) -> list[Amount] | None:
    """The numbers that scale, from left to right; a range has two.

    line  an ingredient line
    Returns None where the rule abstains: a number of the line is neither an amount nor known to stay as it is.
    """
    inside = contents(line)
    amounts: list[Amount] = []
    rest, fixed = list(line), bool(inside)
    for start, end in inside:
        rest[start + 1 : end - 1] = " " * (end - start - 2)
    for found in _AMOUNT.finditer("".join(rest)):
        if found["fixed"]:
            fixed = True
        else:
            new = list(_of_match(found, line))
            if not new or _is_ambiguous(found, line, amounts):
                return None
            amounts += new
        rest[found.start() : found.end()] = "\0" * (found.end() - found.start())
    left = "".join(rest)
    amounts, left = _without_pieces(line, amounts, left)
    if (
        _LEFT_OVER.search(left)
        or _NEGATIVE.search(line)
        or _FOR_ONE.search(left if not amounts else _outside(line, inside))
    ):
        return None
    if any(_run_together(line, one, other) for one, other in pairwise(amounts)):
        return None
    if any(_beside_kanji(line, amount) for amount in amounts):
        return None
    if not amounts and fixed and not _NOT_COUNTED.search(line):
        return None
    return amounts


def _of_match(found: re.Match[str], line: str) -> Iterator[Amount]:
    """The amounts of one match; none for a range that falls."""
    name = next(name for name in _NAMED_GROUPS if found[name])
    start, end = found.span(name)
    metric = _METRIC_NEXT.match(line, end) is not None
    if name in ("spoon_half", "half_after"):
        number, unit = join_half(found[name])
        yield Amount(start, end, number, unit, False, found.end())
    elif name == "kanji" and found["kanji_unit"] in tuple("CＣTＴt"):
        return
    elif name in ("spoon_word", "half", "kanji", "native"):
        yield Amount(start, end, found[name].removesuffix("分"), "", metric, found.end())
    elif name == "two":
        comma = found.start("comma")
        if int(line[comma + 1]) == int(line[comma - 1]) + 1:
            yield Amount(comma - 1, comma, line[comma - 1], "", metric, found.end())
            yield Amount(comma + 1, comma + 2, line[comma + 1], "", metric, found.end())
    else:
        spans = [number.span() for number in _NUMBERS.finditer(line, start, end)]
        values = [read_number(line[one:other]) for one, other in spans]
        is_temperature = name == "run" and found["unit"].strip(" 　") in tuple("CＣTＴt") and values[-1] >= _MOST_CUPS
        if values == sorted(values) and not is_temperature:
            yield from (Amount(one, other, line[one:other], "", metric, found.end()) for one, other in spans)


def _is_ambiguous(found: re.Match[str], line: str, before: list[Amount]) -> bool:
    """Whether an amount may be more than one, or a count of those before: 大さじ1+1/2カップ, 100g 2枚, 100g 2."""
    if found["spoon_run"] and re.search("[と+＋ 　]", found["spoon_run"]) and found["spoon"].startswith(SPOONS):
        return _UNIT_NEXT.match(line, found.end()) is not None
    if found["spoon"] and (line[found.end() : found.end() + 1] in ("/", "／") or _NO_SPOON.match(line, found.end())):
        return True
    unit = (found["unit"] or "").strip(" 　")
    if found["spoon"] and found["spoon"].startswith(_CUPS) and _IN_WORDS.search(line[: found.start()]):
        return True  # 百カップ6: a hundred cups, or six
    if unit in _CUPS and _ONE_KANJI.match(line, found.end()):
        return True
    length = unit in LENGTHS
    if length and (line.startswith("の", found.end()) or line.endswith("から", 0, found.start())):
        return True  # 30cmの型, 底から2cm: a size as likely as a quantity
    if not before:
        return False
    between = line[before[-1].last : found.start()]
    unit = (found["unit"] or found["kanji_unit"] or found["native_unit"] or found["half_unit"] or "").strip(" 　")
    is_count = bool(unit) and unit not in METRIC
    is_bare = found["bare"] and not _AFTER_SIGN.search(line[: found.start()])
    return bool(is_bare) or bool(is_count and before[-1].metric and not between.strip(" 　"))


def _run_together(line: str, one: Amount, other: Amount) -> bool:
    """Whether nothing but space parts two numbers, and no unit: 2½½, 大5 1かけ. They are two numbers, or none."""
    return one.last == one.end and not one.unit and not line[one.end : other.start].strip(" 　")


def _beside_kanji(line: str, amount: Amount) -> bool:
    """Whether a number in digits touches one in kanji: 百6g, 6百. It is one number, or the end of a name."""
    if _ONE_KANJI.match(line, amount.start):
        return not amount.unit and line[amount.end : amount.end + 1].isdecimal()
    behind = not amount.unit and _ONE_KANJI.match(line, amount.end)
    return bool(behind or _ONE_KANJI.match(line, amount.start - 1) if amount.start else behind)


def _without_pieces(line: str, amounts: list[Amount], left: str) -> tuple[list[Amount], str]:
    """Of a piece and its count (100g × 4枚, 20g× 4, (大さじ1・小さじ1) × 2人分) the count alone scales."""
    pieces: set[int] = set()
    for sign in _CHAIN.finditer(line):
        before = [amount for amount in amounts if amount.last == sign.start()]
        after = [amount for amount in amounts if amount.start == sign.end()]
        bare = _PIECE_NEXT.match(line, sign.end())
        if not after and bare and "\0" not in left[bare.start() : bare.end()]:
            after = [Amount(bare.start(), bare.end(), bare[0], "", False, bare.end())]
            amounts = sorted((*amounts, *after), key=lambda amount: amount.start)
            left = left[: bare.start()] + "\0" * len(bare[0]) + left[bare.end() :]
        opening = max(line.rfind("(", 0, sign.start()), line.rfind("（", 0, sign.start()))
        if line[: sign.start()].endswith((")", "）")):
            before = [amount for amount in amounts if opening <= amount.start < sign.start()]
        if before and after:
            piece = after if after[0].metric and not before[0].metric else before
            pieces |= {amount.start for amount in piece}
    return [amount for amount in amounts if amount.start not in pieces], left


def _outside(line: str, spans: list[tuple[int, int]]) -> str:
    for start, end in spans:
        line = line[:start] + " " * (end - start) + line[end:]
    return line
