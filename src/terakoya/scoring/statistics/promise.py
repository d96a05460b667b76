"""A promised rate: the predictions above a threshold are right in at least the promised share of cases.

A threshold is tested by the exact binomial bound (Clopper and Pearson 1934) on held-out items, several thresholds at
once with Bonferroni's correction: learn then test (Angelopoulos, Bates, Candès, Jordan and Lei 2021), for selective
prediction first by Geifman and El-Yaniv (2017). A threshold is the score of the item that comes after the m highest
ones. Given that score, the m items above it are independent draws from all predictions above it, so that the binomial
test is exact although the threshold depends on the sample; which m are tried depends on the number of items alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ERROR = 0.05  # probability that a promise does not hold
_RATIO = 0.8  # between the numbers of covered items that are tried
SHARES = (0.99, 0.98, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)  # named where a higher one cannot be promised


@dataclass(frozen=True, slots=True)
class Promise:
    """What can be promised with held-out items.

    share      that is to be right among the predictions
    threshold  predictions have a score above it; None: the share cannot be promised
    covered   held-out items above the threshold
    right      of them
    n          held-out items
    choices    models among which the held-out items chose this one; the bound is corrected for them
    """

    share: float
    threshold: float | None
    covered: int
    right: int
    n: int
    choices: int = 1

    @property
    def kept(self) -> bool:
        """Whether the share can be promised."""
        return self.threshold is not None


def promise_threshold(scores: Sequence[float], right: Sequence[bool], share: float, *, choices: int = 1) -> Promise:
    """The lowest threshold above which at least a promised share is right, with probability 0.95 over the items.

    scores   of independent held-out items, the higher the surer; -inf is never covered
    right    whether each prediction is right
    share    promised, between 0 and 1
    choices  models among which these same items chose (1): Bonferroni's correction
    """
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    ranked = [scores[at] for at in order]
    sizes = _sizes(len(ranked), share, choices)
    for size in sizes:  # the largest first: as many predictions as can be
        threshold = ranked[size] if size < len(ranked) else -math.inf
        covered = sum(score > threshold for score in ranked)
        hits = sum(bool(right[at]) for at in order[:covered])
        if covered and _p_value(covered - hits, covered, share) <= ERROR / (len(sizes) * choices):
            return Promise(share, threshold, covered, hits, len(ranked), choices)
    return Promise(share, None, 0, 0, len(ranked), choices)


def items_for_promise(share: float, *, choices: int = 1) -> int:
    """Held-out predictions that are enough for a promise where all of them are right.

    share    promised
    choices  models among which the items chose
    """
    return math.ceil(math.log(ERROR / choices) / math.log(share) - 1e-9)


def highest_promise(scores: Sequence[float], right: Sequence[bool], *, choices: int = 1) -> float:
    """The highest share of SHARES that can be promised; 0 where none can.

    scores   as of `promise_threshold`
    right    whether each prediction is right
    choices  models among which the items chose
    """
    return next((s for s in SHARES if promise_threshold(scores, right, s, choices=choices).kept), 0.0)


def _sizes(n: int, share: float, choices: int) -> list[int]:
    """Numbers of covered items that are tried, the largest first: none that could never be enough."""
    least, sizes, size = items_for_promise(share, choices=choices), list[int](), n
    while size >= least:
        sizes.append(size)
        size = int(size * _RATIO)
    return sizes


def _p_value(wrong: int, n: int, share: float) -> float:
    """Probability of so few wrong predictions, or fewer, where only the promised share is right."""
    from scipy.special import bdtr

    return float(bdtr(wrong, n, 1 - share))
