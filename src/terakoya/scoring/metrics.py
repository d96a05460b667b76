"""Metrics: one item at a time in [0, 1], so that runs can be compared item by item.

A metric sees canonical targets (the codec's canonical form) and the prediction; an unreadable answer scores 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """`judge(text, targets)`: the answer (canonical, None when unreadable) against all acceptable targets, best counts.

    `graded` metrics take values between 0 and 1; the others are 0 or 1, which decides the interval and the test.
    `version` goes into every signature: change it whenever the same answers would score differently.
    """

    name: str
    judge: Callable[[str | None, Sequence[str]], float]
    graded: bool = False
    version: int = 1

    @property
    def signature(self) -> str:
        return f"{self.name}/{self.version}"


def _exact(text: str | None, targets: Sequence[str]) -> float:
    return float(text is not None and text in targets)


exact = Metric("exact", _exact)
