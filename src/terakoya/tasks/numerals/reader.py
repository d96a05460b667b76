"""Reads every written form of a number from 0 to 10^16 − 1, exactly, and refuses what is malformed.

This is the oracle: what it reads is certain, and where it is not sure it abstains (None). Decided:

- A row of bare digits is read by place: 一〇二四 is 1024, 一二三 is 123; before a unit too (一二〇万).
- 千, 一千 and 壱仟 are one number; so are 百 and 一百, 十 and 壱拾.
- 万, 億 and 兆 may stand without a digit only when they are the whole text (万 is 10000; 万五千 is refused).
- Units fall from left to right, each once, at most four digits to a unit: 三二百万億, 万万, 10000万 are refused.
- 〇 or 零 may mark a place that is skipped, and only there: 千〇二十, 百〇八, 一億〇五万; 千〇二百 is refused.
- Four digits after a unit may begin with zeros (1億0500万); elsewhere leading zeros are refused (007, 〇〇七).
- A decimal stands before 万, 億 or 兆, alone, and only where the number is whole: 1.5億, not 1.23456万, not 1兆2.5億.
- Separators stand where they belong: 15,000 and 2億3,400万, not 15,00.
- 廿, 卅 and 卌 are 20, 30 and 40 wherever tens may stand (百廿三, 廿万).
- White space around the text is ignored, inside it is refused, and so is everything that is no digit or unit.
"""

from __future__ import annotations

import re

LIMIT = 10**16

_ALIKE = {
    "一": "壱壹弌", "二": "弐貳貮弍", "三": "参參叁弎", "四": "肆", "五": "伍", "六": "陸", "七": "漆柒", "八": "捌",
    "九": "玖", "十": "拾", "百": "佰", "千": "仟阡", "万": "萬", "廿": "卄", "〇": "零",
    **{digit: chr(ord("０") + int(digit)) for digit in "0123456789"}, ",": "，", ".": "．",
}  # fmt: skip
_PLAIN = str.maketrans({other: char for char, others in _ALIKE.items() for other in others})
_DIGITS = str.maketrans("〇一二三四五六七八九", "0123456789")

_ARABIC = re.compile(r"0|[1-9][0-9]{0,15}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,5}")
_BY_PLACE = re.compile(r"〇|[一二三四五六七八九][〇一二三四五六七八九]{0,15}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,3}|[1-9],[0-9]{3})\.([0-9]{1,12})([万億兆])")
_SECTIONS = re.compile(r"(?:([^万億兆]+)兆)?(?:([^万億兆]+)億)?(?:([^万億兆]+)万)?([^万億兆]+)?")
_DIGIT = "[1-9一二三四五六七八九]"
_WITH_UNITS = re.compile(
    f"(?:(〇)?({_DIGIT})?(千))?(?:(〇)?({_DIGIT})?(百))?(?:(〇)?(?:({_DIGIT})?(十)|([廿卅卌])))?(?:(〇)?({_DIGIT}))?"
)
_FOUR_DIGITS = re.compile(r"[1-9][0-9]{0,3}|[1-9],[0-9]{3}|[一二三四五六七八九][〇一二三四五六七八九]{1,3}")
_PADDED = re.compile(r"0[0-9]{3}|〇[〇一二三四五六七八九]{3}")
_ALONE = {"万": 10**4, "億": 10**8, "兆": 10**12}
_POWERS = {"万": 4, "億": 8, "兆": 12}
_TENS = {"廿": 2, "卅": 3, "卌": 4}
_NO_PLACE = 99  # above every place: nothing stands to the left yet


def read(text: str) -> int | None:
    """The number that is written, or None where the text is no well-formed number below 10^16.

    text  a written number; white space around it is ignored
    """
    plain = text.strip().translate(_PLAIN)
    if plain in _ALONE:
        return _ALONE[plain]
    if _BY_PLACE.fullmatch(plain):
        return int(plain.translate(_DIGITS))
    if _ARABIC.fullmatch(plain):
        digits = plain.replace(",", "")
        return int(digits) if len(digits) <= 16 else None
    if "." in plain:
        return _decimal(plain)
    return _sections(plain)


def _decimal(plain: str) -> int | None:
    found = _DECIMAL.fullmatch(plain)
    if not found:
        return None
    whole, rest, unit = found.groups()
    power = _POWERS[unit]
    if len(rest.rstrip("0")) > power:
        return None
    value = int(whole.replace(",", "") + rest[:power].ljust(power, "0"))
    return value or None


def _sections(plain: str) -> int | None:
    """Up to four digits before each of 兆, 億, 万 and the end."""
    found = _SECTIONS.fullmatch(plain)
    if not found or not plain:
        return None
    value, lowest = 0, _NO_PLACE  # the lowest place that has been written so far
    for power, section in zip((12, 8, 4, 0), found.groups(), strict=True):
        if section is None:
            continue
        part = _section(section, power, lowest)
        if part is None:
            return None
        value += part * 10**power
        lowest = power
    return value


def _section(section: str, power: int, lowest: int) -> int | None:
    """A number from 1 to 9999; `lowest` is the place to its left, which decides where zeros may stand."""
    if _FOUR_DIGITS.fullmatch(section) or (lowest != _NO_PLACE and _PADDED.fullmatch(section)):
        return int(section.replace(",", "").translate(_DIGITS)) or None
    found = _WITH_UNITS.fullmatch(section)
    if not found:
        return None
    mark3, digit3, unit3, mark2, digit2, unit2, mark1, digit1, unit1, twenty, mark0, digit0 = found.groups()
    value = 0
    for place, mark, digit, unit in (
        (3, mark3, digit3, unit3),
        (2, mark2, digit2, unit2),
        (1, mark1, digit1, unit1 or twenty),
        (0, mark0, digit0, digit0),
    ):
        if unit is None:
            continue
        if mark and not _skips(lowest, power + place):
            return None
        digit_value = _TENS[twenty] if place == 1 and twenty else int((digit or "1").translate(_DIGITS))
        value += digit_value * 10**place
        lowest = power + place
    return value or None


def _skips(lowest: int, place: int) -> bool:
    """Whether at least one place lies between; at the very start nothing can be skipped."""
    return lowest != _NO_PLACE and lowest - place > 1
