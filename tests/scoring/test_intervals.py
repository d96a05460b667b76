"""Intervals: right in textbook cases, at the edges, and again with the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.errors import DataError
from terakoya.records import Signature
from terakoya.scoring.statistics.intervals import bca, make_score, mean_interval, t_interval, wilson


def test_twenty_three_of_forty_means_somewhere_from_42_to_71() -> None:
    """The numerals log's .575, as style.md prints it."""
    low, high = wilson(23, 40)
    assert (round(low, 2), round(high, 2)) == (0.42, 0.71)


def test_wilson_agrees_with_scipy() -> None:
    """Our own few lines stand in for a slow import."""
    from scipy.stats import binomtest

    for right, n in ((0, 1), (1, 1), (3, 10), (999, 1000), (40, 40)):
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bca_agrees_with_scipy() -> None:
    """Efron's interval, not a cousin of it."""
    from scipy.stats import bootstrap

    row = np.random.default_rng(3).beta(0.6, 3, 60)
    theirs = bootstrap((row,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1))
    low, high = bca(row, seed=2, resamples=20_000)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.004)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.004)


def test_bca_corrects_for_bias_and_skew_as_scipy_does() -> None:
    """Three high scores among forty: without acceleration, or with its bias turned, an end moves by .02."""
    from scipy.stats import bootstrap

    row = np.array([1.0, 0.97, 0.94, *np.linspace(0, 0.05, 37)])
    theirs = bootstrap((row,), np.mean, n_resamples=100_000, method="BCa", rng=np.random.default_rng(1))
    low, high = bca(row, seed=2, resamples=100_000)
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.0012)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.0012)


def test_the_interval_of_few_scores_is_students() -> None:
    """Below forty items resampling is too short; n - 1 is divided by, once for the scatter and once for the mean."""
    from scipy.stats import sem, t

    row = np.array([0.1, 0.4, 0.35, 0.9])
    assert t_interval(row) == pytest.approx(t.interval(0.95, 3, loc=row.mean(), scale=sem(row)))


def test_the_same_seed_gives_the_same_interval() -> None:
    """A figure that changes when it is looked at again is not believed."""
    row = np.random.default_rng(0).random(200)
    assert mean_interval(row, seed=5) == mean_interval(row, seed=5)
    assert mean_interval(row, seed=5).low != mean_interval(row, seed=6).low


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=90))
def test_an_interval_holds_its_value_and_stays_in_bounds(values: list[float]) -> None:
    """0 rows, 1 row and ties must not divide by zero or promise the impossible."""
    figure = mean_interval(values, resamples=200)
    assert 0 <= figure.low <= figure.value + 1e-9
    assert figure.value - 1e-9 <= figure.high <= 1
    assert figure.n == len(values)


def test_items_that_all_score_the_same_still_leave_doubt() -> None:
    """Ten equal scores say little about the eleventh; a resampler would promise certainty."""
    ten, thousand = mean_interval([0.5] * 10), mean_interval([0.5] * 1000)
    assert ten.high - ten.low > 0.2
    assert thousand.high - thousand.low < 0.01
    one_odd = mean_interval([0.5] * 99 + [1.0])
    assert one_odd.high > 0.52


@pytest.mark.parametrize(
    ("values", "words"), [([], "no scores"), ([0.1, float("nan")], "item 2"), ([0.5, 1.2], "outside 0 to 1")]
)
def test_what_is_no_score_is_refused(values: list[float], words: str) -> None:
    """NaN must never average its way into a table."""
    with pytest.raises(DataError, match=words):
        mean_interval(values)


def test_a_score_carries_its_doubt_and_its_signature() -> None:
    """Figures travel with how they were made."""
    signature = Signature("e", "exact/1", "greedy")
    made = make_score("model", "exact", [1.0] * 23 + [0.0] * 17, signature, subset="memorised")
    assert (made.value, made.n, made.signature, made.subset) == (0.575, 40, signature, "memorised")
    assert made.low < 0.575 < made.high
