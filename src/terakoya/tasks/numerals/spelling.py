"""How each form spells a number: one function per form, `(number, rng) -> text`.

Tables of all sections 0..9999 are made once per style, so that a spelling costs a few look-ups. Which form fits which
number, and how often each is drawn, is defined in `writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from random import Random
from types import MappingProxyType

BARE: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {10: ("十", "拾"), 100: ("百", "佰"), 1000: ("千", "仟"), 10**4: ("万", "萬"), 10**8: ("億",), 10**12: ("兆",)}
)
KANJI, LEGAL = "〇一二三四五六七八九", "零壱弐参四五六七八九"
DAIJI, OLD = "零壱弐参肆伍陸漆捌玖", "零壹貳參肆伍陸漆捌玖"
PLAIN_UNITS, LEGAL_UNITS, DAIJI_UNITS = "十百千万", "拾百千万", "拾佰仟萬"
_TWENTIES = {2: "廿", 3: "卅", 4: "卌"}
_FULL_WIDTH = str.maketrans("0123456789,.", "０１２３４５６７８９，．")
# How a character may be written in a mixed text: four equally likely ways, so that two random bits choose.
_WAYS = {
    "一": "一壱一壹", "二": "二弐二貳", "三": "三参三參", "四": "四肆四肆", "五": "五伍五伍", "六": "六陸六陸",
    "七": "七漆七柒", "八": "八捌八捌", "九": "九玖九玖", "十": "十拾十拾", "百": "百佰百佰", "千": "千仟千阡",
    "万": "万萬万萬", "億": "億億億億", "兆": "兆兆兆兆",
}  # fmt: skip


@lru_cache(maxsize=64)
def _sections(digits: str, units: str, ones: str = "", mark: str = "", twenties: bool = False) -> tuple[str, ...]:
    """Every number 0..9999 with the units 十百千 of that style ("" for 0).

    ones      the units before which a one is written (一千), named in plain kanji
    mark      the character that marks skipped digits inside the section, "" for none
    twenties  whether 20, 30, 40 are 廿 卅 卌
    """
    return tuple(_section(number, digits, units, ones, mark, twenties) for number in range(10000))


def _section(number: int, digits: str, units: str, ones: str, mark: str, twenties: bool) -> str:
    text, last = "", -1
    for position in (3, 2, 1, 0):
        digit = number // 10**position % 10
        if not digit:
            continue
        if mark and last - position > 1:
            text += mark
        last = position
        if position == 1 and twenties and digit in _TWENTIES:
            text += _TWENTIES[digit]
        elif position == 0:
            text += digits[digit]
        else:
            bare = digit == 1 and PLAIN_UNITS[position - 1] not in ones
            text += ("" if bare else digits[digit]) + units[position - 1]
    return text


def _join(number: int, table: tuple[str, ...], man: str) -> str:
    """The sections of a number above 0 with 兆, 億 and 万 between them."""
    if number < 10000:
        return table[number]
    upper, low = divmod(number, 10000)
    text = table[low]
    upper, middle = divmod(upper, 10000)
    if middle:
        text = table[middle] + man + text
    if upper:
        upper, middle = divmod(upper, 10000)
        if middle:
            text = table[middle] + "億" + text
        if upper:
            text = table[upper] + "兆" + text
    return text


def kanji(number: int, rng: Random) -> str:
    """三万八千. Ordinary Japanese writes 一千万 and 千万, 一千億 and 千億, but 千 alone.

    number  from 0 on
    rng     chooses among the spellings
    """
    if not number:
        return "〇" if rng.random() < 0.7 else "零"
    text = _join(number, _sections(KANJI, PLAIN_UNITS), "万")
    if number >= 10**7 and rng.random() < 0.5:
        return (
            _join(number - number % 10000, _sections(KANJI, PLAIN_UNITS, "千"), "万")
            + (_sections(KANJI, PLAIN_UNITS)[number % 10000])
        )
    return text


def kanji_one(number: int, rng: Random) -> str:
    """一千一百, with a one before 千, before 千 and 百, or before all three units.

    number  above 0
    rng     chooses among the spellings
    """
    ones = ("千", "千百", "千百十")[int(rng.random() * 3)]
    return _join(number, _sections(KANJI, PLAIN_UNITS, ones), "万")


def in_style(digits: str, units: str) -> Callable[[int, Random], str]:
    """A spelling function `(number, rng) -> text` for other digits and units, such as daiji.

    digits  the ten digits, 0 first
    units   the signs for ten, hundred, thousand and ten thousand
    """

    def spell(number: int, rng: Random) -> str:
        if not number:
            return digits[0]
        ones = ("千百十", "", "千")[int(rng.random() * 3)]
        return _join(number, _sections(digits, units, ones), units[3])

    return spell


def mixed(number: int, rng: Random) -> str:
    """七拾二万参千: every character in any of its shapes.

    number  from 0 on
    rng     chooses among the spellings
    """
    if not number:
        return "零"
    ones = ("千百十", "", "千")[int(rng.random() * 3)]
    text = _join(number, _sections(KANJI, PLAIN_UNITS, ones), "万")
    bits = rng.getrandbits(2 * len(text))
    shapes = []
    for char in text:
        shapes.append(_WAYS[char][bits & 3])
        bits >>= 2
    return "".join(shapes)


def twenty(number: int, rng: Random) -> str:
    """廿, 卅 and 卌 for 20, 30 and 40: 百廿三, 卅万.

    number  one for which `has_twenty` holds
    rng     chooses among the spellings
    """
    return _join(number, _sections(KANJI, PLAIN_UNITS, "", "", True), "万")


def marked(number: int, rng: Random) -> str:
    """百〇八: every skipped place marked, after a unit too (一万〇五十).

    number  one for which `skips_a_place` holds
    rng     chooses among the spellings
    """
    mark = "〇" if rng.random() < 0.75 else "零"
    table = _sections(KANJI, PLAIN_UNITS, "", mark)
    text = ""
    for power, unit in ((12, "兆"), (8, "億"), (4, "万"), (0, "")):
        section = number // 10**power % 10000
        if section:
            # Behind a unit the thousands come next; below them, or with a whole section left out, a place is skipped.
            skipped = text and (section < 1000 or not number // 10 ** (power + 4) % 10000)
            text += (mark if skipped else "") + table[section] + unit
    return text


def positional(number: int, rng: Random) -> str:
    """一〇二四, sometimes with 零 or in daiji.

    number  from 0 on
    rng     chooses among the spellings
    """
    draw = rng.random()
    digits = KANJI if draw < 0.7 else ("零" + KANJI[1:] if draw < 0.85 else DAIJI)
    return str(number).translate(_by_digit(digits))


@lru_cache(maxsize=8)
def _by_digit(digits: str) -> dict[int, str]:
    return {ord(str(value)): char for value, char in enumerate(digits)}


def kanji_groups(number: int, rng: Random) -> str:
    """一二三四万五六〇〇, as newspapers write vertically; zeros after a unit are written or left out.

    number  10,000 or more
    rng     chooses among the spellings
    """
    padded = rng.random() < 0.5
    return "".join(
        (str(section).zfill(4) if padded and at else str(section)).translate(_by_digit(KANJI)) + unit
        for at, (section, unit) in enumerate(sections(number))
    )


def sections(number: int) -> list[tuple[int, str]]:
    """The sections of a `number` other than 0 with their units, highest first: 20050 is (2, "万"), (50, "")."""
    every = ((number // 10**power % 10000, unit) for power, unit in ((12, "兆"), (8, "億"), (4, "万"), (0, "")))
    return [(section, unit) for section, unit in every if section]


def _wide(text: str, rng: Random) -> str:
    return text.translate(_FULL_WIDTH) if rng.random() < 0.3 else text


def digits(number: int, rng: Random) -> str:
    """12345, sometimes in full width.

    number  from 0 on
    rng     chooses among the spellings
    """
    return _wide(str(number), rng)


def separated(number: int, rng: Random) -> str:
    """12,345, sometimes in full width.

    number  1,000 or more
    rng     chooses among the spellings
    """
    return _wide(f"{number:,}", rng)


def units(number: int, rng: Random) -> str:
    """3万5千, 2億3400万, 2億3,400万, 1億0500万: digits before units, in one manner throughout.

    number  above 0; 10,000 or more, or a multiple of 100
    rng     chooses among the spellings
    """
    draw = rng.random()
    if draw < 0.4 or number < 10000:
        pieces = (_small_units(section) + unit for section, unit in sections(number))
    elif draw < 0.7:
        pieces = (f"{section}{unit}" for section, unit in sections(number))
    elif draw < 0.9:
        pieces = (f"{section:,}{unit}" for section, unit in sections(number))
    else:
        pieces = (
            f"{section:04}{unit}" if at else f"{section}{unit}" for at, (section, unit) in enumerate(sections(number))
        )
    return _wide("".join(pieces), rng)


def _small_units(section: int) -> str:
    """5000 → 5千, 3500 → 3千5百; other sections stay digits."""
    if section % 100:
        return str(section)
    thousands, hundreds = divmod(section // 100, 10)
    return (f"{thousands}千" if thousands else "") + (f"{hundreds}百" if hundreds else "")


def decimal(number: int, rng: Random) -> str:
    """1.5億, 0.25万, 1,234.5兆: at most four decimals.

    number  one for which `decimal_powers` gives a unit
    rng     chooses among the spellings
    """
    powers = decimal_powers(number)
    power = powers[int(rng.random() * len(powers))]
    whole, rest = divmod(number, 10**power)
    left = f"{whole:,}" if rng.random() < 0.3 else str(whole)
    return _wide(f"{left}.{str(rest).zfill(power).rstrip('0')}{'万億兆'[power // 4 - 1]}", rng)


def decimal_powers(number: int) -> list[int]:
    """The units (as powers of ten) in which a number is a decimal of one to four decimal digits, not below 0.1.

    number  from 0 on
    """
    return [
        power
        for power in (4, 8, 12)
        if 10 ** (power - 1) <= number < 10 ** (power + 4) and number % 10**power and not number % 10 ** (power - 4)
    ]


def bare(number: int, rng: Random) -> str:
    """A unit alone: 百, 万, 億.

    number  one of BARE
    rng     chooses among the spellings
    """
    shapes = BARE[number]
    return shapes[int(rng.random() * len(shapes))]


def skips_a_place(number: int) -> bool:
    """Whether a place is skipped inside the number: 一〇二四.

    number  from 0 on
    """
    return "0" in str(number).rstrip("0")


def has_twenty(number: int) -> bool:
    """Whether a ten of the number is 20, 30 or 40, in any section.

    number  from 0 on
    """
    return any(section // 10 % 10 in _TWENTIES for section, _ in sections(number))
