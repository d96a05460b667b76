"""Spellings beyond the common ones: every shape of a character, units before digits, separators, zeros written out.

As in `spelling`, each is a function `(number, rng) -> text`; where it fits is defined in `writer`.
"""

from __future__ import annotations

from random import Random

from terakoya.tasks.numerals import spelling
from terakoya.tasks.numerals.reader import ALIKE

_SHAPES = {char: char + others for char, others in ALIKE.items() if not char.isascii()}
_UNITS = ((1000, "千"), (100, "百"))
_KANJI = str.maketrans("0123456789", spelling.KANJI)


def shapes(number: int, rng: Random) -> str:
    """弐仟参佰, 弌万弍, 百卄: every character in any shape that the reader knows.

    number  from 0 on
    rng     chooses among the spellings
    """
    twenties = rng.random() < 0.5 and spelling.has_twenty(number)
    text = spelling.twenty(number, rng) if twenties else spelling.kanji(number, rng)
    return "".join(rng.choice(_SHAPES.get(char, char)) for char in text)


def units_and_digits(number: int, rng: Random) -> str:
    """4千8百21, 千二三四, 12千345: small units as far as they go, then digits by place.

    number  one for which `has_thousands` holds
    rng     chooses among the spellings
    """
    kind = rng.random()
    if kind < 0.2 and number < 10**6:
        thousands, rest = divmod(number, 1000)
        if thousands < 10**4 and rest:
            return f"{thousands}千{rest}"
    last = rng.choice((1000, 100))
    sections = spelling.sections(number)
    if kind < 0.6:
        return "".join(_arabic(section, last) + unit for section, unit in sections)
    return "".join(_by_place(section, last) + unit for section, unit in sections)


def _arabic(section: int, last: int) -> str:
    text = ""
    for value, unit in _UNITS:
        if value >= last and section >= value:
            text, section = f"{text}{section // value}{unit}", section % value
    return text + (str(section) if section else "")


def _by_place(section: int, last: int) -> str:
    """千二三四: behind the last unit that is written every place has a digit."""
    text, below = "", 0
    for value, unit in _UNITS:
        if value >= last and section >= value:
            digit = section // value
            text += ("" if digit == 1 else spelling.KANJI[digit]) + unit
            section, below = section % value, value
    if not section:
        return text
    return text + (str(section).zfill(len(str(below)) - 1) if below else str(section)).translate(_KANJI)


def separated_units(number: int, rng: Random) -> str:
    """一兆　二千億, 二万、五十, 1,000億 5,432万: white space, 、 or a comma behind the large units.

    number  one for which `has_sections` holds
    rng     chooses among the spellings
    """
    sections, kind = spelling.sections(number), rng.random()
    if kind < 0.4:
        pieces = [f"{section:,}{unit}" for section, unit in sections]
    elif kind < 0.55:
        pieces = [f"{str(section).translate(_KANJI)}{unit}" for section, unit in sections]
    else:
        pieces = [spelling.kanji(section, rng) + unit for section, unit in sections]
    return rng.choice((" ", "　", "、") if kind >= 0.4 else (" ", "　", ", ", "、")).join(pieces)


def written_zeros(number: int, rng: Random) -> str:
    """000023, 〇〇七, 千〇〇三: leading zeros in a row of digits, or a zero for each place that is skipped.

    number  from 0 on
    rng     chooses among the spellings
    """
    if spelling.skips_a_place(number) and rng.random() < 0.6:
        return _zero_each(number)
    row = "0" * (1 + int(rng.random() * 4)) + str(number)
    return row.translate(_KANJI) if rng.random() < 0.3 else row


def _zero_each(number: int) -> str:
    """Inside a section with units, and between sections, a zero for each skipped place."""
    text, last = "", -1
    digits = str(number)
    for at, digit in enumerate(digits):
        place = len(digits) - 1 - at
        if digit == "0":
            if text and place % 4 == 0 and number // 10**place % 10**4 and place:
                text, last = text + "万億兆"[place // 4 - 1], place
            continue
        text += "〇" * (last - place - 1) if last > place + 1 else ""
        small = "十百千"[place % 4 - 1] if place % 4 else ""
        text += ("" if digit == "1" and small else spelling.KANJI[int(digit)]) + small
        last = place
        if place and place % 4 == 0:
            text += "万億兆"[place // 4 - 1]
    return text


def has_thousands(number: int) -> bool:
    """Whether a section of the number has thousands, and something below them.

    number  from 0 on
    """
    return any(section > 1000 and section % 1000 for section, _ in spelling.sections(number))


def has_sections(number: int) -> bool:
    """Whether the number has two sections or more: 二万五十.

    number  from 0 on
    """
    return len(spelling.sections(number)) > 1
