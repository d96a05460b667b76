"""95% confidence intervals of the share or mean of n item scores.

Shares of right predictions get Wilson's interval (1927). Means of graded metrics get the bias-corrected and accelerated
bootstrap (BCa, Efron 1987) from 40 items on, Student's t below. Where nearly all items score the same, no resampling
can know of the cases that did not occur: the interval is then widened by the share of them that n items may hide
(Clopper and Pearson 1934, "rule of three").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import Score, Signature
from terakoya.scoring.statistics.clusters import count_groups, effective_items, group_index, group_sums, group_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

Z = 1.959963984540054  # of the normal distribution, two-sided 95%
ALPHA = 0.05
BOOTSTRAP_FROM = 40  # items; below, BCa intervals are too short
RARE = 5  # fewer items than this differ from the rest: see `_widened_for_rare`
MAX_CELLS = 4_000_000  # numbers held at once while resampling


@dataclass(frozen=True, slots=True)
class Interval:
    """A value, its 95% interval, the number of items behind it, and how the interval was made.

    groups  number of groups that the items lie in; 0 where every item is independent of the others
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    groups: int = 0


def wilson(right: float, n: float) -> tuple[float, float]:
    """95% score interval of a share (Wilson 1927).

    right  items that count
    n      items in all; for items in groups the effective number, which need not be whole
    Returns (low, high). Raises DataError without items.
    """
    if n <= 0:
        raise DataError(
            _("a share of no items has no interval"),
            do=_("Give the exam at least one item."),
        )
    share, z2 = right / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if right <= 0 else max(0.0, middle - half)
    high = 1.0 if right >= n else min(1.0, middle + half)
    return low, high


def max_unseen_share(seen: int, n: int) -> float:
    """Upper 97.5% bound of a share (Clopper and Pearson 1934).

    seen  items of this kind among the n
    n     items in all
    """
    from scipy.special import betaincinv

    return 1.0 if seen >= n else float(betaincinv(seen + 1, n - seen, 1 - ALPHA / 2))


def score_array(values: Sequence[float] | Floats, what: str = "scores") -> Floats:
    """Item scores as one array of finite numbers.

    values  the scores
    what    what the message calls them
    Returns (n,). Raises DataError when it is empty or holds NaN or infinity.
    """
    import numpy as np

    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not row.size:
        raise DataError(
            _("there are no {what}", what=what),
            do=_("Give the exam at least one item."),
        )
    if bad := np.flatnonzero(~np.isfinite(row)).tolist():
        item, value = bad[0] + 1, row[bad[0]]
        raise DataError(
            _("{what}: item {item} is {value}, which is not finite", what=what, item=item, value=value),
            do=_("Correct the metric: a score is a finite number."),
        )
    return row


def mean_interval(
    values: Sequence[float] | Floats,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    resamples: int = 2000,
    groups: Sequence[str] | None = None,
) -> Interval:
    """The mean of item scores with its 95% interval.

    values     one score an item
    bounds     least and greatest possible score (0, 1)
    seed       of the bootstrap
    resamples  of the bootstrap (2,000)
    groups     the group of each item, resampled as a whole; "" or None: the item is independent of the others
    Raises DataError without items, for a score that is not finite, and for one outside the bounds.
    """
    import numpy as np

    row = score_array(values)
    n, mean = row.size, float(row.mean())
    if row.min() < bounds[0] - 1e-9 or row.max() > bounds[1] + 1e-9:
        least, most = bounds
        raise DataError(
            _("a score lies outside {least:g} to {most:g}", least=least, most=most),
            do=_("Correct the metric, or pass its bounds."),
        )
    index = group_index(groups, n)
    grouped = 0 if index is None else count_groups(index, n)
    if bounds == (0.0, 1.0) and np.isin(row, (0.0, 1.0)).all():
        items = n if index is None else effective_items(row, index)
        low, high = wilson(float(row.sum()) * items / n if items != n else float(row.sum()), items)
        return Interval(mean, low, high, n, "wilson", grouped)
    resampled = row if index is None else group_values(row, index)
    low, high, method = _bootstrap_or_t(resampled, seed, resamples)
    low, high = _widened_for_rare(row, low, high, bounds, index)
    return Interval(mean, max(low, bounds[0]), min(high, bounds[1]), n, method, grouped)


def _bootstrap_or_t(row: Floats, seed: int, resamples: int) -> tuple[float, float, str]:
    if row.min() == row.max() or row.size < 2:
        return float(row[0]), float(row[0]), "hidden"
    if row.size >= BOOTSTRAP_FROM:
        return *bca(row, seed=seed, resamples=resamples), "bca"
    return *t_interval(row), "t"


def t_interval(row: Floats) -> tuple[float, float]:
    """95% interval of a mean by Student's t.

    row  (n,), at least two scores
    """
    from scipy.special import stdtrit

    n = row.size
    half = float(stdtrit(n - 1, 1 - ALPHA / 2)) * float(row.std(ddof=1)) / math.sqrt(n)
    return float(row.mean()) - half, float(row.mean()) + half


def _widened_for_rare(
    row: Floats, low: float, high: float, bounds: tuple[float, float], index: Integers | None = None
) -> tuple[float, float]:
    """Widen where fewer than RARE items (or groups of items) differ from all the others."""
    import numpy as np

    seen, counts = np.unique(row, return_counts=True)
    usual = float(seen[counts.argmax()])
    others, n = int(row.size - counts.max()), row.size
    if index is not None:
        others, n = int((group_sums((row != usual) * 1.0, index) > 0).sum()), count_groups(index, n)
    if others >= RARE:
        return low, high
    share = max_unseen_share(others, n)
    return min(low, usual + share * (bounds[0] - usual)), max(high, usual + share * (bounds[1] - usual))


def bca(values: Sequence[float] | Floats, *, seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """95% interval of a mean by the bias-corrected and accelerated bootstrap (Efron 1987, with mid-rank bias).

    values     one score an item
    seed       of the resampling
    resamples  how many (2,000)
    Returns (low, high).
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    row = score_array(values)
    mean = float(row.mean())
    off = row - mean
    square = float((off**2).sum())
    if square == 0:
        return mean, mean
    means = bootstrap_means(row, np.random.default_rng(seed), resamples)
    below = float((means < mean - 1e-12).mean() + 0.5 * (np.abs(means - mean) <= 1e-12).mean())
    bias = float(ndtri(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples)))
    speed = float((off**3).sum()) / (6 * square**1.5)
    z = bias + np.array([-Z, Z])
    ranks = ndtr(bias + z / np.maximum(1 - speed * z, 1e-6))
    low, high = np.quantile(means, ranks)
    return float(low), float(high)


def bootstrap_means(row: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Means of bootstrap samples; few distinct values are drawn as counts, which is exact and far faster.

    row        (n,), item scores
    rng        random generator
    resamples  how many
    Returns (resamples,).
    """
    import numpy as np

    kinds, counts = np.unique(row, return_counts=True)
    n = row.size
    if kinds.size <= n // 4:
        drawn: Any = rng.multinomial(n, counts / n, size=resamples)
        return np.asarray(drawn @ kinds / n, dtype=np.float64)
    step = max(1, MAX_CELLS // n)
    parts = [row[rng.integers(0, n, (min(step, resamples - i), n))].mean(axis=1) for i in range(0, resamples, step)]
    return np.concatenate(parts)


def make_score(
    who: str,
    metric: str,
    values: Sequence[float] | Floats,
    signature: Signature,
    *,
    subset: str = "",
    seed: int = 0,
    resamples: int = 2000,
    groups: Sequence[str] | None = None,
) -> Score:
    """A Score from item scores.

    who        the system: "model", or a baseline's name
    metric     its name
    values     one score an item
    signature  how the scores were made
    subset     of the exam, "" the main one
    seed       of the bootstrap
    resamples  of the bootstrap (2,000)
    groups     the group of each item; None: every item is independent of the others
    """
    mean = mean_interval(values, seed=seed, resamples=resamples, groups=groups)
    return Score(who, metric, mean.value, mean.low, mean.high, mean.n, signature, subset, mean.groups)
