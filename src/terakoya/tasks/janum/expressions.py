"""Draws number expressions that are made of parts, with their exact values: 第三回 3, 二割五分 0.25, 十年前 -10.

A form is a way in which Japanese puts a number together with words. Every form is drawn in every spelling of numbers
that it allows; the rule in `rule.py` reads them back independently.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from random import Random
from types import MappingProxyType

from terakoya.codec.arithmetic import as_decimal, worked_out
from terakoya.tasks.janum import units
from terakoya.tasks.numerals.writer import write_if_fits
from terakoya.text import source_form

_KANJI = "〇一二三四五六七八九"
_FULL = str.maketrans("0123456789.", "０１２３４５６７８９．")
_SPELLINGS = (
    "kanji",
    "kanji",
    "kanji",
    "kanji",
    "positional",
    "daiji",
    "mixed",
    "digits",
    "digits",
    "separated",
    "twenty",
)


@dataclass(frozen=True)
class Expression:
    """group    what must stay on one side of a split: the form with the value, however that is spelled
    working  what a calculator would be given, where a form takes a sum: 12*12; else the value
    """

    text: str
    value: Fraction
    form: str
    group: str
    working: str


def draw_expression(random: Random, form: str = "") -> Expression:
    """One expression, of that form or of any."""
    name = form or _NAMES[bisect(_STEPS, random.random() * _STEPS[-1])]
    text, found = _FORMS[name][1](random)
    value = found if isinstance(found, Fraction) else Fraction(worked_out(found) or "")
    # A closed form has few values, so that a spelling is held out and not the value: 七つ where 7つ is taught.
    key = source_form(text) if name in CLOSED else as_decimal(value)
    working = as_decimal(value) if isinstance(found, Fraction) else found
    return Expression(text, value, name, f"{name}:{key}", working)


def number(random: Random, most: int = 0) -> tuple[str, int]:
    """A whole number from 1 on in one of its spellings; small ones are frequent, `most` bounds them."""
    size = random.random()
    bound = 10 if size < 0.4 else 100 if size < 0.75 else 1000 if size < 0.92 else 10_000
    if not most and random.random() < 0.04:
        value = (1 + int(random.random() * 99)) * 10 ** random.choice((4, 5, 6, 8))
    else:
        value = 1 + int(random.random() * (min(bound, most + 1 if most else bound) - 1))
    return spelled(random, value), value


def spelled(random: Random, value: int) -> str:
    if random.random() < 0.07 and value < 10_000:
        return str(value).translate(_FULL)
    for _ in range(20):
        text = write_if_fits(value, random.choice(_SPELLINGS), random)
        if text is not None:
            return text
    return str(value)


def decimal(random: Random) -> tuple[str, Fraction]:
    """3.5, 三・五, 三点五, ３．５."""
    whole = int(random.random() * random.choice((3, 10, 40)))
    digits = (
        str(1 + int(random.random() * 9))
        if random.random() < 0.7
        else f"{int(random.random() * 10)}{1 + int(random.random() * 9)}"
    )
    value = Fraction(f"{whole}.{digits}")
    kind = random.random()
    if kind < 0.35:
        return f"{whole}.{digits}", value
    if kind < 0.45:
        return f"{whole}.{digits}".translate(_FULL), value
    before = (write_if_fits(whole, "kanji", Random(1)) or "") if whole else "〇" if kind < 0.8 else "零"
    between = "点" if kind > 0.75 else "・"
    return before + between + "".join(_KANJI[int(digit)] for digit in digits), value


def _ordinal(random: Random) -> tuple[str, Fraction]:
    text, value = number(random, 3000)
    kind = random.random()
    if kind < 0.35:
        return f"第{text}{random.choice(units.SERIES)}", Fraction(value)
    if kind < 0.7:
        return f"{text}{random.choice(units.RANKS)}", Fraction(value)
    unit = random.choice(tuple(unit for unit in units.COUNTED_UP if unit != "つ"))
    return f"{text}{unit}目", Fraction(value)


def _count(random: Random) -> tuple[str, Fraction]:
    text, value = number(random)
    before = random.choice(units.ABOUT) if random.random() < 0.12 else ""
    after = random.choice(units.BOUNDS) if random.random() < 0.12 else ""
    return f"{before}{text}{random.choice(units.COUNTERS)}{after}", Fraction(value)


def _tsu(random: Random) -> tuple[str, Fraction]:
    text, value = number(random, 9)
    return f"{text}つ{random.choice(('', '', '目'))}", Fraction(value)


def _step(random: Random) -> tuple[str, Fraction]:
    unit = random.choice(units.STEPS)
    text, value = number(random, 9 if unit == "つ" else 2000)
    back = random.random() < 0.5
    return f"{text}{unit}{random.choice(units.BACK if back else units.FORWARD)}", Fraction(-value if back else value)


def _and_a_half(random: Random) -> tuple[str, Fraction]:
    text, value = number(random, 99)
    return f"{text}{random.choice(units.AND_A_HALF)}半", value + units.HALF


def _half(random: Random) -> tuple[str, Fraction]:
    return f"半{random.choice(units.HALF_OF)}", units.HALF


def _dozens(random: Random) -> tuple[str, str]:
    word, size = random.choice(tuple(units.DOZENS.items()))
    kind = random.random()
    if kind < 0.1:
        return f"半{word}", f"{size}/2"
    text, value = number(random, 40)
    return (f"{text}{word}半", f"{value}*{size}+{size}/2") if kind < 0.2 else (f"{text}{word}", f"{value}*{size}")


def _digit(random: Random) -> tuple[str, int]:
    value = 1 + int(random.random() * 9)
    kind = random.random()
    return (_KANJI[value] if kind < 0.75 else str(value) if kind < 0.9 else str(value).translate(_FULL)), value


def _share(random: Random) -> tuple[str, Fraction]:
    """割, 分 and 厘: tenths, hundredths, thousandths."""
    text, value = ("", Fraction(0))
    for word, size in (("割", 10), ("分", 100), ("厘", 1000)):
        if (
            word == "割"
            or (text.endswith("割") and random.random() < 0.55)
            or (text.endswith("分") and random.random() < 0.35)
        ):
            digit, count = _digit(random)
            text, value = f"{text}{digit}{word}", value + Fraction(count, size)
    if random.random() < 0.05:
        text, value = "十割", Fraction(1)
    after = random.choice(units.SHARES) if random.random() < 0.35 else ""
    return ("約" if random.random() < 0.05 else "") + text + after, value


def _tenths(random: Random) -> tuple[str, Fraction]:
    text, value = _digit(random)
    return f"{text}{random.choice(units.TENTHS)}", Fraction(value, 10)


def _percent(random: Random) -> tuple[str, Fraction]:
    word = random.choice(("%", "％", "パーセント", "パーセント引き", "%オフ", "％増"))
    if random.random() < 0.3:
        text, part = decimal(random)
        return text + word, part / 100
    text, value = number(random, 100 if random.random() < 0.9 else 400)
    return text + word, Fraction(value, 100)


def _fraction(random: Random) -> tuple[str, str]:
    below = random.choice(units.DENOMINATORS)
    above = 1 + int(random.random() * min(below - 1, 12)) if random.random() < 0.9 else 1 + int(random.random() * 30)
    text = f"{spelled(random, below)}分の{spelled(random, above)}"
    if random.random() < 0.15:
        whole, value = number(random, 20)
        return f"{whole}と{text}", f"{value}+{above}/{below}"
    return text, f"{above}/{below}"


def _decimal(random: Random) -> tuple[str, Fraction]:
    text, value = decimal(random)
    return text + random.choice(("", "", "倍", "キロ", "メートル", "度", "点", "人", "秒", "グラム", "リットル")), value


def _negative(random: Random) -> tuple[str, Fraction]:
    text, value = decimal(random) if random.random() < 0.3 else number(random, 300)
    kind = random.random()
    if kind < 0.3:
        return f"{random.choice(units.FREEZING)}{text}度", -Fraction(value)
    if kind < 0.4:
        era, count = number(random, 3000)
        return f"紀元前{era}年", Fraction(-count)
    return f"{random.choice(units.BELOW_ZERO)}{text}{random.choice(('', '', '度', '円', '点', '人'))}", -Fraction(value)


def _century(random: Random) -> tuple[str, Fraction]:
    """A span counts in years, a rank is a number: 二世紀間 200, 十九世紀末 19."""
    text, value = number(random, 30)
    kind = random.random()
    if kind < 0.5:
        return f"{text}世紀{random.choice(('初頭', '末', '前半', '後半', '半ば', '以降'))}", Fraction(value)
    if kind < 0.65:
        return f"紀元前{text}世紀", Fraction(-value)
    word, years = random.choice(
        (("世紀間", 100), ("世紀半", 100), ("世紀前", -100), ("世紀後", 100), ("世紀ぶり", 100))
    )
    return f"{text}{word}", Fraction(value * years + (50 if word == "世紀半" else 0))


def _relative(random: Random) -> tuple[str, Fraction]:
    word = random.choice(tuple(units.RELATIVE))
    return word + random.choice(units.RELATIVE_UNITS[word]), Fraction(units.RELATIVE[word])


# A form's share of what is drawn, and how one is drawn: its text, and its value or the working that gives it.
_Form = tuple[float, Callable[[Random], tuple[str, Fraction] | tuple[str, str]]]
_FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        "count": (20, _count), "ordinal": (12, _ordinal), "step": (10, _step), "share": (10, _share),
        "and-a-half": (8, _and_a_half), "fraction": (8, _fraction), "percent": (7, _percent), "decimal": (7, _decimal),
        "negative": (6, _negative), "century": (5, _century), "relative": (5, _relative), "tenths": (4, _tenths),
        "dozens": (4, _dozens), "tsu": (3, _tsu), "half": (3, _half),
    }
)  # fmt: skip
FORMS: tuple[str, ...] = tuple(_FORMS)
CLOSED = frozenset({"tsu", "half", "tenths", "relative", "share"})
_NAMES = FORMS
_STEPS = tuple(accumulate(weight for weight, _ in _FORMS.values()))
