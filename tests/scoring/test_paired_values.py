"""Paired tests against values made another way: enumeration, scipy, and the same test with its arms exchanged."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest
from scipy.stats import t as student

from terakoya.errors import DataError
from terakoya.scoring.statistics import paired as pairs
from terakoya.scoring.statistics.paired import (
    DRAWS,
    Effect,
    fisher,
    flipped_units,
    grouped_permutation_p,
    holm,
    least_p,
    mcnemar,
    paired,
    paired_seeds,
    permutation_p,
    tango,
    two_level_bootstrap,
)

Z = 1.959963984540054


def _every_flip(values: list[float]) -> float:
    """The share of all flips whose sum is at least as far from 0."""
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=len(values))
    ]
    return sum(total >= abs(sum(values)) - 1e-9 for total in sums) / len(sums)


def _graded(seed: int, seeds: int, items: int, gain: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, items)) * 0.5 + gain


def _levels(*values: float) -> np.ndarray:
    """What each seed adds to all of its items."""
    return np.array(values)[:, None]


@pytest.mark.parametrize(("wins", "losses"), [(9, 2), (2, 9), (5, 5), (1, 0), (30, 12), (600, 500), (560, 430)])
def test_the_mid_p_counts_what_was_seen_half(wins: int, losses: int) -> None:
    both = wins + losses
    exact = binomtest(wins, both).pvalue
    seen = binom.pmf(wins, both, 0.5)
    expected = 1.0 if wins == losses else exact - (seen if both < 1000 else 0.0)
    assert mcnemar(wins, losses, mid_p=True) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(wins, losses) == pytest.approx(exact, rel=1e-9)


def _score_statistic(wins: int, losses: int, n: int, delta: float) -> float:
    """Tango's z at a difference, with the likeliest shares found by search instead of by formula."""

    def unlikely(share: float) -> float:
        first, rest = share + delta, 1 - 2 * share - delta
        if min(first, share, rest) < -1e-12:
            return math.inf
        parts = ((wins, first), (losses, share), (n - wins - losses, rest))
        return -sum(count * math.log(max(part, 1e-300)) for count, part in parts if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    share = float(minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)
    return (wins - losses - n * delta) / math.sqrt(n * (2 * share + delta - delta**2))


@pytest.mark.parametrize(("wins", "losses", "n"), [(13, 6, 40), (3, 9, 15), (5, 5, 12), (20, 2, 200), (7, 1, 9)])
def test_the_ends_of_the_score_interval_are_just_not_rejected(wins: int, losses: int, n: int) -> None:
    low, high = tango(wins, losses, n)
    assert _score_statistic(wins, losses, n, low) == pytest.approx(Z, abs=1e-4)
    assert _score_statistic(wins, losses, n, high) == pytest.approx(-Z, abs=1e-4)
    assert tango(losses, wins, n) == pytest.approx((-high, -low), abs=1e-9)


def test_the_score_interval_at_its_ends() -> None:
    """Every item won: the upper end is 1; every item lost: the lower end is -1."""
    assert tango(8, 0, 8)[1] == pytest.approx(1.0) and tango(0, 8, 8)[0] == pytest.approx(-1.0)
    assert tango(8, 0, 8)[0] == pytest.approx(-tango(0, 8, 8)[1])
    low, high = tango(1, 0, 1)
    assert -1 < low < 1 == pytest.approx(high)
    half = tango(2.5, 0.5, 10.5)
    assert tango(2, 0.5, 10.5)[0] < half[0] < 2 / 10.5 < half[1] < tango(3, 0.5, 10.5)[1]


def test_rows_are_tested_one_by_one_and_items_that_never_differ_are_left_out() -> None:
    first, second = [0.5, -0.25, 0.0, 0.75], [0.25, 0.25, 0.0, 0.5]
    rows = np.array([[*first, *[0.0] * 30], [*second, *[0.0] * 30]])
    assert permutation_p(rows).tolist() == pytest.approx([_every_flip(first), _every_flip(second)])
    assert permutation_p(np.zeros(5)).tolist() == [1.0]


def test_fourteen_items_are_flipped_in_every_way_and_fifteen_at_random() -> None:
    assert permutation_p(np.full(14, 0.5))[0] == 2.0**-13
    assert permutation_p(np.full(15, 0.5), draws=99)[0] == pytest.approx(1 / 100, abs=1e-12)
    assert permutation_p(np.full(1, 0.5))[0] == 1.0
    assert permutation_p(np.full(15, 0.5))[0] <= 4 / (DRAWS + 1)


def test_random_flips_approach_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one batch or in many, on the same side as the distribution of a sum of signs."""
    values = np.r_[np.full(13, 0.5), np.full(7, -0.5)]
    expected = 2 * binom.cdf(7, 20, 0.5)
    assert permutation_p(values, draws=20_000)[0] == pytest.approx(expected, abs=0.01)
    monkeypatch.setattr(pairs, "MAX_CELLS", 20 * 700)
    assert permutation_p(values, draws=20_000, seed=2)[0] == pytest.approx(expected, abs=0.01)
    both = permutation_p(np.stack([values, -values]), draws=5000, seed=2)
    assert both[0] == both[1]


def test_few_groups_are_flipped_in_every_way() -> None:
    """Zeros are left out first; fourteen equal groups give the smallest p that they can."""
    sums = [1.0, 2.0, -1.0, 3.0, 0.5]
    assert grouped_permutation_p(np.array([*sums, *[0.0] * 40])) == pytest.approx(_every_flip(sums))
    assert grouped_permutation_p(np.ones(14)) == 2.0**-13
    assert grouped_permutation_p(np.ones(15), draws=500) == pytest.approx(1 / 501, abs=2 / 501)
    assert grouped_permutation_p(np.zeros(3)) == 1.0


def test_many_groups_of_one_size_are_flipped_by_their_number() -> None:
    """Forty groups of equal sums: the exact binomial is known, and the p of random flips is never 0."""
    expected = 2 * binom.cdf(14, 40, 0.5)
    sums = np.r_[np.ones(26), -np.ones(14)]
    assert grouped_permutation_p(sums, draws=40_000) == pytest.approx(expected, abs=0.006)
    assert grouped_permutation_p(-3 * sums, draws=40_000) == grouped_permutation_p(3 * sums, draws=40_000)
    assert grouped_permutation_p(np.ones(60), draws=999) == pytest.approx(1 / 1000)
    different = np.linspace(0.1, 2.0, 20)
    assert grouped_permutation_p(different, seed=3, draws=400) == permutation_p(different, seed=3, draws=400)[0]


def test_an_effect_of_right_and_wrong_holds_these_values() -> None:
    first, second = [1.0] * 9 + [0.0] * 11, [0.0] * 7 + [1.0] * 2 + [1.0] * 3 + [0.0] * 8
    effect = paired(first, second)
    deviation = float(np.std(np.subtract(first, second), ddof=1))
    assert (effect.test, effect.n, effect.wins, effect.losses) == ("mcnemar", 20, 7, 3)
    assert (effect.groups, effect.units, effect.binary, effect.seed_error) == (0, 20, True, 0.0)
    assert effect.value == pytest.approx(0.2) and effect.p == pytest.approx(binomtest(7, 10).pvalue)
    assert (effect.low, effect.high) == pytest.approx(tango(7, 3, 20))
    assert effect.standard_deviation == pytest.approx(deviation)
    assert effect.standard_error == pytest.approx(deviation / math.sqrt(20)) and effect.degrees_of_freedom == 19.0
    assert paired(first, second, mid_p=True).p == pytest.approx(binomtest(7, 10).pvalue - binom.pmf(7, 10, 0.5))


def test_an_effect_of_graded_scores_holds_these_values() -> None:
    d = [0.5, 0.25, 0.25, -0.125, 0.0, 0.5, 0.75, 0.5]
    effect = paired(d, [0.0] * 8)
    assert (effect.test, effect.n, effect.wins, effect.losses, effect.binary) == ("permutation", 8, 6, 1, False)
    assert effect.p == pytest.approx(_every_flip(d)) and effect.value == pytest.approx(np.mean(d))
    deviation = float(np.std(d, ddof=1))
    half = student.ppf(0.975, 7) * deviation / math.sqrt(8)
    assert effect.p < 0.05 and (effect.low, effect.high) == pytest.approx((np.mean(d) - half, np.mean(d) + half))
    assert (effect.standard_deviation, effect.degrees_of_freedom) == (pytest.approx(deviation), 7.0)
    assert paired(d, [0.0] * 8, mid_p=True).p == effect.p


def test_one_item_has_an_effect_without_scatter() -> None:
    effect = paired([0.75], [0.25])
    assert (effect.value, effect.standard_deviation, effect.standard_error) == (0.5, 0.0, 0.0)
    assert (effect.p, effect.degrees_of_freedom) == (1.0, 1.0) and effect.low <= 0.0 < effect.high <= 1.0


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
def test_exchanged_arms_give_the_mirrored_effect(binary: bool, grouped: bool) -> None:
    first, second = np.random.default_rng(5).random((2, 24)) ** 2
    if binary:
        first, second = np.round(first), np.round(second)
    names = [f"g{item // 2}" for item in range(24)] if grouped else None
    one, other = paired(first, second, groups=names), paired(second, first, groups=names)
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low), abs=1e-9)
    assert (other.p, other.wins, other.losses) == (pytest.approx(one.p), one.losses, one.wins)
    assert (other.standard_deviation, other.standard_error) == pytest.approx(
        (one.standard_deviation, one.standard_error)
    )


def test_groups_of_one_size_whose_items_are_alike_count_as_items() -> None:
    """Fifty graded items, each written down three times: value, interval, p and scatter stay, the items are 150."""
    scores = _graded(1, 2, 50)
    names = [f"g{item // 3}" for item in range(150)]
    alone, grouped = paired(*scores), paired(*np.repeat(scores, 3, axis=1), groups=names)
    assert (grouped.n, grouped.groups, grouped.units) == (150, 50, 50)
    assert (grouped.wins, grouped.losses) == (3 * alone.wins, 3 * alone.losses)
    assert (grouped.value, grouped.low, grouped.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert grouped.standard_deviation == pytest.approx(alone.standard_deviation)
    assert grouped.standard_error == pytest.approx(alone.standard_error)
    assert grouped.degrees_of_freedom == alone.degrees_of_freedom == 49.0
    assert (grouped.test, grouped.p) == ("permutation", pytest.approx(alone.p, abs=0.02))


def test_an_effect_of_groups_of_unlike_sizes_holds_these_values() -> None:
    """By hand: sums 2, 1, -1 and 0 of groups with 2, 2, 1 and 1 items; the mean is 1/3."""
    first, second = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    effect = paired(first, second, groups=["a", "a", "b", "b", "c", ""])
    assert (effect.test, effect.n, effect.groups, effect.wins, effect.losses) == ("permutation", 6, 4, 3, 1)
    assert effect.value == pytest.approx(1 / 3) and effect.p == pytest.approx(_every_flip([2.0, 1.0, -1.0]))
    assert effect.standard_deviation == pytest.approx(np.std(np.array([2, 1, -1, 0]) * 4 / 6, ddof=1))
    away = np.array([2 - 2 / 3, 1 - 2 / 3, -1 - 1 / 3, -1 / 3]) * 4 / 6
    assert effect.standard_error == pytest.approx(np.std(away, ddof=1) / 2) and effect.degrees_of_freedom == 3.0
    independent = 36 / (4 + 4 + 1 + 1)
    assert (effect.low, effect.high) == pytest.approx(tango(3 * independent / 6, independent / 6, independent))


def test_one_group_alone_has_no_scatter() -> None:
    effect = paired([1.0, 0.5], [0.0, 0.0], groups=["a", "a"])
    assert (effect.groups, effect.standard_deviation, effect.standard_error) == (1, 0.0, 0.0)
    assert (effect.degrees_of_freedom, effect.p) == (1.0, 1.0)


def test_what_is_flipped_are_sums_of_groups_on_the_scale_of_a_mean() -> None:
    row = np.array([1.0, 1.0, -1.0, 0.5, 0.0])
    assert flipped_units(row, None) is row
    assert flipped_units(row, ["a", "a", "b", "b", "c"]).tolist() == pytest.approx([2 * 0.6, -0.5 * 0.6, 0.0])


def test_the_smallest_p_counts_flips_of_units() -> None:
    """Groups where there are groups, differing items for McNemar's test, and never above 1."""
    graded = paired([0.5] * 12, [0.0] * 12, groups=[f"g{item // 3}" for item in range(12)])
    assert least_p(graded) == 2.0**-3
    assert least_p(replace(graded, groups=14)) == 2.0**-13 and least_p(replace(graded, groups=15)) == 1 / (DRAWS + 1)
    assert least_p(paired([1.0] * 4 + [0.0] * 30, [0.0] * 34)) == 2.0**-3
    assert least_p(paired([1.0] * 70, [0.0] * 70)) == 2.0**-59
    assert least_p(paired([1.0] * 3, [0.0] * 3), 10) == 1.0


def test_two_recipes_are_tested_with_the_variances_of_items_and_seeds() -> None:
    """Satterthwaite's t test written out: items, and the seeds of either recipe."""
    first, second = _graded(2, 3, 60, 0.2) + _levels(0.1, 0.0, 0.05), _graded(3, 4, 60) + _levels(0.0, 0.1, 0.02, 0.06)
    effect = paired_seeds(first, second)
    d = first.mean(axis=0) - second.mean(axis=0)
    parts = [
        (d.var(ddof=1) / 60, 59), (first.mean(axis=1).var(ddof=1) / 3, 2), (second.mean(axis=1).var(ddof=1) / 4, 3),
    ]  # fmt: skip
    variance = sum(value for value, _ in parts)
    freedom = variance**2 / sum(value**2 / k for value, k in parts)
    error = math.sqrt(variance)
    assert (effect.test, effect.n, effect.groups, effect.binary) == ("two-level", 60, 0, False)
    assert effect.value == pytest.approx(d.mean())
    assert (effect.standard_error, effect.degrees_of_freedom) == pytest.approx((error, freedom))
    assert effect.seed_error == pytest.approx(math.sqrt(parts[1][0] + parts[2][0]))
    assert effect.standard_deviation == pytest.approx(d.std(ddof=1))
    assert (effect.wins, effect.losses) == (int((d > 0).sum()), int((d < 0).sum()))
    by_t = 2 * student.sf(d.mean() / error, freedom)
    assert effect.p == pytest.approx(max(by_t, paired(first.mean(axis=0), second.mean(axis=0)).p))
    half = student.ppf(0.975, freedom) * error
    assert effect.low <= d.mean() - half + 1e-12 and effect.high >= d.mean() + half - 1e-12
    drawn = two_level_bootstrap(first, second)
    assert (effect.low, effect.high) == pytest.approx((min(d.mean() - half, drawn[0]), max(d.mean() + half, drawn[1])))
    turned = paired_seeds(second, first)
    assert (turned.value, turned.p, turned.standard_error) == pytest.approx((-effect.value, effect.p, error))


def test_the_t_test_decides_where_seeds_scatter() -> None:
    """The items alone leave no doubt at all; two seeds a recipe do."""
    noise = _graded(4, 1, 200) * 0.01
    first, second = noise + _levels(0.5, 0.6), noise[:, ::-1] + _levels(0.2, 0.4)
    effect = paired_seeds(first, second)
    d = first.mean(axis=0) - second.mean(axis=0)
    parts = [(d.var(ddof=1) / 200, 199), (0.1**2 / 4, 1), (0.2**2 / 4, 1)]
    variance = sum(value for value, _ in parts)
    freedom = variance**2 / sum(value**2 / k for value, k in parts)
    assert effect.p == pytest.approx(2 * student.sf(d.mean() / math.sqrt(variance), freedom), rel=1e-6)
    assert effect.p > 0.05 and effect.low < 0 < effect.high <= 1.0


def test_one_seed_against_several_has_the_seeds_of_one_side() -> None:
    first, second = _graded(6, 1, 40, 0.1), _graded(7, 3, 40)
    effect = paired_seeds(first, second)
    assert effect.test == "two-level"
    assert effect.seed_error == pytest.approx(math.sqrt(second.mean(axis=1).var(ddof=1) / 3))
    single = paired_seeds(first, second[:1])
    assert single == paired(first[0], second[0]) and single.test == "permutation"


def test_recipes_without_any_scatter_are_judged_by_their_items() -> None:
    effect = paired_seeds(np.full((2, 8), 0.75), np.full((2, 8), 0.25))
    assert (effect.value, effect.standard_error, effect.seed_error, effect.p) == (0.5, 0.0, 0.0, 2.0**-7)
    assert effect.degrees_of_freedom == 7.0


def test_recipes_take_the_options_of_the_test_over_items(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def seen(first: np.ndarray, second: np.ndarray, **options: object) -> Effect:
        asked.append(options)
        return Effect(0.1, 0.0, 0.2, 0.04, 10, "permutation", 5, 2, 0.1, 0.03, 9.0)

    monkeypatch.setattr(pairs, "paired", seen)
    options = {"seed": 7, "resamples": 50, "draws": 60, "groups": ["a"] * 5 + ["b"] * 5, "mid_p": True}
    for seeds in (1, 2):
        paired_seeds(np.full((seeds, 10), 0.5), np.full((seeds, 10), 0.25), **options)  # type: ignore[arg-type]
    assert asked == [options, options]


def test_an_interval_over_items_and_seeds_never_leaves_the_possible() -> None:
    first, second = np.ones((2, 6)), np.zeros((2, 6))
    first[0], second[1] = 0.6, 0.5
    effect = paired_seeds(first, second)
    assert effect.high == 1.0 and paired_seeds(second, first).low == -1.0


def test_seeds_and_groups_of_alike_items_give_what_single_items_give() -> None:
    first, second = _graded(8, 2, 20, 0.1), _graded(9, 3, 20)
    names = [f"g{item // 4}" for item in range(80)]
    repeated = np.repeat(first, 4, axis=1), np.repeat(second, 4, axis=1)
    assert two_level_bootstrap(*repeated, groups=names, seed=3) == pytest.approx(
        two_level_bootstrap(first, second, seed=3)
    )
    alone, grouped = paired_seeds(first, second), paired_seeds(*repeated, groups=names)
    assert (grouped.groups, grouped.n) == (20, 80)
    assert (grouped.standard_error, grouped.degrees_of_freedom) == pytest.approx(
        (alone.standard_error, alone.degrees_of_freedom)
    )


def test_the_two_level_bootstrap_is_normal_for_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends lie 1.96 standard errors from the mean; in one batch or in several."""
    first, second = _graded(10, 1, 150, 0.1), _graded(11, 1, 150)
    d = first[0] - second[0]
    error = d.std() / math.sqrt(150)
    for cells in (10_000_000, 150 * 700):
        monkeypatch.setattr(pairs, "MAX_CELLS", cells)
        low, high = two_level_bootstrap(first, second, resamples=6000)
        assert (low - d.mean()) / error == pytest.approx(-Z, abs=0.1)
        assert (high - d.mean()) / error == pytest.approx(Z, abs=0.1)


def test_the_bootstrap_of_seeds_scatters_as_their_mean_does() -> None:
    """Twelve seeds and items that do not scatter: the standard error is that of a mean of twelve, with n - 1."""
    levels = np.linspace(0.2, 0.6, 12)[:, None]
    low, high = two_level_bootstrap(levels + np.zeros((12, 5)), np.full((1, 5), 0.1), resamples=6000)
    error = levels.std(ddof=1) / math.sqrt(12)
    assert (low, high) == pytest.approx((0.3 - Z * error, 0.3 + Z * error), abs=0.15 * error)


def test_corrected_p_values_never_fall_behind_a_smaller_one() -> None:
    """By hand: 5·.01, 4·.012 (raised to .05), 3·.03, 2·.04 (raised to .09), 1·.9."""
    assert holm([0.04, 0.01, 0.9, 0.012, 0.03]) == pytest.approx((0.09, 0.05, 0.9, 0.05, 0.09))


def test_numbers_that_cannot_be_are_refused() -> None:
    for numbers in ((-1, 3, 0, 1), (0, 3, 2, 1), (0, 3, -1, 1), (4, 3, 0, 1)):
        with pytest.raises(DataError, match="more right predictions than items"):
            fisher(*numbers)
    assert fisher(0, 0, 1, 1) == 1.0
    assert fisher(2, 2, 0, 2) == pytest.approx(2 / 6)
