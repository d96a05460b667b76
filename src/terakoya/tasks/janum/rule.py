"""Reads the number expressions that rules are sure of, and abstains (None) everywhere else.

Sure is: a numeral that `numerals.reader` reads, with words around it whose effect is known (units.py). 三羽ガラス and
四六時中 hold a numeral too, but the words around it are not in the tables, so the rules abstain. In a sentence the
expression to be read is marked by 【】; without a mark the whole text is the expression.
"""

from __future__ import annotations

import re
from fractions import Fraction

from terakoya.codec.arithmetic import as_decimal
from terakoya.tasks.janum import units
from terakoya.tasks.numerals.reader import read

_MARKED = re.compile("【([^【】]+)】")
_WHOLE = r"[0-9０-９,，〇零一二三四五六七八九十百千万億兆壱壹弐貳貮弍弌参參叁弎肆伍陸漆捌玖柒拾佰仟阡萬廿卄卅卌]+"
_DECIMAL = r"(?:[0-9]+\.[0-9]+|[０-９]+．[０-９]+|[〇零一二三四五六七八九十百千万億兆]+[・点][〇零一二三四五六七八九]+)"
_NUMBER = rf"(?:{_DECIMAL}|{_WHOLE})"
_DIGITS = str.maketrans("〇零一二三四五六七八九０１２３４５６７８９．・点", "00123456789" + "0123456789" + "...")


def _any(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_UNIT = _any(units.COUNTERS)
_DIGIT = "[1-9１-９一二三四五六七八九]"
# Tried in order; the groups are numbers (n, m) or words (w).
_SMALLER = rf"(?:(?P<bu>{_DIGIT})分)?(?:(?P<rin>{_DIGIT})厘)?"
_ABOUT = f"(?:{_any(units.ABOUT)})?"
_BOUNDS = f"(?:{_any(units.BOUNDS)})?"
_BACK, _FORWARD = _any(units.BACK), _any(units.FORWARD)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("ordinal", rf"第(?P<n>{_WHOLE})(?:{_any(units.SERIES)})"),
        ("ordinal", rf"(?P<n>{_WHOLE})(?:{_any(units.COUNTED_UP)})目"),
        ("ordinal", rf"(?P<n>{_WHOLE})(?:{_any(units.RANKS)})"),
        ("tenths", rf"(?P<n>{_DIGIT})(?:{_any(units.TENTHS)})"),
        ("share", rf"約?(?P<wari>{_DIGIT}|十)割{_SMALLER}(?:{_any(units.SHARES)})"),
        ("percent", rf"{_ABOUT}(?P<n>{_NUMBER})(?:[%％]|パーセント)(?:引き|オフ|増)?{_BOUNDS}"),
        ("fraction", rf"{_ABOUT}(?:(?P<whole>{_WHOLE})(?:と|荷|か))?(?P<below>{_WHOLE})分の(?P<n>{_WHOLE}){_BOUNDS}"),
        ("half", rf"半(?:{_any(units.HALF_OF)})"),
        ("half back", rf"半(?:{_any(units.HALF_BEFORE)})(?:{_BACK})"),
        ("half", rf"半(?:{_any(units.HALF_BEFORE)})(?:{_FORWARD})"),
        ("dozens", rf"(?:(?P<n>{_WHOLE})|半)(?P<w>{_any(tuple(units.DOZENS))})(?P<half>半)?"),
        ("rank century", rf"(?:西暦)?(?P<n>{_WHOLE})世紀(?:{_any(units.CENTURY_RANKS)})"),
        ("before", rf"紀元前(?P<n>{_WHOLE})(?:年|世紀)(?:{_any((*units.CENTURY_RANKS, *units.BOUNDS))})?"),
        ("century", rf"(?P<n>{_WHOLE})世紀(?P<w>間|半|前|後|ぶり)"),
        ("late century", rf"(?:西暦)?(?P<n>{_WHOLE})世紀"),
        ("decade", rf"(?P<n>{_WHOLE})代"),
        ("year", rf"(?:{_any(units.ERAS)})(?P<n>{_WHOLE})年(?:度|代)?{_BOUNDS}"),
        ("hour", rf"(?:{_any(units.BEFORE_HOURS)})の?(?P<n>{_WHOLE})時(?P<half>半)?(?:頃|ごろ|過ぎ|すぎ)?"),
        ("half more", rf"{_ABOUT}(?P<n>{_WHOLE})(?:{_any(units.AND_A_HALF)})半{_BOUNDS}"),
        ("half more", rf"(?P<n>{_WHOLE})(?:{_any(units.HALF_STEPS)})半(?:{_FORWARD}|ぶり|間)"),
        ("half more back", rf"(?P<n>{_WHOLE})(?:{_any(units.HALF_STEPS)})半(?:{_BACK})"),
        ("back", rf"{_ABOUT}(?P<n>{_NUMBER})(?:{_any(units.STEPS)})(?:{_BACK})"),
        ("forward", rf"{_ABOUT}(?P<n>{_NUMBER})(?:{_any(units.STEPS)})(?:{_FORWARD})"),
        ("minutes", rf"{_ABOUT}(?P<n>{_WHOLE})分{_BOUNDS}"),
        ("below", rf"(?:{_any(units.FREEZING)})(?P<n>{_NUMBER})度"),
        ("relative", rf"(?P<w>{_any(tuple(units.RELATIVE))})(?P<unit>.+)"),
        ("count", rf"(?P<n>{_WHOLE})つ目?"),
        ("count", rf"{_ABOUT}(?P<n>{_NUMBER})(?:{_UNIT})?{_BOUNDS}"),
    )
)  # fmt: skip
_SIGN = re.compile(rf"(?:(?P<minus>{_any(units.BELOW_ZERO)})|{_any(units.ABOVE_ZERO)})[ 　]?")
_SIGNED = frozenset({"count", "percent", "fraction", "share", "half more"})  # what may stand behind a sign


def read_expression(source: str) -> str | None:
    """The number of an expression (in a sentence: of the marked one) as a plain decimal; None where the rules abstain.

    source  an expression, or a sentence with one expression in 【】
    """
    marked = _MARKED.findall(source)
    if len(marked) > 1 or ("【" in source and not marked):
        return None
    value = expression_value(marked[0] if marked else source)
    return None if value is None else as_decimal(value)


def expression_value(text: str) -> Fraction | None:
    """The exact value of an expression, or None where the rules are not sure.

    text  the expression alone
    """
    sign = _SIGN.match(text)
    rest = text[sign.end() :] if sign else text
    for name, pattern in _PATTERNS:
        if (not sign or name in _SIGNED) and (found := pattern.fullmatch(rest)):
            value = _value(name, found)
            return -value if sign and sign["minus"] and value is not None else value
    return None


def _value(name: str, found: re.Match[str]) -> Fraction | None:
    """What a pattern makes of its parts. None where a part is no well-formed numeral, or the decimal does not end."""
    if name in _WITHOUT_NUMBER:
        return _WITHOUT_NUMBER[name]
    if name == "share":
        return _share(found)
    if name == "relative":
        known = found["unit"] in units.RELATIVE_UNITS[found["w"]]
        return Fraction(units.RELATIVE[found["w"]]) if known else None
    if name == "dozens":
        return _dozens(found)
    value = _number(found["n"])
    if value is None or not _is_meant(name, found["n"], value):
        return None
    if name == "fraction":
        return _fraction(found, value)
    if name == "century":
        return value * (-100 if found["w"] == "前" else 100) + (50 if found["w"] == "半" else 0)
    if name == "hour":
        return value + (units.HALF if found["half"] else 0)
    sign = -1 if name in ("back", "below", "before", "half more back") else 1
    scale = Fraction(1, 100) if name == "percent" else Fraction(1, 10) if name == "tenths" else Fraction(1)
    return sign * (value * scale + (units.HALF if name.startswith("half more") else 0))


_WITHOUT_NUMBER = {"half": units.HALF, "half back": -units.HALF}


def _is_meant(name: str, numeral: str, value: Fraction) -> bool:
    """Whether the number has one reading here: 二世紀 is a span or a rank, 三代 three generations or a rank."""
    if name == "late century":
        return value >= 10
    if name == "decade":
        return value % 10 == 0 and 10 <= value <= 90
    return name != "minutes" or numeral not in units.NO_MINUTES


def _share(found: re.Match[str]) -> Fraction:
    tenths = Fraction(10 if found["wari"] == "十" else int(found["wari"].translate(_DIGITS)), 10)
    small = (
        Fraction(int(found[name].translate(_DIGITS)), size)
        for name, size in (("bu", 100), ("rin", 1000))
        if found[name]
    )
    return tenths + sum(small, Fraction(0))


def _dozens(found: re.Match[str]) -> Fraction | None:
    size = units.DOZENS[found["w"]]
    value = units.HALF if found["n"] is None else _number(found["n"])
    return None if value is None else (value + (units.HALF if found["half"] else 0)) * size


def _fraction(found: re.Match[str], above: Fraction) -> Fraction | None:
    below = _number(found["below"])
    whole = _number(found["whole"]) if found["whole"] else Fraction(0)
    if not below or whole is None:
        return None
    value = whole + above / below
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return value if rest == 1 else None


def _number(text: str) -> Fraction | None:
    if re.fullmatch(_DECIMAL, text):
        whole, point, rest = re.split("([.．・点])", text)
        units_read = read(whole) if point in "・点" else int(whole)
        return None if units_read is None else Fraction(f"{units_read}.{rest.translate(_DIGITS)}")
    value = None if units.names_two_numbers(text) else read(text)
    return None if value is None else Fraction(value)
