"""How each form spells a number: one function a form, `(number, random) -> text`.

Tables of all sections 0..9999 are made once per style, so that a spelling costs a few look-ups. Which form
fits which number, and how often each is drawn, stands in `writer`.
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
    mark      the character that marks skipped places inside the section, "" for none
    twenties  whether 20, 30, 40 are 廿 卅 卌
    """
    return tuple(_section(number, digits, units, ones, mark, twenties) for number in range(10000))


def _section(number: int, digits: str, units: str, ones: str, mark: str, twenties: bool) -> str:
    text, last = "", -1
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if not digit:
            continue
        if mark and last - place > 1:
            text += mark
        last = place
        if place == 1 and twenties and digit in _TWENTIES:
            text += _TWENTIES[digit]
        elif place == 0:
            text += digits[digit]
        else:
            bare = digit == 1 and PLAIN_UNITS[place - 1] not in ones
            text += ("" if bare else digits[digit]) + units[place - 1]
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


def kanji(number: int, random: Random) -> str:
    """三万八千. Ordinary Japanese writes 一千万 and 千万, 一千億 and 千億, but 千 alone."""
    if not number:
        return "〇" if random.random() < 0.7 else "零"
    text = _join(number, _sections(KANJI, PLAIN_UNITS), "万")
    if number >= 10**7 and random.random() < 0.5:
        return (
            _join(number - number % 10000, _sections(KANJI, PLAIN_UNITS, "千"), "万")
            + (_sections(KANJI, PLAIN_UNITS)[number % 10000])
        )
    return text


def kanji_one(number: int, random: Random) -> str:
    """一千一百, with a one before 千, before 千 and 百, or before all."""
    ones = ("千", "千百", "千百十")[int(random.random() * 3)]
    return _join(number, _sections(KANJI, PLAIN_UNITS, ones), "万")


def in_style(digits: str, units: str) -> Callable[[int, Random], str]:
    def written(number: int, random: Random) -> str:
        if not number:
            return digits[0]
        ones = ("千百十", "", "千")[int(random.random() * 3)]
        return _join(number, _sections(digits, units, ones), units[3])

    return written


def mixed(number: int, random: Random) -> str:
    """七拾二万参千: every character in any of its shapes."""
    if not number:
        return "零"
    ones = ("千百十", "", "千")[int(random.random() * 3)]
    text = _join(number, _sections(KANJI, PLAIN_UNITS, ones), "万")
    bits = random.getrandbits(2 * len(text))
    shapes = []
    for char in text:
        shapes.append(_WAYS[char][bits & 3])
        bits >>= 2
    return "".join(shapes)


def twenty(number: int, random: Random) -> str:
    """廿, 卅 and 卌 for 20, 30 and 40: 百廿三, 卅万."""
    return _join(number, _sections(KANJI, PLAIN_UNITS, "", "", True), "万")


def marked(number: int, random: Random) -> str:
    """百〇八: every skipped place marked, after a unit too (一万〇五十)."""
    mark = "〇" if random.random() < 0.75 else "零"
    table = _sections(KANJI, PLAIN_UNITS, "", mark)
    text = ""
    for power, unit in ((12, "兆"), (8, "億"), (4, "万"), (0, "")):
        section = number // 10**power % 10000
        if section:
            # Behind a unit the thousands come next; below them, or with a whole section left out, a place is skipped.
            skipped = text and (section < 1000 or not number // 10 ** (power + 4) % 10000)
            text += (mark if skipped else "") + table[section] + unit
    return text


def positional(number: int, random: Random) -> str:
    """一〇二四, sometimes with 零 or in daiji."""
    chance = random.random()
    digits = KANJI if chance < 0.7 else ("零" + KANJI[1:] if chance < 0.85 else DAIJI)
    return str(number).translate(_by_digit(digits))


@lru_cache(maxsize=8)
def _by_digit(digits: str) -> dict[int, str]:
    return {ord(str(value)): char for value, char in enumerate(digits)}


def kanji_groups(number: int, random: Random) -> str:
    """一二三四万五六〇〇, as newspapers write vertically; zeros behind a unit are filled in or left out."""
    filled = random.random() < 0.5
    return "".join(
        (str(section).zfill(4) if filled and at else str(section)).translate(_by_digit(KANJI)) + unit
        for at, (section, unit) in enumerate(_parts(number))
    )


def _parts(number: int) -> list[tuple[int, str]]:
    """Sections other than 0 with their units, highest first."""
    sections = ((number // 10**power % 10000, unit) for power, unit in ((12, "兆"), (8, "億"), (4, "万"), (0, "")))
    return [(section, unit) for section, unit in sections if section]


def _wide(text: str, random: Random) -> str:
    return text.translate(_FULL_WIDTH) if random.random() < 0.3 else text


def digits(number: int, random: Random) -> str:
    return _wide(str(number), random)


def separated(number: int, random: Random) -> str:
    return _wide(f"{number:,}", random)


def units(number: int, random: Random) -> str:
    """3万5千, 2億3400万, 2億3,400万, 1億0500万: digits before units, in one manner throughout."""
    chance = random.random()
    if chance < 0.4 or number < 10000:
        pieces = (_small_units(section) + unit for section, unit in _parts(number))
    elif chance < 0.7:
        pieces = (f"{section}{unit}" for section, unit in _parts(number))
    elif chance < 0.9:
        pieces = (f"{section:,}{unit}" for section, unit in _parts(number))
    else:
        pieces = (
            f"{section:04}{unit}" if at else f"{section}{unit}" for at, (section, unit) in enumerate(_parts(number))
        )
    return _wide("".join(pieces), random)


def _small_units(section: int) -> str:
    """5000 → 5千, 3500 → 3千5百; other sections stay digits."""
    if section % 100:
        return str(section)
    thousands, hundreds = divmod(section // 100, 10)
    return (f"{thousands}千" if thousands else "") + (f"{hundreds}百" if hundreds else "")


def decimal(number: int, random: Random) -> str:
    """1.5億, 0.25万, 1,234.5兆: at most four decimals."""
    powers = decimal_powers(number)
    power = powers[int(random.random() * len(powers))]
    whole, rest = divmod(number, 10**power)
    left = f"{whole:,}" if random.random() < 0.3 else str(whole)
    return _wide(f"{left}.{str(rest).zfill(power).rstrip('0')}{'万億兆'[power // 4 - 1]}", random)


def decimal_powers(number: int) -> list[int]:
    """The units in which a number is a decimal of one to four places, not below 0.1."""
    return [
        power
        for power in (4, 8, 12)
        if 10 ** (power - 1) <= number < 10 ** (power + 4) and number % 10**power and not number % 10 ** (power - 4)
    ]


def bare(number: int, random: Random) -> str:
    shapes = BARE[number]
    return shapes[int(random.random() * len(shapes))]


def skips_a_place(number: int) -> bool:
    return "0" in str(number).rstrip("0")


def has_twenty(number: int) -> bool:
    return any(section // 10 % 10 in _TWENTIES for section, _ in _parts(number))
