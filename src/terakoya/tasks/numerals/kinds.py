"""Numbers of every size and pattern: what to draw, and what to call what was drawn.

Models fail where numbers are regular (long runs of zeros, skipped digits, one digit repeated), and uniformly drawn
numbers are hardly ever regular. So magnitudes are drawn evenly, and six numbers in ten get a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from random import Random

from terakoya.records import Example
from terakoya.tasks.numerals.spelling import BARE

MAGNITUDES = range(3, 16)  # powers of ten from thousands on; smaller numbers are memorised
_TEN: tuple[int, ...] = tuple(10**power for power in range(17))
_ONES: tuple[int, ...] = tuple((10**length - 1) // 9 for length in range(17))  # 0, 1, 11, 111 …
_REPEATED = re.compile(r"([1-9])\1\1")
Uniform = Callable[[], float]  # `Random.random`, bound: looked up once, for this runs 100,000 times a second


def is_memorised_number(number: int) -> bool:
    """Whether training shows this number in every form, so that the exam has it in the memorised subset only.

    number  below 1,000, or the value of a bare unit: memorised
    """
    return number < 1000 or number in BARE


def any_number(rng: Random, magnitude: int) -> int:
    """A number with 10^magnitude ≤ number < 10^(magnitude + 1), plain or with a pattern.

    rng        makes every choice
    magnitude  1 or more
    """
    uniform = rng.random
    low = _TEN[magnitude]
    number = low + int(uniform() * 9 * low)
    kind = uniform()
    if kind < 0.4:
        return number
    if kind < 0.55:  # round: one to three digits, then zeros
        step = _TEN[max(0, magnitude - int(uniform() * 3))]
        return number // step * step
    if kind < 0.75:  # one or two runs of zeros
        number = _with_run(uniform, number, magnitude, 0)
        return _with_run(uniform, number, magnitude, 0) if uniform() < 0.5 else number
    if kind < 0.9:
        return _sparse(uniform, magnitude)
    if kind < 0.97:  # a digit again and again
        return _with_run(uniform, number, magnitude, 1 + int(uniform() * 9))
    return (1 + int(uniform() * 9)) * _ONES[magnitude + 1]


def number_for(form: str, rng: Random, magnitude: int) -> int:
    """A number of that magnitude which that form can usually write.

    form       a name in writer.FORMS
    rng        makes every choice
    magnitude  power of ten, 1 or more
    """
    number = any_number(rng, magnitude)
    uniform = rng.random
    if form == "decimal":
        power = min(12, (magnitude + 1) // 4 * 4 if uniform() < 0.2 else max(4, magnitude // 4 * 4))
        step = _TEN[max(power - 1 - int(uniform() * 4), 0)]
        return number // step * step or step
    if form == "twenty":
        position = 4 * int(uniform() * ((magnitude + 3) // 4)) + 1
        return number + (2 + int(uniform() * 3) - number // _TEN[position] % 10) * _TEN[position]
    if form == "marked":
        return _with_run(uniform, number // 10 * 10 + 1 + int(uniform() * 9), magnitude, 0)
    if form == "units" and magnitude == 3:
        return number // 100 * 100
    return number


def _with_run(uniform: Uniform, number: int, magnitude: int, digit: int) -> int:
    """Below the first digit, a run of positions gets that digit."""
    start = int(uniform() * magnitude)
    length = 1 + int(uniform() * (magnitude - start))
    shift = _TEN[start]
    return number + (digit * _ONES[length] - number // shift % _TEN[length]) * shift


def _sparse(uniform: Uniform, magnitude: int) -> int:
    """Two or three digits and otherwise zeros."""
    number = _digit(uniform) * _TEN[magnitude] + _digit(uniform) * _TEN[int(uniform() * magnitude)]
    if uniform() < 0.5:
        position = _TEN[int(uniform() * magnitude)]
        if not number // position % 10:
            number += _digit(uniform) * position
    return number


def _digit(uniform: Uniform) -> int:
    return 1 + int(uniform() * 9)


def pattern(number: int) -> str:
    """What makes a number hard: "repeat" (777), "zeros" (four or more in a row), "skip" (一〇二四), else "plain".

    number  0 or more
    """
    digits = str(number)
    if _REPEATED.search(digits):
        return "repeat"
    if "0000" in digits:
        return "zeros"
    return "skip" if "0" in digits.rstrip("0") else "plain"


def group(number: int) -> str:
    """The group of a number: all its written forms fall into one split.

    number  0 or more
    """
    return f"n:{number}"


def example(number: int, form: str, source: str, *, subset: str = "", origin: str = "rule", row: int = 0) -> Example:
    """The example of one written number, tagged with its form, its magnitude (k of 10^k) and its pattern.

    number  the target
    form    the written form, a name in writer.FORMS
    source  the written number
    subset  of the exam; "" is the main one
    origin  "rule", or the file that it comes from
    row     line in that file, 0 where there is none
    """
    target = str(number)
    tags = _tags(form, len(target) - 1, pattern(number))
    return Example(source, target, f"n:{target}", origin, row, (), subset, tags)


@lru_cache(maxsize=4096)
def _tags(form: str, magnitude: int, kind: str) -> tuple[tuple[str, str], ...]:
    return (("form", form), ("magnitude", str(magnitude)), ("pattern", kind))
