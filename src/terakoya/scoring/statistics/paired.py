"""Paired tests of two systems on the same items: which is better, by how much, and is it more than noise?

The p-value decides and the interval is made to agree with it: it contains 0 whenever p > .05. Binary scores are tested
by the exact McNemar test, graded ones by sign-flip permutation: all flips where that is possible, else random ones with
the +1 that keeps the p-value valid (Phipson and Smyth 2010). Items that belong together are flipped and resampled as a
group (`clusters`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.scoring.statistics.clusters import count_groups, effective_pairs, group_index, group_sums, group_values
from terakoya.scoring.statistics.intervals import ALPHA, MAX_CELLS, Z, mean_interval, score_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

EXACT_UP_TO = 14  # items that differ: 2^14 flips are all tried
DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Effect:
    """The mean difference over n items, first system minus second, with its 95% interval and p-value.

    test                "mcnemar", "permutation", or "two-level" (items and seeds)
    wins, losses        items on which the first system scored higher, lower
    standard_deviation  of the differences between items; between groups, each group's sum times groups / items
    standard_error, degrees_of_freedom  that power is computed with
    seed_error          part of the standard error that comes from the seeds (0 with one seed a system)
    groups              number of groups that the items lie in; 0 where every item is independent of the others
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    test: str
    wins: int
    losses: int
    standard_deviation: float
    standard_error: float
    degrees_of_freedom: float
    seed_error: float = 0.0
    groups: int = 0

    @property
    def units(self) -> int:
        """What the test counts: groups, or items where every item is independent."""
        return self.groups or self.n

    @property
    def binary(self) -> bool:
        """Whether all scores are 0 or 1."""
        return self.test == "mcnemar"


def mcnemar(wins: int, losses: int, *, mid_p: bool = False) -> float:
    """Two-sided exact p of paired binary scores (McNemar 1947, by the binomial): only discordant items count.

    wins    items that only the first system has right
    losses  items that only the second system has right
    mid_p   True: what was seen counts half (Lancaster 1961), so that few items do not make the test too cautious
    """
    from scipy.special import bdtr

    both = wins + losses
    if not both:
        return 1.0
    seen = math.comb(both, wins) * 0.5**both if both < 1000 else 0.0
    return min(1.0, 2 * float(bdtr(min(wins, losses), both, 0.5)) - (seen if mid_p and wins != losses else 0.0))


def permutation_p(differences: Floats, *, seed: int = 0, draws: int = DRAWS) -> Floats:
    """Two-sided p of the sign-flip permutation test: the share of flips whose sum is at least as far from 0.

    differences  (items,) or (rows, items); each row is tested by itself
    seed         of random flips
    draws        how many random flips (10,000); all flips are tried up to EXACT_UP_TO items (zeros left out)
    Returns (rows,).
    """
    import numpy as np

    rows = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    rows = rows[:, np.any(rows != 0, axis=0)]
    items = rows.shape[1]
    # The slack keeps flips that tie with what was seen as ties when sums are taken in another order.
    seen = np.abs(rows.sum(axis=1)) - 1e-9 * (1 + np.abs(rows).sum(axis=1))
    hits = np.zeros(rows.shape[0])
    if items <= EXACT_UP_TO:
        # The first sign may stay: flipping all of them gives the same distance.
        flips = (np.arange(2 ** max(0, items - 1))[:, None] >> np.arange(items)) & 1
        sums = np.abs((1.0 - 2.0 * flips) @ rows.T)
        return np.asarray((sums >= seen).mean(axis=0), dtype=np.float64)
    rng = np.random.default_rng(seed)
    step = max(1, MAX_CELLS // max(items, rows.shape[0]))
    for start in range(0, draws, step):
        flips = rng.integers(0, 2, (min(step, draws - start), items), dtype=np.int8)
        hits += (np.abs((1.0 - 2.0 * flips) @ rows.T) >= seen).sum(axis=0)
    return np.asarray((hits + 1) / (draws + 1), dtype=np.float64)


def grouped_permutation_p(sums: Floats, *, seed: int = 0, draws: int = DRAWS) -> float:
    """Two-sided p of the sign-flip permutation test over whole groups.

    sums   (groups,), the sum of each group's differences
    seed   of random flips
    draws  how many random flips (10,000); all are tried up to EXACT_UP_TO groups (zeros left out)
    Groups with the same distance from 0 are flipped together by binomial counts, which is exact and far faster.
    """
    import numpy as np

    sizes, counts = np.unique(np.round(np.abs(sums[np.abs(sums) > 1e-12]), 9), return_counts=True)
    if int(counts.sum()) <= EXACT_UP_TO or sizes.size > counts.sum() // 4:
        return float(permutation_p(sums, seed=seed, draws=draws)[0])
    rng = np.random.default_rng(seed)
    drawn = (2 * rng.binomial(counts, 0.5, (draws, sizes.size)) - counts) @ sizes
    seen = abs(float(sums.sum()))
    return (int((np.abs(drawn) >= seen - 1e-6 * (1 + seen)).sum()) + 1) / (draws + 1)


def tango(wins: float, losses: float, n: float) -> tuple[float, float]:
    """95% score interval of the difference of two paired shares (Tango 1998), valid down to n = 1 and no difference.

    wins    items that only the first system has right
    losses  items that only the second system has right
    n       items in all; for items in groups all three are effective numbers, which need not be whole
    Returns (low, high).
    """
    from scipy.optimize import brentq

    def z(delta: float) -> float:
        b = -wins - losses + (2 * n - wins + losses) * delta
        c = -losses * delta * (1 - delta)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        far = wins - losses - n * delta
        return far / math.sqrt(variance) if variance > 1e-15 else math.copysign(math.inf, far) if far else 0.0

    def bound(target: float, end: float) -> float:
        value = (wins - losses) / n
        clipped = max(-10.0, min(10.0, z(end))) - target
        if end == value or clipped * (-target) >= 0:
            return end
        return float(brentq(lambda d: max(-10.0, min(10.0, z(d))) - target, value, end))

    edge = 1 - 1e-12
    return bound(Z, -edge), bound(-Z, edge)


def paired(
    first: Sequence[float] | Floats,
    second: Sequence[float] | Floats,
    *,
    seed: int = 0,
    resamples: int = 2000,
    draws: int = DRAWS,
    groups: Sequence[str] | None = None,
    mid_p: bool = False,
) -> Effect:
    """The effect of one system against another, each with one score an item.

    first      (items,), scores of the first system
    second     (items,), of the second, in the same order
    seed       of bootstrap and permutation
    resamples  of the interval's bootstrap (2,000)
    draws      of the permutation test (10,000)
    groups     the group of each item, flipped and resampled as a whole; None: every item is independent of the others
    mid_p      True: McNemar's test with the mid-p; of graded and grouped items nothing changes
    Raises DataError when the numbers of items differ.
    """
    import numpy as np

    a, b = score_array(first), score_array(second)
    if a.size != b.size:
        one, other = a.size, b.size
        raise DataError(
            _("{one} and {other} items cannot be paired", one=one, other=other),
            do=_("Compare scores of the same items."),
        )
    d = a - b
    n, wins, losses = d.size, int((d > 1e-12).sum()), int((d < -1e-12).sum())
    index = group_index(groups, n)
    if index is not None:
        return _paired_groups(d, index, groups, seed=seed, resamples=resamples, draws=draws)
    if np.isin(d, (-1.0, 0.0, 1.0)).all():
        p, test = mcnemar(wins, losses, mid_p=mid_p), "mcnemar"
        low, high = tango(wins, losses, n)
    else:
        p, test = float(permutation_p(d, seed=seed, draws=draws)[0]), "permutation"
        interval = mean_interval(d, bounds=(-1.0, 1.0), seed=seed, resamples=resamples)
        low, high = interval.low, interval.high
    low, high = _consistent(low, high, p)
    deviation = float(d.std(ddof=1)) if n > 1 else 0.0
    return Effect(
        float(d.mean()), low, high, p, n, test, wins, losses, deviation, deviation / math.sqrt(n), float(max(1, n - 1))
    )


def _paired_groups(
    d: Floats, index: Integers, groups: Sequence[str] | None, *, seed: int, resamples: int, draws: int
) -> Effect:
    """The effect of differences that lie in groups."""
    import numpy as np

    sums, count = group_sums(d, index), count_groups(index, d.size)
    p = grouped_permutation_p(sums, seed=seed, draws=draws)
    if np.isin(d, (-1.0, 0.0, 1.0)).all():
        pairs = effective_pairs(d, index)
        low, high = tango(float((d > 0).sum()) * pairs / d.size, float((d < 0).sum()) * pairs / d.size, pairs)
    else:
        interval = mean_interval(d, bounds=(-1.0, 1.0), seed=seed, resamples=resamples, groups=groups)
        low, high = interval.low, interval.high
    low, high = _consistent(low, high, p)
    wins, losses = int((d > 1e-12).sum()), int((d < -1e-12).sum())
    deviation = float((sums * count / d.size).std(ddof=1)) if count > 1 else 0.0
    error = float(group_values(d, index).std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    freedom = float(max(1, count - 1))
    return Effect(
        float(d.mean()), low, high, p, d.size, "permutation", wins, losses, deviation, error, freedom, groups=count
    )


def least_p(effect: Effect, family: int = 1) -> float:
    """The smallest p that a test can reach on these items, corrected for the family (Holm's first step).

    effect  of the test: exact tests are bounded by the number of flips, random ones by the number of draws
    family  comparisons made at once
    """
    flips = 2.0 ** (1 - min(effect.units, EXACT_UP_TO)) if effect.units <= EXACT_UP_TO else 1 / (DRAWS + 1)
    if effect.test == "mcnemar":
        flips = 2.0 ** (1 - min(effect.wins + effect.losses, 60))
    return min(1.0, family * flips)


def flipped_units(differences: Floats, groups: Sequence[str] | None) -> Floats:
    """What a paired test flips, scaled so that its mean is the mean difference: what power is planned with.

    differences  (items,)
    groups       the group of each item; None: every item is independent of the others
    Returns (groups,), or the differences themselves.
    """
    index = group_index(groups, differences.size)
    if index is None:
        return differences
    return group_sums(differences, index) * count_groups(index, differences.size) / differences.size


def _consistent(low: float, high: float, p: float) -> tuple[float, float]:
    """The interval contains 0 whenever the test does not reject: the test decides."""
    return (min(low, 0.0), max(high, 0.0)) if p > ALPHA else (low, high)


def paired_seeds(
    first: Floats,
    second: Floats,
    *,
    seed: int = 0,
    resamples: int = 2000,
    draws: int = DRAWS,
    groups: Sequence[str] | None = None,
    mid_p: bool = False,
) -> Effect:
    """The effect of one training recipe against another, each trained with several seeds.

    first      (seeds, items), scores of the first recipe's models
    second     (seeds, items), of the second's; the number of seeds may differ
    seed       of bootstrap and permutation
    resamples  of the bootstrap (2,000)
    draws      of the permutation test (10,000)
    groups     the group of each item, flipped and resampled as a whole; None: every item is independent of the others
    mid_p      of the test over items, as of `paired`
    Both the items and the seeds are samples. The p-value is the larger one of the permutation test over items and a t
    test whose variance adds both levels (degrees of freedom by Satterthwaite 1946); the interval covers the t interval
    and the two-level bootstrap.
    """
    import numpy as np
    from scipy.special import stdtr, stdtrit

    a, b = np.atleast_2d(first), np.atleast_2d(second)
    if a.shape[0] == b.shape[0] == 1:
        return paired(a[0], b[0], seed=seed, resamples=resamples, draws=draws, groups=groups, mid_p=mid_p)
    items = paired(
        a.mean(axis=0), b.mean(axis=0), seed=seed, resamples=resamples, draws=draws, groups=groups, mid_p=mid_p
    )
    parts = [(items.standard_error**2, items.units - 1)] + [(_seed_variance(arm), arm.shape[0] - 1) for arm in (a, b)]
    variance = sum(v for v, _ in parts)
    error = math.sqrt(variance)
    freedom = (
        variance**2 / sum(v * v / k for v, k in parts if v > 0 and k > 0) if variance > 0 else items.degrees_of_freedom
    )
    p = max(items.p, 2 * float(stdtr(freedom, -abs(items.value) / error)) if error > 0 else 0.0)
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    drawn = two_level_bootstrap(a, b, seed=seed, resamples=resamples, groups=groups)
    low = max(-1.0, min(items.low, items.value - half, drawn[0]))
    high = min(1.0, max(items.high, items.value + half, drawn[1]))
    low, high = _consistent(low, high, p)
    seeds = math.sqrt(max(0.0, variance - items.standard_error**2))
    return Effect(
        items.value,
        low,
        high,
        p,
        items.n,
        "two-level",
        items.wins,
        items.losses,
        items.standard_deviation,
        error,
        freedom,
        seeds,
        items.groups,
    )


def _seed_variance(scores: Floats) -> float:
    return float(scores.mean(axis=1).var(ddof=1)) / scores.shape[0] if scores.shape[0] > 1 else 0.0


def two_level_bootstrap(
    first: Floats, second: Floats, *, seed: int = 0, resamples: int = 2000, groups: Sequence[str] | None = None
) -> tuple[float, float]:
    """95% bootstrap interval of the mean difference when items (jointly) and seeds (of each arm) are resampled.

    first      (seeds, items), scores of the first arm
    second     (seeds, items), of the second
    seed       of the resampling
    resamples  how many (2,000)
    groups     the group of each item, drawn as a whole; None: every item is independent of the others
    Resampling S seeds gives only (S - 1) / S of their variance; their weights are stretched by the root of that.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    n = first.shape[1]
    index = group_index(groups, n)
    units = count_groups(index, n)
    weights = [_seed_weights(arm.shape[0], resamples, rng) for arm in (first, second)]
    means = np.empty(resamples)
    step = max(1, MAX_CELLS // n)
    for start in range(0, resamples, step):
        part = slice(start, min(start + step, resamples))
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=part.stop - start) / n
        if index is not None:
            drawn = drawn[:, index]
            drawn = drawn / drawn.sum(axis=1, keepdims=True)
        arms = [(drawn @ arm.T * w[part]).sum(axis=1) for arm, w in zip((first, second), weights, strict=True)]
        means[part] = arms[0] - arms[1]
    low, high = np.quantile(means, (ALPHA / 2, 1 - ALPHA / 2))
    return float(low), float(high)


def _seed_weights(seeds: int, resamples: int, rng: np.random.Generator) -> Floats:
    import numpy as np

    if seeds == 1:
        return np.ones((resamples, 1))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    return np.asarray(1 / seeds + (drawn - 1 / seeds) * math.sqrt(seeds / (seeds - 1)), dtype=np.float64)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for multiple comparisons (Holm 1979): the family-wise error rate stays below .05.

    p_values  of one family, in any order
    Returns the corrected ones in the same order.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = least
    return tuple(corrected)


def fisher(right_a: int, n_a: int, right_b: int, n_b: int) -> float:
    """Two-sided exact p for two shares that were measured on different items (Fisher 1935).

    right_a, n_a  right predictions and items of the first system
    right_b, n_b  of the second
    Raises DataError where more are right than there are items.
    """
    if not (0 <= right_a <= n_a and 0 <= right_b <= n_b):
        raise DataError(
            _("more right predictions than items"),
            do=_("Count again."),
        )
    right, n = right_a + right_b, n_a + n_b
    ways = [math.comb(n_a, k) * math.comb(n_b, right - k) for k in range(max(0, right - n_b), min(n_a, right) + 1)]
    seen = math.comb(n_a, right_a) * math.comb(n_b, right_b)
    return sum(w for w in ways if w <= seen) / math.comb(n, right)
