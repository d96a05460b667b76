"""What twice the rows would bring: the fit finds the law it is given, and its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest

from terakoya.scoring.statistics.power_law import extrapolate, fit_power_law


def test_the_fit_finds_the_law() -> None:
    rows = [100, 200, 400]
    law = fit_power_law(rows, [0.8 * n**-0.5 for n in rows], 1e-6)
    assert (law.factor, law.exponent) == pytest.approx((0.8, 0.5))
    assert law.score(800) == pytest.approx(1 - 0.8 * 800**-0.5)


def test_the_interval_holds_what_twice_the_rows_bring() -> None:
    """Models of 100, 200 and 400 rows whose errors fall as a power, and items alike for all of them."""
    rng, rows, covered, trials = np.random.default_rng(3), np.array([100, 200, 400]), 0, 150
    truth = 1 - 3.0 * 800**-0.4
    for _trial in range(trials):
        hard = rng.uniform(size=200)
        scores = np.stack([(hard > 3.0 * n**-0.4) * 1.0 for n in rows])
        flipped = rng.uniform(size=scores.shape) < 0.05
        scores = np.where(flipped, 1 - scores, scores)
        expected = extrapolate(list(rows), scores[:, None, :], 800, resamples=300)
        at_truth = truth * 0.95 + (1 - truth) * 0.05
        covered += expected.low <= at_truth <= expected.high
    assert covered / trials >= 0.9


def test_seeds_that_scatter_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    alike = np.repeat((rng.uniform(size=(3, 1, 100)) < [[[0.5]], [[0.6]], [[0.7]]]) * 1.0, 2, axis=1)
    apart = alike.copy()
    apart[:, 1] = (rng.uniform(size=(3, 100)) < [[0.2], [0.3], [0.4]]) * 1.0
    widths = [(found.high - found.low) for found in (extrapolate([50, 100, 200], one, 400) for one in (alike, apart))]
    assert widths[1] > widths[0]


def test_groups_count_once() -> None:
    rng = np.random.default_rng(2)
    few = np.repeat((rng.uniform(size=(3, 1, 20)) < 0.6) * 1.0, 5, axis=2)
    groups = [str(n // 5) for n in range(100)]
    alone, grouped = extrapolate([50, 100, 200], few, 400), extrapolate([50, 100, 200], few, 400, groups=groups)
    assert grouped.high - grouped.low > alone.high - alone.low
