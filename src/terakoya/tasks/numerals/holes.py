"""Looks for what a hold-out takes away by system: a magnitude, a pattern or a shape of numbers hardly ever taught.

A prototype held out every multiple of 10^8 without noticing, and was right in 84.8% inside that hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from random import Random

from terakoya.i18n import both, japanese
from terakoya.records import Finding
from terakoya.tasks.numerals.kinds import MAGNITUDES, any_number, pattern

_NUMBERS = 40_000
_FEWEST = 40  # different numbers in a class below which a low share may be chance


def holes(is_taught: Callable[[int], bool], random: Random, numbers: int = _NUMBERS) -> list[Finding]:
    """Draw numbers as if nothing were held out, and compare what is left of each class with what is left outside it.

    A class with nothing left is a stop, a class with less than half of the share outside it a warning.
    """
    drawn = {any_number(random, MAGNITUDES[at % len(MAGNITUDES)]) for at in range(numbers)}
    members: dict[str, int] = defaultdict(int)
    left: dict[str, int] = defaultdict(int)
    taught_in_all = 0
    for number in drawn:
        taught = is_taught(number)
        taught_in_all += taught
        for name in _classes(number):
            members[name] += 1
            left[name] += taught
    findings = []
    for name in sorted(name for name, count in members.items() if _FEWEST <= count < len(drawn)):
        share = left[name] / members[name]
        outside = (taught_in_all - left[name]) / (len(drawn) - members[name])
        if share < outside / 2:
            findings.append(_finding(name, share, outside, members[name]))
    return findings


def _classes(number: int) -> Iterator[str]:
    digits = str(number)
    significant = digits.rstrip("0")
    zeros = len(digits) - len(significant)
    yield both(f"numbers of magnitude 10^{len(digits) - 1}", f"10^{len(digits) - 1} の位の数")
    yield both(f"numbers with the pattern '{pattern(number)}'", f"「{pattern(number)}」の形の数")
    yield both(f"numbers that begin with {digits[0]}", f"{digits[0]} で始まる数")
    yield both(f"numbers whose last digit is {digits[-1]}", f"最後の桁が {digits[-1]} の数")
    yield from (
        both(f"multiples of 10^{power}", f"10^{power} の倍数") for power in (1, 2, 3, 4, 6, 8, 10, 12) if zeros >= power
    )
    if len(significant) <= 3:
        yield both(
            f"round numbers of {len(significant)} digits other than final zeros",
            f"末尾のゼロを除いて{len(significant)}桁の丸い数",
        )
    if len(set(digits)) == 1:
        yield both("numbers of one repeated digit", "同じ数字だけの数")


def _finding(name: str, share: float, outside: float, members: int) -> Finding:
    return Finding(
        "systematic hole",
        "warn" if share else "stop",
        both(
            f"{name}: {share:.0%} of them are taught (of {members} drawn), but {outside:.0%} of all others",
            f"{japanese(name)}：学習されるのは{share:.0%}（生成した{members}個のうち）だが、"
            f"それ以外では{outside:.0%}である",
        ),
        do=both(
            "Hold numbers out by hash alone (split.method hash), or hold out fewer.",
            "取り置きはハッシュだけで行うか（split.method hash）、取り置く数を減らすこと。",
        ),
        values={"taught": share, "others": outside, "numbers": float(members)},
    )
