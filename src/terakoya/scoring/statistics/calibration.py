"""Calibration: whether predictions with a probability of 0.8 are right four times in five."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.scoring.statistics.intervals import wilson


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of the reliability diagram.

    n           predictions in it
    confidence  their mean probability
    right       share of them that are right, with its 95% Wilson interval `low` to `high`
    """

    n: int
    confidence: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be trusted.

    n      predictions with a known probability; only they are counted
    error  expected calibration error: mean distance between confidence and share right, weighted by bin size
    brier  mean squared distance between probability and correctness (Brier 1950)
    table  equal-mass bins, from least to most confident
    """

    n: int
    error: float
    brier: float
    table: tuple[Bin, ...]


_Pair = tuple[float, bool]


def _known(probabilities: Sequence[float | None], right: Sequence[bool]) -> list[_Pair]:
    """(probability, right) of predictions with a probability, from least to most confident."""
    pairs = [(p, bool(r)) for p, r in zip(probabilities, right, strict=True) if p is not None]
    if bad := next((p for p, _ in pairs if not 0 <= p <= 1), None):
        raise DataError(
            _("{bad} is no probability", bad=bad),
            do=_("Probabilities lie between 0 and 1."),
        )
    return sorted(pairs)


def _bin(pairs: Sequence[_Pair]) -> Bin:
    n = len(pairs)
    hits = sum(r for _, r in pairs)
    low, high = wilson(hits, n)
    return Bin(n, sum(p for p, _ in pairs) / n, hits / n, low, high)


def calibration(probabilities: Sequence[float | None], right: Sequence[bool], bins: int = 10) -> Calibration | None:
    """Reliability of predicted probabilities; None when no prediction has one.

    probabilities  of every prediction, None where unknown
    right          whether each prediction is right
    bins           at most so many (10); fewer when each would hold fewer than five predictions
    Bins have equal mass (Nguyen and O'Connor 2015): bins of equal width are nearly all empty for a model that is sure
    of most things. Raises DataError for a probability outside [0, 1].
    """
    pairs = _known(probabilities, right)
    if not pairs:
        return None
    n = len(pairs)
    table = tuple(_bin(pairs[start:end]) for start, end in pairwise(_cuts(pairs, max(1, min(bins, n // 5)))))
    error = sum(b.n * abs(b.confidence - b.right) for b in table) / n
    brier = sum((p - r) ** 2 for p, r in pairs) / n
    return Calibration(n, error, brier, table)


def spiegelhalter_p(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Two-sided p of the test that predictions are right as often as their probabilities say (Spiegelhalter 1986).

    probabilities  of predictions
    right          whether each prediction is right
    Returns 1 where no probability could be refuted: all are 0, 1 or one half.
    """
    from scipy.special import ndtr

    pairs = list(zip(probabilities, right, strict=True))
    variance = sum((1 - 2 * p) ** 2 * p * (1 - p) for p, _ in pairs)
    off = sum((bool(r) - p) * (1 - 2 * p) for p, r in pairs)
    return 2 * float(ndtr(-abs(off) / math.sqrt(variance))) if variance > 1e-12 else 1.0


def _cuts(pairs: Sequence[_Pair], bins: int) -> list[int]:
    """Where bins start and end. Equal probabilities stay in one bin: cut apart, they would be sorted by correctness."""
    n, cuts = len(pairs), [0]
    for i in range(1, bins + 1):
        cut = max(n * i // bins, cuts[-1])
        while 0 < cut < n and pairs[cut - 1][0] == pairs[cut][0]:
            cut += 1
        if cut > cuts[-1]:
            cuts.append(cut)
    return cuts
