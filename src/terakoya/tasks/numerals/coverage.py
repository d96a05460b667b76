"""Finds what a hold-out removes systematically: a magnitude, pattern or shape of numbers that training hardly shows.

A prototype held out every multiple of 10^8 without noticing, and its accuracy inside that gap was 84.8%.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from random import Random

from terakoya.i18n import _
from terakoya.records import Finding
from terakoya.tasks.numerals.kinds import MAGNITUDES, any_number, pattern

_NUMBERS = 40_000
_FEWEST = 40  # different numbers in a class, below which a low share may be random


def coverage_gaps(is_trained_on: Callable[[int], bool], rng: Random, numbers: int = _NUMBERS) -> list[Finding]:
    """Draws numbers as if nothing were held out, and compares the training share of each class with that outside it.

    is_trained_on  whether training may show a number
    rng            draws the numbers
    numbers        how many are drawn
    Returns a finding for each class: "stop" where nothing of it is in training, "warn" where its share is less than
    half of the share outside it.
    """
    drawn = {any_number(rng, MAGNITUDES[at % len(MAGNITUDES)]) for at in range(numbers)}
    members: dict[str, int] = defaultdict(int)
    left: dict[str, int] = defaultdict(int)
    total_trained_on = 0
    for number in drawn:
        trained_on = is_trained_on(number)
        total_trained_on += trained_on
        for name in _classes(number):
            members[name] += 1
            left[name] += trained_on
    findings = []
    for name in sorted(name for name, count in members.items() if _FEWEST <= count < len(drawn)):
        share = left[name] / members[name]
        outside = (total_trained_on - left[name]) / (len(drawn) - members[name])
        if share < outside / 2:
            findings.append(_finding(name, share, outside, members[name]))
    return findings


def _classes(number: int) -> Iterator[str]:
    digits = str(number)
    significant = digits.rstrip("0")
    zeros = len(digits) - len(significant)
    magnitude, kind, first, last, length = len(digits) - 1, pattern(number), digits[0], digits[-1], len(significant)
    yield _("numbers of magnitude 10^{magnitude}", magnitude=magnitude)
    yield _("numbers with the pattern '{kind}'", kind=kind)
    yield _("numbers that start with {first}", first=first)
    yield _("numbers whose last digit is {last}", last=last)
    yield from (_("multiples of 10^{power}", power=power) for power in (1, 2, 3, 4, 6, 8, 10, 12) if zeros >= power)
    if len(significant) <= 3:
        yield _("round numbers of {length} digits other than final zeros", length=length)
    if len(set(digits)) == 1:
        yield _("numbers of one repeated digit")


def _finding(name: str, share: float, outside: float, members: int) -> Finding:
    return Finding(
        "systematic hole",
        "warn" if share else "stop",
        _(
            "{name}: {share:.0%} of them are in training (of {members} drawn), but {outside:.0%} of all others",
            name=name,
            share=share,
            members=members,
            outside=outside,
        ),
        do=_("Hold numbers out by hash alone (split.method hash), or hold out fewer."),
        values={"trained": share, "others": outside, "numbers": float(members)},
    )
