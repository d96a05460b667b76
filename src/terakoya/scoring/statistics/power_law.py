"""What twice the rows would bring: errors of a model fall with the number of training rows about as a power of it.

    error(rows) = factor · rows ^ -exponent

Learning curves of this form: Cortes, Jackel, Solla, Vapnik and Denker (1993); Hestness et al. (2017), arXiv:1712.00409.
The interval resamples items, or whole groups of them, the same ones for every size, and refits (Efron and Tibshirani
1993), moves each size by what trainings with other seeds scatter, where there are several, and the expectation by how
badly the tried sizes follow the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terakoya.scoring.statistics.clusters import group_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The fitted curve.

    factor    error at one row, as the fit has it
    exponent  how fast it falls; 0 or less: more rows bring nothing
    """

    factor: float
    exponent: float

    def score(self, rows: float) -> float:
        """The mean score with so many training rows.

        rows  number of training rows
        """
        return float(min(1.0, max(0.0, 1 - self.factor * rows**-self.exponent)))


@dataclass(frozen=True, slots=True)
class Expectation:
    """The mean score expected with so many rows, and its 95% interval.

    rows              training rows
    value, low, high  mean score
    """

    rows: int
    value: float
    low: float
    high: float


def fit_power_law(rows: Sequence[float], errors: Sequence[float], least: float) -> PowerLaw:
    """The power law through several errors, by least squares of their logarithms.

    rows    numbers of training rows
    errors  mean error (1 - score) of each
    least   error that stands for none: its logarithm is finite
    """
    import numpy as np

    factors, exponents = _fits(np.asarray(rows, dtype=float), np.asarray(errors, dtype=float)[None, :], least)
    return PowerLaw(float(factors[0]), float(exponents[0]))


def extrapolate(
    rows: Sequence[int],
    scores: Floats,
    at: int,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Expectation:
    """The mean score expected with more rows than were tried.

    rows       numbers of training rows, at least two
    scores     (sizes, seeds, items), of the same dev items
    at         number of rows to extrapolate to
    groups     the group of each item; None: every item is independent of the others
    seed       of the bootstrap
    resamples  of the bootstrap (2,000)
    """
    import numpy as np

    _sizes, seeds, n = scores.shape
    least = 0.5 / n
    rng = np.random.default_rng(seed)
    index = group_index(groups, n)
    unit = np.arange(n) if index is None else index
    count = int(unit.max()) + 1
    sums = np.stack([np.bincount(unit, weights=line, minlength=count) for line in scores.mean(axis=1)])
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    drawn = weights @ np.bincount(unit, minlength=count)
    means = (weights @ sums.T) / drawn[:, None]
    if seeds > 1:
        spread = np.sqrt(scores.mean(axis=2).var(axis=1, ddof=1) / seeds)
        means = means + rng.standard_normal(means.shape) * spread[None, :]
    counts = np.asarray(rows, dtype=float)
    factors, exponents = _fits(counts, 1 - means, least)
    scatter = _scatter(counts, 1 - scores.mean(axis=(1, 2)), least, at) * rng.standard_normal(resamples)
    expected = np.clip(1 - factors * at**-exponents * np.exp(scatter), 0.0, 1.0)
    fitted = fit_power_law(rows, list(1 - scores.mean(axis=(1, 2))), least)
    low, high = np.quantile(expected, (0.025, 0.975))
    value = fitted.score(at)
    return Expectation(at, value, min(float(low), value), max(float(high), value))


def _scatter(rows: Floats, errors: Floats, least: float, at: int) -> float:
    """Standard error, in logarithms, of a size that follows the curve as badly as those that were tried."""
    import numpy as np

    if len(rows) < 3:
        return 0.0
    x, y = np.log(rows), np.log(np.maximum(errors, least))
    slope, intercept = np.polyfit(x, y, 1)
    residual = float(((y - intercept - slope * x) ** 2).sum()) / (len(rows) - 2)
    leverage = 1 / len(rows) + (np.log(at) - x.mean()) ** 2 / float(((x - x.mean()) ** 2).sum())
    return float(np.sqrt(residual * (1 + leverage)))


def _fits(rows: Floats, errors: Floats, least: float) -> tuple[Floats, Floats]:
    """Factor and exponent of every line of errors (lines, sizes)."""
    import numpy as np

    x, y = np.log(rows), np.log(np.maximum(errors, least))
    centred = x - x.mean()
    slope = (y @ centred) / float(centred @ centred)
    return np.exp(y.mean(axis=1) - slope * x.mean()), -slope
