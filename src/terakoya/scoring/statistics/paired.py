"""Two ways of answering the same items: is one better, by how much, and might it be chance?

The p-value decides and the interval is made to agree with it: it holds 0 whenever p > .05. Right and wrong answers
are tested by the exact McNemar test, graded ones by sign-flip permutation: all flips where that is possible, else
drawn ones with the +1 that keeps the p-value valid (Phipson and Smyth 2010).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.scoring.statistics.intervals import _CELLS, ALPHA, Z, array, mean_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EXACT_UP_TO = 14  # items that differ: 2^14 flips are all tried
DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Effect:
    """The mean difference over n items, first side minus second, with its 95% interval and p-value.

    wins, losses  items on which the first side scored higher, lower
    spread        standard deviation of the differences between items
    error, freedom  standard error and degrees of freedom that the power is reckoned with
    seed_error    part of the standard error that comes from the seeds (0 with one seed a side)
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    test: str
    wins: int
    losses: int
    spread: float
    error: float
    freedom: float
    seed_error: float = 0.0

    @property
    def binary(self) -> bool:
        return self.test == "mcnemar"


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided exact p (McNemar 1947, by the binomial): only the items on which the two differ speak."""
    from scipy.special import bdtr

    both = wins + losses
    return min(1.0, 2 * float(bdtr(min(wins, losses), both, 0.5))) if both else 1.0


def permutation_p(differences: Floats, *, seed: int = 0, draws: int = DRAWS) -> Floats:
    """Two-sided p of every row of differences (rows, items): how many sign flips give a sum at least as far from 0.

    All flips are tried up to EXACT_UP_TO items (zeros left out), else `draws` of them, the same for all rows.
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
    step = max(1, _CELLS // max(items, rows.shape[0]))
    for start in range(0, draws, step):
        flips = rng.integers(0, 2, (min(step, draws - start), items), dtype=np.int8)
        hits += (np.abs((1.0 - 2.0 * flips) @ rows.T) >= seen).sum(axis=0)
    return np.asarray((hits + 1) / (draws + 1), dtype=np.float64)


def tango(wins: int, losses: int, n: int) -> tuple[float, float]:
    """95% score interval of the difference of two paired shares (Tango 1998); right down to n = 1 and no difference."""
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
) -> Effect:
    """One answer an item and side; `resamples` are for the interval, `draws` for the test.

    Raises DataError when the sides have different numbers of items.
    """
    import numpy as np

    a, b = array(first), array(second)
    if a.size != b.size:
        raise DataError(
            both(f"{a.size} and {b.size} items cannot be paired", f"{a.size}問と{b.size}問は対にできない"),
            do=both("Compare answers to the same items.", "同じ問題への回答を比べること。"),
        )
    d = a - b
    n, wins, losses = d.size, int((d > 1e-12).sum()), int((d < -1e-12).sum())
    if np.isin(d, (-1.0, 0.0, 1.0)).all():
        p, test = mcnemar(wins, losses), "mcnemar"
        low, high = tango(wins, losses, n)
    else:
        p, test = float(permutation_p(d, seed=seed, draws=draws)[0]), "permutation"
        interval = mean_interval(d, bounds=(-1.0, 1.0), seed=seed, resamples=resamples)
        low, high = interval.low, interval.high
    low, high = _agree(low, high, p)
    spread = float(d.std(ddof=1)) if n > 1 else 0.0
    return Effect(
        float(d.mean()), low, high, p, n, test, wins, losses, spread, spread / math.sqrt(n), float(max(1, n - 1))
    )


def _agree(low: float, high: float, p: float) -> tuple[float, float]:
    """The interval holds 0 whenever the test does not reject; house rule: the test decides."""
    return (min(low, 0.0), max(high, 0.0)) if p > ALPHA else (low, high)


def paired_seeds(first: Floats, second: Floats, *, seed: int = 0, resamples: int = 2000, draws: int = DRAWS) -> Effect:
    """Several trained models a side: scores (seeds, items) each. The question is about the recipes, not these models.

    Two things must not be chance, which items were asked and which seeds were trained. The p-value is the larger one
    of the permutation test over items and a t test whose variance adds both levels (degrees of freedom by
    Satterthwaite 1946); the interval covers the t interval and the two-level bootstrap.
    """
    import numpy as np
    from scipy.special import stdtr, stdtrit

    a, b = np.atleast_2d(first), np.atleast_2d(second)
    if a.shape[0] == b.shape[0] == 1:
        return paired(a[0], b[0], seed=seed, resamples=resamples, draws=draws)
    items = paired(a.mean(axis=0), b.mean(axis=0), seed=seed, resamples=resamples, draws=draws)
    parts = [(items.error**2, items.n - 1)] + [(_seed_variance(side), side.shape[0] - 1) for side in (a, b)]
    variance = sum(v for v, _ in parts)
    error = math.sqrt(variance)
    freedom = variance**2 / sum(v * v / k for v, k in parts if v > 0 and k > 0) if variance > 0 else items.freedom
    p = max(items.p, 2 * float(stdtr(freedom, -abs(items.value) / error)) if error > 0 else 0.0)
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    drawn = two_level_bootstrap(a, b, seed=seed, resamples=resamples)
    low = max(-1.0, min(items.low, items.value - half, drawn[0]))
    high = min(1.0, max(items.high, items.value + half, drawn[1]))
    low, high = _agree(low, high, p)
    seeds = math.sqrt(max(0.0, variance - items.error**2))
    return Effect(
        items.value, low, high, p, items.n, "two-level", items.wins, items.losses, items.spread, error, freedom, seeds
    )


def _seed_variance(side: Floats) -> float:
    return float(side.mean(axis=1).var(ddof=1)) / side.shape[0] if side.shape[0] > 1 else 0.0


def two_level_bootstrap(first: Floats, second: Floats, *, seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """95% interval of the mean difference when items (together) and seeds (each side by itself) are drawn again.

    Drawing S seeds from S gives only (S - 1) / S of their variance; their weights are stretched by the root of that.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    n = first.shape[1]
    weights = [_seed_weights(side.shape[0], resamples, rng) for side in (first, second)]
    means = np.empty(resamples)
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        part = slice(start, min(start + step, resamples))
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=part.stop - start) / n
        sides = [(drawn @ side.T * w[part]).sum(axis=1) for side, w in zip((first, second), weights, strict=True)]
        means[part] = sides[0] - sides[1]
    low, high = np.quantile(means, (ALPHA / 2, 1 - ALPHA / 2))
    return float(low), float(high)


def _seed_weights(seeds: int, resamples: int, rng: np.random.Generator) -> Floats:
    import numpy as np

    if seeds == 1:
        return np.ones((resamples, 1))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    return np.asarray(1 / seeds + (drawn - 1 / seeds) * math.sqrt(seeds / (seeds - 1)), dtype=np.float64)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values corrected for their number (Holm 1979): the chance of any false alarm in the family stays below .05."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = least
    return tuple(corrected)


def fisher(right_a: int, n_a: int, right_b: int, n_b: int) -> float:
    """Two-sided exact p for two shares that were measured on different items (Fisher 1935)."""
    if not (0 <= right_a <= n_a and 0 <= right_b <= n_b):
        raise DataError(
            both("more right answers than items", "正解の数が問題の数より多い"),
            do=both("Count again.", "数え直すこと。"),
        )
    right, n = right_a + right_b, n_a + n_b
    ways = [math.comb(n_a, k) * math.comb(n_b, right - k) for k in range(max(0, right - n_b), min(n_a, right) + 1)]
    seen = math.comb(n_a, right_a) * math.comb(n_b, right_b)
    return sum(w for w in ways if w <= seen) / math.comb(n, right)
