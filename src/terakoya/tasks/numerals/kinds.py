"""Numbers of every size and pattern: what to draw, and what to call what was drawn.

Models fail where numbers are regular (long runs of zeros, skipped places, one digit repeated), and uniformly
drawn numbers are hardly ever regular. So magnitudes are drawn evenly, and six numbers in ten get a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from random import Random

from terakoya.records import Example
from terakoya.tasks.numerals.spelling import BARE

MAGNITUDES = range(3, 16)  # powers of ten from thousands on; everything below is always taught
_TEN: tuple[int, ...] = tuple(10**power for power in range(17))
_ONES: tuple[int, ...] = tuple((10**length - 1) // 9 for length in range(17))  # 0, 1, 11, 111 …
_REPEATED = re.compile(r"([1-9])\1\1")
Chance = Callable[[], float]  # `Random.random`, bound: looked up once, for this runs 100,000 times a second


def always_known(number: int) -> bool:
    """Numbers that are taught in every form and examined as recall: below 1,000, and what a bare unit stands for."""
    return number < 1000 or number in BARE


def any_number(random: Random, magnitude: int) -> int:
    """A number with 10^magnitude ≤ number < 10^(magnitude + 1), magnitude ≥ 1, plain or with a pattern."""
    chance = random.random
    low = _TEN[magnitude]
    number = low + int(chance() * 9 * low)
    kind = chance()
    if kind < 0.4:
        return number
    if kind < 0.55:  # round: one to three digits, then zeros
        step = _TEN[max(0, magnitude - int(chance() * 3))]
        return number // step * step
    if kind < 0.75:  # one or two runs of zeros
        number = _with_run(chance, number, magnitude, 0)
        return _with_run(chance, number, magnitude, 0) if chance() < 0.5 else number
    if kind < 0.9:
        return _sparse(chance, magnitude)
    if kind < 0.97:  # a digit again and again
        return _with_run(chance, number, magnitude, 1 + int(chance() * 9))
    return (1 + int(chance() * 9)) * _ONES[magnitude + 1]


def number_for(form: str, random: Random, magnitude: int) -> int:
    """A number of that magnitude which that form can usually write."""
    number = any_number(random, magnitude)
    chance = random.random
    if form == "decimal":
        power = min(12, (magnitude + 1) // 4 * 4 if chance() < 0.2 else max(4, magnitude // 4 * 4))
        step = _TEN[max(power - 1 - int(chance() * 4), 0)]
        return number // step * step or step
    if form == "twenty":
        place = 4 * int(chance() * ((magnitude + 3) // 4)) + 1
        return number + (2 + int(chance() * 3) - number // _TEN[place] % 10) * _TEN[place]
    if form == "marked":
        return _with_run(chance, number // 10 * 10 + 1 + int(chance() * 9), magnitude, 0)
    if form == "units" and magnitude == 3:
        return number // 100 * 100
    return number


def _with_run(chance: Chance, number: int, magnitude: int, digit: int) -> int:
    """Below the first place, a stretch of places gets that digit."""
    start = int(chance() * magnitude)
    length = 1 + int(chance() * (magnitude - start))
    shift = _TEN[start]
    return number + (digit * _ONES[length] - number // shift % _TEN[length]) * shift


def _sparse(chance: Chance, magnitude: int) -> int:
    """Two or three digits and otherwise zeros."""
    number = _digit(chance) * _TEN[magnitude] + _digit(chance) * _TEN[int(chance() * magnitude)]
    if chance() < 0.5:
        place = _TEN[int(chance() * magnitude)]
        if not number // place % 10:
            number += _digit(chance) * place
    return number


def _digit(chance: Chance) -> int:
    return 1 + int(chance() * 9)


def pattern(number: int) -> str:
    """What makes a number hard: "repeat" (777), "zeros" (four or more in a row), "skip" (一〇二四), else "plain"."""
    digits = str(number)
    if _REPEATED.search(digits):
        return "repeat"
    if "0000" in digits:
        return "zeros"
    return "skip" if "0" in digits.rstrip("0") else "plain"


def group(number: int) -> str:
    """All written forms of a number stay on one side of a split."""
    return f"n:{number}"


def example(number: int, form: str, source: str, *, part: str = "", origin: str = "rule", row: int = 0) -> Example:
    """The example of one written number, tagged with its form, its magnitude (k of 10^k) and its pattern."""
    target = str(number)
    tags = _tags(form, len(target) - 1, pattern(number))
    return Example(source, target, f"n:{target}", origin, row, (), part, tags)


@lru_cache(maxsize=4096)
def _tags(form: str, magnitude: int, kind: str) -> tuple[tuple[str, str], ...]:
    return (("form", form), ("magnitude", str(magnitude)), ("pattern", kind))
