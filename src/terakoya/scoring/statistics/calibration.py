"""Whether "80% sure" is right four times in five, and what is gained by keeping silent when unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.scoring.statistics.intervals import wilson


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of the reliability table: n answers, their mean confidence, and how many were right (95% Wilson)."""

    n: int
    confidence: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """error  expected calibration error: mean distance between confidence and share right, weighed by bin size
    brier     mean squared distance between confidence and outcome (Brier 1950)
    table     equal-mass bins, from least to most confident
    n         answers with a known probability; only they are counted
    """

    n: int
    error: float
    brier: float
    table: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Answers at least `threshold` confident: their share of all (`coverage`) and how many are right (95% Wilson)."""

    threshold: float
    coverage: float
    precision: float
    low: float
    high: float
    n: int


Pair = tuple[float, bool]


def _known(probabilities: Sequence[float | None], right: Sequence[bool]) -> list[Pair]:
    """Answers with a probability, from least to most confident."""
    pairs = [(p, bool(r)) for p, r in zip(probabilities, right, strict=True) if p is not None]
    if bad := [p for p, _ in pairs if not 0 <= p <= 1]:
        raise DataError(
            both(f"{bad[0]} is no probability", f"{bad[0]} は確率ではない"),
            do=both("Probabilities lie between 0 and 1.", "確率は 0 以上 1 以下である。"),
        )
    return sorted(pairs)


def _bin(pairs: Sequence[Pair]) -> Bin:
    n = len(pairs)
    hits = sum(r for _, r in pairs)
    low, high = wilson(hits, n)
    return Bin(n, sum(p for p, _ in pairs) / n, hits / n, low, high)


def calibration(probabilities: Sequence[float | None], right: Sequence[bool], bins: int = 10) -> Calibration | None:
    """How far confidences can be trusted; None when no answer carries a probability.

    Bins hold equally many answers (Nguyen and O'Connor 2015): bins of equal width are nearly all empty for a model
    that is sure of most things. Fewer bins are made when each would hold fewer than five answers.
    """
    pairs = _known(probabilities, right)
    if not pairs:
        return None
    n = len(pairs)
    table = tuple(_bin(pairs[start:end]) for start, end in pairwise(_cuts(pairs, max(1, min(bins, n // 5)))))
    error = sum(b.n * abs(b.confidence - b.right) for b in table) / n
    brier = sum((p - r) ** 2 for p, r in pairs) / n
    return Calibration(n, error, brier, table)


def _cuts(pairs: Sequence[Pair], bins: int) -> list[int]:
    """Where bins begin and end. Equal confidences stay in one bin: cut apart, they would be sorted by outcome."""
    n, cuts = len(pairs), [0]
    for i in range(1, bins + 1):
        cut = max(n * i // bins, cuts[-1])
        while 0 < cut < n and pairs[cut - 1][0] == pairs[cut][0]:
            cut += 1
        if cut > cuts[-1]:
            cuts.append(cut)
    return cuts


def coverage_curve(
    probabilities: Sequence[float | None],
    right: Sequence[bool],
    thresholds: Sequence[float] = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99),
) -> tuple[Coverage, ...]:
    """What `--abstain-below P` would give: for each P, the share of answers given and the share of those right.

    An answer without a probability is given only at threshold 0. With none given, precision is 1 by convention and
    its interval is [0, 1].
    """
    pairs = [(-1.0 if p is None else p, r) for p, r in zip(probabilities, right, strict=True)]
    _known(probabilities, right)
    return tuple(_coverage(pairs, threshold) for threshold in thresholds)


def _coverage(pairs: Sequence[Pair], threshold: float) -> Coverage:
    given = [r for p, r in pairs if p >= threshold or threshold <= 0]
    n, hits = len(given), sum(given)
    low, high = wilson(hits, n) if n else (0.0, 1.0)
    return Coverage(threshold, n / len(pairs) if pairs else 0.0, hits / n if n else 1.0, low, high, n)
