"""Exact tests of whether errors gather somewhere, corrected for everything that was tried.

Fisher's exact test (1922) of "wrong here" against "wrong elsewhere"; a property in too few items could never reach
significance, and is left out of the number of tests (Tarone 1990); the rest are corrected by Bonferroni.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log, log1p

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items are wrong with a property and without it.

    wrong, n                      with the property
    wrong_elsewhere, n_elsewhere  without it
    """

    wrong: int
    n: int
    wrong_elsewhere: int
    n_elsewhere: int


def fisher_greater(counts: Counts) -> float:
    """One-sided p: so many wrong items or more with the property, were errors spread without regard to it.

    counts  with and without the property
    """
    total, wrong = counts.n + counts.n_elsewhere, counts.wrong + counts.wrong_elsewhere
    return _hypergeometric_tail(counts.wrong, total, wrong, counts.n)


def least_p(counts: Counts) -> float:
    """The smallest p that these sums could give at all.

    counts  with and without the property
    """
    total, wrong = counts.n + counts.n_elsewhere, counts.wrong + counts.wrong_elsewhere
    return _hypergeometric_tail(min(counts.n, wrong), total, wrong, counts.n)


def correction_factor(least: Sequence[float], alpha: float = ALPHA) -> int:
    """How many tests a family must be corrected for (Tarone 1990): those that could be significant at all.

    least  the smallest p that each test could give
    alpha  error rate of the family
    """
    ordered = sorted(least)
    for count in range(1, len(ordered) + 1):
        if sum(p <= alpha / count for p in ordered) <= count:
            return count
    return max(1, len(ordered))


def binomial_tail(hits: int, n: int, share: float) -> float:
    """Probability of so many hits or more among n, each with the same probability (exact binomial test).

    hits   that were seen
    n      trials
    share  probability of a hit
    """
    if hits <= 0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    terms = (_log_choose(n, k) + k * log(share) + (n - k) * log1p(-share) for k in range(hits, n + 1))
    return min(1.0, sum(exp(term) for term in terms))


@lru_cache(maxsize=200_000)
def _hypergeometric_tail(hits: int, total: int, wrong: int, drawn: int) -> float:
    whole = _log_choose(total, drawn)
    terms = (
        exp(_log_choose(wrong, k) + _log_choose(total - wrong, drawn - k) - whole)
        for k in range(max(hits, drawn - (total - wrong)), min(wrong, drawn) + 1)
    )
    return min(1.0, sum(terms))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
