"""Draws number expressions that are made of parts, with their exact values: 第三回 3, 二割五分 0.25, 十年前 -10.

A form is a way in which Japanese combines a number with words. Every form is drawn in every spelling of numbers that it
allows; the rule in `rule.py` reads them back independently.
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
from terakoya.codec.text import normalise_source
from terakoya.tasks.janum import units
from terakoya.tasks.numerals.writer import write_if_fits

_KANJI = "〇一二三四五六七八九"
_FULL = str.maketrans("0123456789.", "０１２３４５６７８９．")
_DIVISIBLE = ("年", "時間", "週間", "日", *units.HALF_STEPS)
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
    """A drawn number expression with its exact value.

    text     as it is written
    value    exact
    form     one of FORMS
    group    what must stay in one split: the form with the value, however that is spelled
    working  what one would enter into a calculator, where a form takes a calculation: 12*12; else the value
    """

    text: str
    value: Fraction
    form: str
    group: str
    working: str


def draw_expression(rng: Random, form: str = "") -> Expression:
    """One expression.

    rng   makes every choice
    form  one of FORMS; "" draws the form by its weight
    """
    name = form or _NAMES[bisect(_STEPS, rng.random() * _STEPS[-1])]
    text, found = _FORMS[name][1](rng)
    value = found if isinstance(found, Fraction) else Fraction(worked_out(found) or "")
    # A closed form has few values, so a spelling is held out and not the value: 七つ where 7つ is in training.
    key = normalise_source(text) if name in CLOSED else as_decimal(value)
    working = as_decimal(value) if isinstance(found, Fraction) else found
    return Expression(text, value, name, f"{name}:{key}", working)


def number(rng: Random, most: int = 0) -> tuple[str, int]:
    """A whole number from 1 on in one of its spellings, with its value; small numbers are frequent.

    rng   makes every choice
    most  upper bound; 0 is none
    """
    size = rng.random()
    bound = 10 if size < 0.4 else 100 if size < 0.75 else 1000 if size < 0.92 else 10_000
    if not most and rng.random() < 0.04:
        value = (1 + int(rng.random() * 99)) * 10 ** rng.choice((4, 5, 6, 8))
    else:
        value = 1 + int(rng.random() * (min(bound, most + 1 if most else bound) - 1))
    return spelled(rng, value), value


def spelled(rng: Random, value: int) -> str:
    """A number in a spelling that fits it.

    rng    chooses the spelling
    value  1 or more
    """
    if rng.random() < 0.07 and value < 10_000:
        return str(value).translate(_FULL)
    for _ in range(20):
        text = write_if_fits(value, rng.choice(_SPELLINGS), rng)
        if text is not None and not units.names_two_numbers(text):
            return text
    return str(value)


def decimal(rng: Random) -> tuple[str, Fraction]:
    """A decimal number with its value: 3.5, 三・五, 三点五, ３．５.

    rng  makes every choice
    """
    whole = int(rng.random() * rng.choice((3, 10, 40)))
    digits = (
        str(1 + int(rng.random() * 9)) if rng.random() < 0.7 else f"{int(rng.random() * 10)}{1 + int(rng.random() * 9)}"
    )
    value = Fraction(f"{whole}.{digits}")
    kind = rng.random()
    if kind < 0.35:
        return f"{whole}.{digits}", value
    if kind < 0.45:
        return f"{whole}.{digits}".translate(_FULL), value
    before = (write_if_fits(whole, "kanji", Random(1)) or "") if whole else "〇" if kind < 0.8 else "零"
    between = "点" if kind > 0.75 else "・"
    after = "".join(_KANJI[int(digit)] for digit in digits)
    return before + between + (after.replace("〇", "零") if rng.random() < 0.5 else after), value


def _ordinal(rng: Random) -> tuple[str, Fraction]:
    text, value = number(rng, 3000)
    kind = rng.random()
    if kind < 0.35:
        return f"第{text}{rng.choice(units.SERIES)}", Fraction(value)
    if kind < 0.7:
        return f"{text}{rng.choice(units.RANKS)}", Fraction(value)
    unit = rng.choice(tuple(unit for unit in units.COUNTED_UP if unit != "つ"))
    return f"{text}{unit}目", Fraction(value)


def _count(rng: Random) -> tuple[str, Fraction]:
    kind = rng.random()
    if kind < 0.06:
        return _named_year(rng)
    text, value = number(rng)
    if kind < 0.09:
        return f"{rng.choice(units.ABOVE_ZERO)}{text}{rng.choice(units.COUNTERS)}", Fraction(value)
    before = rng.choice(units.ABOUT) if rng.random() < 0.12 else ""
    after = rng.choice(units.BOUNDS) if rng.random() < 0.12 else ""
    return f"{before}{text}{rng.choice(units.COUNTERS)}{after}", Fraction(value)


def _named_year(rng: Random) -> tuple[str, Fraction]:
    """西暦二〇二一年, 七十年代, 十代, 早朝六時, 二十一世紀."""
    kind = rng.random()
    if kind < 0.35:
        year = 1 + int(rng.random() * 2999)
        return f"{rng.choice(units.ERAS)}{spelled(rng, year)}年{rng.choice(('', '', '度', '頃'))}", Fraction(year)
    if kind < 0.65:
        tens = 10 * (1 + int(rng.random() * 9))
        return f"{spelled(rng, tens)}{rng.choice(('代', '年代'))}", Fraction(tens)
    if kind < 0.8:
        hour = int(rng.random() * 12) + 1
        return f"{rng.choice(units.BEFORE_HOURS)}{spelled(rng, hour)}時", Fraction(hour)
    century = 10 + int(rng.random() * 15)
    return f"{spelled(rng, century)}世紀", Fraction(century)


def _tsu(rng: Random) -> tuple[str, Fraction]:
    text, value = number(rng, 9)
    return f"{text}つ{rng.choice(('', '', '目'))}", Fraction(value)


def _step(rng: Random) -> tuple[str, Fraction]:
    unit = rng.choice(units.STEPS)
    text, value = (
        decimal(rng) if unit in _DIVISIBLE and rng.random() < 0.1 else number(rng, 9 if unit == "つ" else 2000)
    )
    back = rng.random() < 0.5
    return f"{text}{unit}{rng.choice(units.BACK if back else units.FORWARD)}", Fraction(-value if back else value)


def _and_a_half(rng: Random) -> tuple[str, Fraction]:
    text, value = number(rng, 99)
    kind = rng.random()
    if kind < 0.15:
        back = rng.random() < 0.5
        half = f"{text}{rng.choice(units.HALF_STEPS)}半{rng.choice(units.BACK if back else units.FORWARD)}"
        return half, -(value + units.HALF) if back else value + units.HALF
    if kind < 0.22:
        hour = 1 + int(rng.random() * 11)
        return f"{rng.choice(units.BEFORE_HOURS)}{spelled(rng, hour)}時半", hour + units.HALF
    return f"{text}{rng.choice(units.AND_A_HALF)}半{rng.choice(units.BOUNDS) if kind > 0.9 else ''}", value + units.HALF


def _half(rng: Random) -> tuple[str, Fraction]:
    if rng.random() < 0.2:
        back = rng.random() < 0.5
        step = rng.choice(units.BACK if back else units.FORWARD)
        return f"半{rng.choice(units.HALF_BEFORE)}{step}", -units.HALF if back else units.HALF
    return f"半{rng.choice(units.HALF_OF)}", units.HALF


def _dozens(rng: Random) -> tuple[str, str]:
    """三ダース, as a working: 3*12."""
    word, size = rng.choice(tuple(units.DOZENS.items()))
    kind = rng.random()
    if kind < 0.1:
        return f"半{word}", f"{size}/2"
    text, value = number(rng, 40)
    return (f"{text}{word}半", f"{value}*{size}+{size}/2") if kind < 0.2 else (f"{text}{word}", f"{value}*{size}")


def _digit(rng: Random) -> tuple[str, int]:
    value = 1 + int(rng.random() * 9)
    kind = rng.random()
    return (_KANJI[value] if kind < 0.75 else str(value) if kind < 0.9 else str(value).translate(_FULL)), value


def _share(rng: Random) -> tuple[str, Fraction]:
    """割, 分 and 厘: tenths, hundredths, thousandths."""
    text, value = ("", Fraction(0))
    for word, size in (("割", 10), ("分", 100), ("厘", 1000)):
        if (
            word == "割"
            or (text.endswith("割") and rng.random() < 0.55)
            or (text.endswith("分") and rng.random() < 0.35)
        ):
            digit, count = _digit(rng)
            text, value = f"{text}{digit}{word}", value + Fraction(count, size)
    if rng.random() < 0.05:
        text, value = "十割", Fraction(1)
    after = rng.choice(units.SHARES) if rng.random() < 0.35 else ""
    return ("約" if rng.random() < 0.05 else "") + text + after, value


def _tenths(rng: Random) -> tuple[str, Fraction]:
    text, value = _digit(rng)
    return f"{text}{rng.choice(units.TENTHS)}", Fraction(value, 10)


def _percent(rng: Random) -> tuple[str, Fraction]:
    word = rng.choice(("%", "％", "パーセント", "パーセント引き", "%オフ", "％増"))
    if rng.random() < 0.3:
        text, part = decimal(rng)
        return text + word, part / 100
    text, value = number(rng, 100 if rng.random() < 0.9 else 400)
    return text + word, Fraction(value, 100)


def _fraction(rng: Random) -> tuple[str, Fraction] | tuple[str, str]:
    """三分の二, as a working: 2/3; behind a sign the value, for a working has none."""
    below = rng.choice(units.DENOMINATORS)
    above = 1 + int(rng.random() * min(below - 1, 12)) if rng.random() < 0.9 else 1 + int(rng.random() * 30)
    text, value, working = f"{spelled(rng, below)}分の{spelled(rng, above)}", Fraction(above, below), f"{above}/{below}"
    minus = rng.random() < 0.1
    if rng.random() < 0.15:
        whole, count = number(rng, 20)
        text, value, working = f"{whole}{rng.choice('ととと荷')}{text}", count + value, f"{count}+{working}"
    return (f"マイナス{text}", -value) if minus else (text, working)


def _decimal(rng: Random) -> tuple[str, Fraction]:
    text, value = decimal(rng)
    return text + rng.choice(("", "", "倍", "キロ", "メートル", "度", "点", "人", "秒", "グラム", "リットル")), value


def _negative(rng: Random) -> tuple[str, Fraction]:
    text, value = decimal(rng) if rng.random() < 0.3 else number(rng, 300)
    kind = rng.random()
    if kind < 0.3:
        return f"{rng.choice(units.FREEZING)}{text}度", -Fraction(value)
    if kind < 0.4:
        era, count = number(rng, 3000)
        return f"紀元前{era}年", Fraction(-count)
    after = rng.choice(("", "", "度", "円", "点", "人", "ポイント", "キロ", rng.choice(units.COUNTERS)))
    return f"{rng.choice(units.BELOW_ZERO)}{text}{after}", -Fraction(value)


def _century(rng: Random) -> tuple[str, Fraction]:
    """A span counts in years, a rank is a number: 二世紀間 200, 十九世紀末 19."""
    text, value = number(rng, 30)
    kind = rng.random()
    if kind < 0.5:
        return f"{text}世紀{rng.choice(('初頭', '末', '前半', '後半', '半ば', '以降'))}", Fraction(value)
    if kind < 0.65:
        return f"紀元前{text}世紀", Fraction(-value)
    word, years = rng.choice((("世紀間", 100), ("世紀半", 100), ("世紀前", -100), ("世紀後", 100), ("世紀ぶり", 100)))
    return f"{text}{word}", Fraction(value * years + (50 if word == "世紀半" else 0))


def _relative(rng: Random) -> tuple[str, Fraction]:
    word = rng.choice(tuple(units.RELATIVE))
    return word + rng.choice(units.RELATIVE_UNITS[word]), Fraction(units.RELATIVE[word])


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
