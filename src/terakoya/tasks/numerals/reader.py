"""Reads every written form of a number from 0 to 10^16 − 1, exactly, and refuses what is malformed.

This is the oracle: what it reads is certain, and where it is not sure it abstains (None). Decided:

- A row of bare digits is read by place: 一〇二四 is 1024, 一二三 is 123; before a unit too (一二〇万).
- 千, 一千 and 壱仟 are one number; so are 百 and 一百, 十 and 壱拾.
- 万, 億 and 兆 may stand without a digit only when they are the whole text (万 is 10000; 万五千 is refused).
- Units fall from left to right, each once, at most four digits to a unit: 三二百万億, 万万, 10000万 are refused.
- Every part is smaller than the last place written before it, and then the parts add up: 4千8百21, 2千20,
  58百7万, 2234千億, 1百万345千. Before 千 and 百 up to four Arabic digits may stand (12千345), but one in kanji
  (三五百 is refused).
- Behind a unit several kanji digits fill all positions below it: 千二三四, 千二百三四; 二十五六 (25 or 26) is refused.
- 〇 or 零 may mark what is skipped, once or once a place, and only there: 千〇二十, 千〇〇三, 一億〇五万;
  千〇二百 is refused.
- Leading zeros are ignored in a row of bare digits (000023, 〇〇七), and after a unit where four digits are written
  (1億0500万); elsewhere they are refused (05万, 1億050万).
- A decimal stands before 万, 億 or 兆, alone, and only where the number is whole: 1.5億, not 1.23456万, not 1兆2.5億.
- Separators stand where they belong: 15,000 and 2億3,400万, not 15,00; and behind 万, 億 or 兆 white space, 、 or
  a comma (1,000億 5,432万; 二万、五十).
- 廿, 卅 and 卌 are 20, 30 and 40 wherever tens may stand (百廿三, 廿万).
- White space around the text is ignored, inside it is refused but behind 万, 億 and 兆, and so is everything that is no
  digit or unit.
"""

from __future__ import annotations

import re

LIMIT = 10**16

# Each character as the reader thinks of it, and the shapes in which it may be written; the writer draws from them.
ALIKE = {
    "一": "壱壹弌", "二": "弐貳貮弍", "三": "参參叁弎", "四": "肆", "五": "伍", "六": "陸", "七": "漆柒", "八": "捌",
    "九": "玖", "十": "拾", "百": "佰", "千": "仟阡", "万": "萬", "廿": "卄", "〇": "零",
    **{digit: chr(ord("０") + int(digit)) for digit in "0123456789"}, ",": "，", ".": "．",
}  # fmt: skip
_PLAIN = str.maketrans({other: char for char, others in ALIKE.items() for other in others})
_DIGITS = str.maketrans("〇一二三四五六七八九", "0123456789")

_ARABIC = re.compile(r"[0-9]+|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,5}")
_BY_PLACE = re.compile(r"[〇一二三四五六七八九]+")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,3}|[1-9],[0-9]{3})\.([0-9]{1,12})([万億兆])")
_LARGE_UNIT = re.compile("([万億兆])")
_SEPARATOR = re.compile("[、,]?[ 　\u00a0]*")
_KANJI_DIGIT = "[一二三四五六七八九]"
_TERM = re.compile(
    f"(?P<zeros>〇*)(?:(?P<digits>[1-9][0-9]{{0,3}}|{_KANJI_DIGIT})?(?P<unit>[千百])"
    f"|(?P<ten>[1-9]|{_KANJI_DIGIT})?(?P<tens>十)|(?P<twenty>[廿卅卌]))"
)
_RUN = re.compile("[0-9]{1,4}|〇*[〇一二三四五六七八九]{1,4}")
_FOUR_DIGITS = re.compile(r"[1-9][0-9]{0,3}|[1-9],[0-9]{3}|[一二三四五六七八九][〇一二三四五六七八九]{1,3}")
_PADDED = re.compile(r"0[0-9]{3}|〇[〇一二三四五六七八九]{3}")
_ALONE = {"万": 10**4, "億": 10**8, "兆": 10**12}
_POWERS = {"万": 4, "億": 8, "兆": 12}
_TENS = {"廿": 2, "卅": 3, "卌": 4}
_POSITION_OF = {"千": 3, "百": 2}
_NO_PLACE = 99  # above every place: nothing stands to the left yet


def read(text: str) -> int | None:
    """The number that is written, or None where the text is no well-formed number below 10^16.

    text  a written number; white space around it is ignored
    """
    plain = text.strip().translate(_PLAIN)
    if plain in _ALONE:
        return _ALONE[plain]
    if _BY_PLACE.fullmatch(plain):
        return _row(plain.translate(_DIGITS))
    if _ARABIC.fullmatch(plain):
        return _row(plain.replace(",", ""))
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


def _row(digits: str) -> int | None:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 16 else None


def _sections(plain: str) -> int | None:
    """What stands before each of 兆, 億, 万 and the end."""
    pieces = _LARGE_UNIT.split(plain)
    value, lowest, unit_place = 0, _NO_PLACE, _NO_PLACE  # the last place written so far, and the last unit's own place
    for at in range(0, len(pieces), 2):
        section, power = pieces[at], _POWERS[pieces[at + 1]] if at + 1 < len(pieces) else 0
        if at and not section and at + 1 == len(pieces):
            break
        if at:
            section = section[_end_of_separator(section) :]
        found = _section(section, power, unit_place) if power < unit_place else None
        if found is None or found[0] * 10**power >= 10**lowest:
            return None
        value += found[0] * 10**power
        lowest, unit_place = power + found[1], power
    return value if 0 < value < LIMIT else None


def _end_of_separator(section: str) -> int:
    found = _SEPARATOR.match(section)
    return found.end() if found else 0


def _section(section: str, power: int, above: int) -> tuple[int, int] | None:
    """A number with the units 千, 百 and 十, or up to four digits: its value, and the last place written in it.

    `above` is the place to its left, which decides where zeros may stand.
    """
    if _FOUR_DIGITS.fullmatch(section) or (above != _NO_PLACE and _PADDED.fullmatch(section)):
        value = int(section.replace(",", "").translate(_DIGITS))
        return (value, 0) if value else None
    value, at, place = 0, 0, above - power if above != _NO_PLACE else _NO_PLACE
    lowest, has_unit = _NO_PLACE, False
    while (found := _TERM.match(section, at)) is not None:
        unit = _POSITION_OF.get(found["unit"] or "", 1)
        if found["twenty"]:
            term = _TENS[found["twenty"]] * 10
        else:
            term = int((found["digits"] or found["ten"] or "1").translate(_DIGITS)) * 10**unit
        top = len(str(term)) - 1
        if not _zeros_fit(len(found["zeros"]), place, top) or term >= 10 ** min(lowest, _NO_PLACE):
            return None
        value, at, place, lowest, has_unit = value + term, found.end(), unit, unit, True
    if at < len(section):
        run = _run_value(section[at:], place, lowest if has_unit else _NO_PLACE)
        return None if run is None else (value + run, 0)
    return (value, lowest) if value else None


def _run_value(run: str, place: int, below: int) -> int | None:
    """The digits behind the last unit: below 10^`below`, which is no limit where the section has no unit."""
    if not _RUN.fullmatch(run):
        return None
    digits = run.translate(_DIGITS)
    significant = digits.lstrip("0")
    if not significant:
        return None
    zeros = len(digits) - len(significant)
    if below != _NO_PLACE and len(digits) == below:  # all positions are written
        return int(digits)
    if run.isascii():
        return int(digits) if below != _NO_PLACE and not zeros and len(digits) < below else None
    return int(digits) if len(significant) == 1 and _zeros_fit(zeros, place, 0) else None


def _zeros_fit(zeros: int, place: int, next_place: int) -> bool:
    """Whether so many zeros may stand for what is skipped between two positions: none, one, or one for each."""
    skipped = place - next_place - 1
    return zeros == 0 or (place != _NO_PLACE and skipped > 0 and zeros in (1, skipped))
