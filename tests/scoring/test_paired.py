"""Paired tests: held against enumeration by hand, scipy, and each other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.errors import DataError
from terakoya.scoring.statistics.paired import (
    fisher,
    holm,
    mcnemar,
    paired,
    paired_seeds,
    permutation_p,
    tango,
    two_level_bootstrap,
)


def test_mcnemar_is_the_binomial_on_discordant_items() -> None:
    """The test by which most verdicts are given."""
    from scipy.stats import binomtest

    for wins, losses in ((13, 6), (0, 5), (7, 7), (0, 0), (1, 0), (300, 260)):
        expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
        assert mcnemar(wins, losses) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1, -0.5, -0.2, 0, 0.25, 0.5, 1]), min_size=1, max_size=9))
def test_small_permutation_tests_try_every_flip(differences: list[float]) -> None:
    """Exact means all of them, counted here the slow way."""
    seen = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    expected = sum(total >= seen - 1e-9 for total in sums) / len(sums)
    assert permutation_p(np.array(differences))[0] == pytest.approx(expected)


def test_on_right_and_wrong_the_permutation_test_is_mcnemar() -> None:
    """Two roads, one verdict."""
    differences = np.r_[np.ones(13), -np.ones(6), np.zeros(21)]
    assert permutation_p(differences, draws=100_000)[0] == pytest.approx(mcnemar(13, 6), abs=0.005)


def test_a_drawn_p_value_is_never_zero_and_repeats_with_its_seed() -> None:
    """p = 0 from 10,000 draws would be a claim that nobody checked."""
    differences = np.full(50, 0.3)
    assert permutation_p(differences, draws=999)[0] == pytest.approx(1 / 1000)
    noisy = np.random.default_rng(0).normal(0.05, 0.3, 50)
    assert permutation_p(noisy, seed=4)[0] == permutation_p(noisy, seed=4)[0]


def test_tango_holds_at_the_edges() -> None:
    """No discordant item in n leaves a doubt of z² / (n + z²), not none."""
    z2 = 1.959963984540054**2
    assert tango(0, 0, 40) == pytest.approx((-z2 / (40 + z2), z2 / (40 + z2)), abs=1e-6)
    low, high = tango(13, 6, 40)
    assert low < 0 < 0.175 < high
    assert tango(40, 0, 40)[1] == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.booleans())
def test_interval_and_test_never_contradict_each_other(seed: int, n: int, binary: bool) -> None:
    """p > .05 beside an interval without 0 would let everybody pick what they like."""
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, n)) ** 2
    if binary:
        a, b = np.round(a), np.round(b)
    effect = paired(a, b, resamples=200, draws=500)
    if effect.p > 0.05:
        assert effect.low <= 0 <= effect.high
    assert effect.low - 1e-9 <= effect.value <= effect.high + 1e-9
    turned = paired(b, a, resamples=200, draws=500)
    assert turned.p == pytest.approx(effect.p)
    assert (turned.wins, turned.losses) == (effect.losses, effect.wins)


def test_items_that_do_not_match_are_refused() -> None:
    """Pairing by position what is not the same exam is lesson 25."""
    with pytest.raises(DataError, match="3 and 2 items"):
        paired([1, 0, 1], [1, 0])


def test_seeds_that_scatter_take_away_what_items_seem_to_prove() -> None:
    """One lucky training is no recipe: many items make its luck look certain."""
    rng = np.random.default_rng(0)
    luck_a, luck_b = np.array([[0.30], [0.06], [0.0]]), np.array([[0.0], [0.08], [0.02]])
    noise = rng.random((6, 3000)) * 0.5
    a, b = noise[:3] + luck_a, noise[3:] + luck_b
    assert paired(a.mean(axis=0), b.mean(axis=0)).p < 0.001
    both = paired_seeds(a, b)
    assert both.p > 0.05
    assert both.low < 0 < both.high
    assert both.seed_error > 0


def test_a_gain_larger_than_seeds_and_items_scatter_is_found() -> None:
    """Caution that never says yes is worth nothing."""
    rng = np.random.default_rng(1)
    a, b = rng.random((3, 400)) * 0.5 + 0.2, rng.random((3, 400)) * 0.5
    effect = paired_seeds(a, b)
    assert effect.p < 0.01
    assert effect.low > 0.1


def test_holm_is_as_worked_by_hand() -> None:
    """p = .01, .04, .03 become .03, .06, .06."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_fisher_agrees_with_scipy() -> None:
    """For shares of different items, which is all that is left of some claims."""
    from scipy.stats import fisher_exact

    for a, n, b, m in ((3, 10, 7, 10), (0, 5, 5, 5), (20, 40, 6, 40), (1, 1, 0, 9)):
        assert fisher(a, n, b, m) == pytest.approx(fisher_exact([[a, n - a], [b, m - b]]).pvalue)
    with pytest.raises(DataError):
        fisher(4, 3, 0, 1)


@pytest.mark.parametrize("scattering", [0, 1])
def test_the_seeds_of_either_side_count(scattering: int) -> None:
    """The variance of a second recipe that scatters is added as that of a first one, divided by its seeds."""
    steady, spread = np.full((3, 200), 0.5), np.array([[0.2], [0.5], [0.8]]) + np.zeros((3, 200))
    arms = (spread, steady) if scattering == 0 else (steady, spread)
    effect = paired_seeds(*arms)
    assert effect.seed_error == pytest.approx(0.3 / 3**0.5)
    assert effect.low < -0.3 < 0.3 < effect.high


def test_few_seeds_are_stretched_to_their_whole_variance() -> None:
    """Resampling two seeds shows half of their variance: drawn twice, a seed stands at m ± d·√2, not at m ± d."""
    first, second = np.array([[0.4], [0.6]]) + np.zeros((2, 50)), np.full((2, 50), 0.1)
    low, high = two_level_bootstrap(first, second)
    assert (low, high) == pytest.approx((0.4 - 0.1 * 2**0.5, 0.4 + 0.1 * 2**0.5))
