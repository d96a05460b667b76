"""Looks for what a hold-out takes away by system: a magnitude, a pattern or a shape of numbers hardly ever taught.

A prototype held out every multiple of 10^8 without noticing, and was right in 84.8% inside that hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from random import Random

from terakoya.records import Finding
from terakoya.tasks.numerals.kinds import MAGNITUDES, any_number, pattern

_NUMBERS = 40_000
_FEWEST = 40  # different numbers in a class below which a low share may be chance


def holes(is_taught: Callable[[int], bool], random: Random, numbers: int = _NUMBERS) -> list[Finding]:
    """Draw numbers as if nothing were held out, and compare what is left of each class with what is left of all.

    A class with nothing left is a stop, a class with less than half of the common share a warning.
    """
    drawn = {any_number(random, MAGNITUDES[at % len(MAGNITUDES)]) for at in range(numbers)}
    members: dict[str, int] = defaultdict(int)
    left: dict[str, int] = defaultdict(int)
    for number in drawn:
        taught = is_taught(number)
        for name in _classes(number):
            members[name] += 1
            left[name] += taught
    common = left["all"] / members["all"]
    return [
        _finding(name, left[name], members[name], common)
        for name in sorted(members)
        if members[name] >= _FEWEST and left[name] < common * members[name] / 2
    ]


def _classes(number: int) -> Iterator[str]:
    digits = str(number)
    significant = digits.rstrip("0")
    zeros = len(digits) - len(significant)
    yield "all"
    yield f"numbers of magnitude 10^{len(digits) - 1}"
    yield f"numbers with the pattern '{pattern(number)}'"
    yield f"numbers that begin with {digits[0]}"
    yield f"numbers whose last digit is {digits[-1]}"
    yield from (f"multiples of 10^{power}" for power in (1, 2, 3, 4, 6, 8, 10, 12) if zeros >= power)
    if len(significant) <= 3:
        yield f"round numbers of {len(significant)} digits other than final zeros"
    if len(set(digits)) == 1:
        yield "numbers of one repeated digit"


def _finding(name: str, left: int, members: int, common: float) -> Finding:
    share = left / members
    return Finding(
        "systematic hole",
        "stop" if not left else "warn",
        f"{name}: {share:.0%} of them are taught ({left} of {members} drawn), but {common:.0%} of all numbers are",
        do="Hold numbers out by hash alone (split.method hash), or hold out fewer.",
        figures={"taught": share, "common": common, "numbers": float(members)},
    )
