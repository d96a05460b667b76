"""Power against its definition, written out with scipy's distributions: every sum, level and search."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, nct, norm
from scipy.stats import t as student

from terakoya.scoring.statistics import power as powers
from terakoya.scoring.statistics.paired import Effect, paired, paired_seeds
from terakoya.scoring.statistics.power import (
    binary_power,
    detectable_difference,
    graded_power,
    items_needed,
    planned_power,
    power_t,
    simulated_power,
    two_digits,
)


@cache
def _most_losses(n: int, alpha: float) -> np.ndarray:
    """Of every number of differing items the largest number of losses with which the test rejects; -1 for none."""
    counts = np.arange(n + 1)
    rejecting = 2 * binom.cdf(counts[None, :], counts[:, None], 0.5) <= alpha
    return np.asarray(rejecting.sum(axis=1) - 1)


def _mcnemar_power(n: int, gain: float, share: float, alpha: float = 0.05) -> float:
    """The probability of every number of differing items and of few enough losses among them."""
    counts = np.arange(n + 1)
    losing = binom.cdf(_most_losses(n, alpha), counts, (share - gain) / (2 * share))
    return float((binom.pmf(counts, n, share) * losing).sum())


def _flip_power(n: int, gain: float, spread: float, share: float, alpha: float = 0.05) -> float:
    """Student's noncentral t for every number of differing items, at the level that their flips attain."""
    counts = np.arange(2, n + 1)
    flips = 2.0 ** np.minimum(counts - 1, 50)
    level = np.floor(alpha * flips) / flips
    counts, level = counts[level > 0], level[level > 0]
    mean = gain / share
    deviation = math.sqrt((spread**2 + gain**2) / share - mean**2)
    edge = student.ppf(1 - level / 2, counts - 1)
    found = nct.sf(edge, counts - 1, mean / deviation * np.sqrt(counts))
    return float((binom.pmf(counts, n, share) * np.where(np.isnan(found), 1.0, found)).sum())


def _effect(n: int, deviation: float, **changes: float) -> Effect:
    """An effect of a graded metric of which all items differ."""
    parts = {"error": deviation / math.sqrt(n), "freedom": n - 1.0, "seed_error": 0.0, "groups": 0} | changes
    return Effect(
        0.1, 0.0, 0.2, 0.04, n, "permutation", n, 0, deviation, parts["error"], parts["freedom"], parts["seed_error"],
        int(parts["groups"]),
    )  # fmt: skip


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize(("n", "gain", "share"), [(8, 0.6, 0.7), (20, 0.3, 0.5), (33, 0.2, 0.2), (60, 0.15, 0.9)])
def test_binary_power_is_the_sum_over_all_outcomes(n: int, gain: float, share: float, alpha: float) -> None:
    expected = _mcnemar_power(n, gain, share, alpha)
    assert binary_power(n, gain, share, alpha) == pytest.approx(expected, abs=1e-9)
    assert binary_power(n, -gain, share, alpha) == pytest.approx(expected, abs=1e-9)


def test_binary_power_knows_that_a_gain_needs_items_that_differ() -> None:
    """A share of differing items below the gain is raised to it; where nothing differs nothing is found."""
    assert binary_power(20, 0.4, 0.1) == pytest.approx(_mcnemar_power(20, 0.4, 0.4), abs=1e-9)
    assert binary_power(20, 0.0, 0.0) == 0.0
    assert binary_power(20, 0.4, 7.0) == pytest.approx(_mcnemar_power(20, 0.4, 1.0), abs=1e-9)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize(
    ("n", "gain", "spread", "share"), [(20, 0.2, 0.3, 0.6), (40, 0.1, 0.25, 1.0), (90, 0.05, 0.2, 0.3)]
)
def test_graded_power_is_the_sum_over_differing_items(
    n: int, gain: float, spread: float, share: float, alpha: float
) -> None:
    expected = _flip_power(n, gain, spread, share, alpha)
    assert graded_power(n, gain, spread, share, alpha) == pytest.approx(expected, abs=1e-6)
    assert graded_power(n, -gain, spread, share, alpha) == pytest.approx(expected, abs=1e-6)


def test_graded_power_of_many_items_is_the_t_tests() -> None:
    expected = nct.sf(student.ppf(0.975, 299), 299, 0.05 / (0.3 / math.sqrt(300)))
    assert graded_power(300, 0.05, 0.3) == pytest.approx(expected, abs=1e-9)


def test_fewer_differing_items_than_their_scatter_allows_are_not_believed() -> None:
    """A gain of 0.3 that scatters by 0.3 needs half of the items to differ."""
    assert graded_power(20, 0.3, 0.3, 0.1) == graded_power(20, 0.3, 0.3, 0.5)


def test_graded_power_at_its_edges() -> None:
    """Differences that do not scatter are found as soon as all flips can reach the level, with six items."""
    assert [graded_power(n, 0.1, 0.0) for n in (1, 2, 5, 6, 100)] == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert [graded_power(n, 0.1, 0.0, alpha=0.01) for n in (7, 8)] == [0.0, 1.0]
    assert graded_power(50, 0.0, 0.3) == graded_power(50, 0.0, 0.0) == 0.0
    assert graded_power(1, 0.5, 0.3) == 0.0
    assert graded_power(20, 0.5, 0.001) == pytest.approx(1.0)


def test_power_of_a_t_test_is_the_noncentral_ts() -> None:
    for freedom, alpha in ((3.0, 0.05), (12.5, 0.05), (40.0, 0.01), (500.0, 0.05)):
        expected = nct.sf(student.ppf(1 - alpha / 2, freedom), freedom, 0.3 / 0.12)
        assert power_t(0.3, 0.12, freedom, alpha) == pytest.approx(expected, abs=1e-8)
        assert power_t(-0.3, 0.12, freedom, alpha) == pytest.approx(expected, abs=1e-8)
    many = norm.cdf(2.5 - student.ppf(0.975, 2000))
    assert power_t(0.3, 0.12, 2000) == pytest.approx(many, abs=1e-9)
    assert power_t(0.0, 0.12, 10) == pytest.approx(0.025)
    assert power_t(40.0, 1.0, 5) == 1.0


def test_power_of_a_t_test_at_its_edges() -> None:
    assert [power_t(0.1, 0.0, 5), power_t(-0.1, 0.0, 5), power_t(0.0, 0.0, 5)] == [1.0, 1.0, 0.0]
    assert [power_t(0.1, 0.0, 0), power_t(0.1, 0.2, 0)] == [0.0, 0.0]


@pytest.mark.parametrize(("alpha", "least"), [(0.05, 6), (0.01, 8)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_simulated_power_is_the_chance_of_enough_wins(alpha: float, least: int, sign: float) -> None:
    """Differences of one sign: the test finds them as soon as there are six (eight at the level .01)."""
    pilot = [sign] * 6 + [0.0] * 4
    found = simulated_power(pilot, 12, alpha, simulations=1000, seed=3)
    assert found == pytest.approx(binom.sf(least - 1, 12, 0.6), abs=0.05)
    assert found * 1000 == pytest.approx(round(found * 1000))
    assert simulated_power(pilot, least - 1, alpha, simulations=50) == 0.0
    assert simulated_power([sign], least, alpha, simulations=50) == 1.0


def test_simulated_power_counts_the_true_direction_only() -> None:
    """Differences that are nearly balanced are found in either direction; only one of them counts."""
    pilot = [1.0] * 51 + [-1.0] * 50
    assert simulated_power(pilot, 12, simulations=2000) == pytest.approx(_mcnemar_power(12, 1 / 101, 1.0), abs=0.012)


def test_power_is_planned_with_differences_around_the_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: .2 and .6 lie .2 around their mean, stretched by the root of 4/3; half of the items differ."""
    asked: list[tuple[list[float], int, float, int]] = []

    def simulated(differences: np.ndarray, n: int, alpha: float, *, simulations: int) -> float:
        asked.append((differences.tolist(), n, alpha, simulations))
        return 0.5

    monkeypatch.setattr(powers, "simulated_power", simulated)
    for gain in (0.3, -0.3):
        assert planned_power([0.0, 0.2, 0.6, 0.0], 30, gain, 0.01, simulations=70) == 0.5
    assert planned_power([0.0, 0.2, 0.6, 0.0], 30, 0.0) == 0.0
    away = 0.2 * math.sqrt(4 / 3)
    assert [one[1:] for one in asked[:2]] == [(30, 0.01, 70)] * 2
    for one in asked[:2]:
        assert one[0] == pytest.approx([0.0, 0.6 - away, 0.6 + away, 0.0])


def test_power_is_planned_by_the_formula_where_nothing_can_be_drawn() -> None:
    """From eighty items on, of one difference alone, and of items that all agree."""
    seen = [0.0, 0.2, 0.6, 0.0]
    spread = math.sqrt((2 * 0.2**2 + 0.0**2 + 0.4**2) / 3)
    assert planned_power(seen, 80, 0.1, 0.01) == pytest.approx(_flip_power(80, 0.1, spread, 0.5, 0.01), abs=1e-6)
    assert [planned_power([0.3], n, 0.1) for n in (5, 6, 79)] == [0.0, 1.0, 1.0]
    assert [planned_power([0.0] * 9, n, 0.1) for n in (5, 6)] == [0.0, 1.0]


def _reaches(power: Callable[[float], float], found: float, *, step: float = 1e-6) -> bool:
    """Whether a difference has power .8, and hardly a smaller one has not."""
    return power(found) >= 0.8 - 1e-6 and power(found - step) < 0.8


def test_the_detectable_difference_of_right_and_wrong_has_power_four_fifths() -> None:
    effect = paired([1.0] * 20 + [0.0] * 20, [1.0] * 8 + [0.0] * 24 + [1.0] * 8)
    assert (effect.wins, effect.losses, effect.n) == (12, 8, 40)
    for alpha in (0.05, 0.01):
        found = detectable_difference(effect, alpha)
        assert _reaches(lambda gain, alpha=alpha: _mcnemar_power(40, gain, max(gain, 0.5), alpha), found)
    assert detectable_difference(paired([1.0] * 5, [0.0] * 5)) == 1.0


def test_the_detectable_difference_of_graded_scores_has_power_four_fifths() -> None:
    effect = _effect(100, 0.3)
    assert _reaches(lambda gain: _flip_power(100, gain, 0.3, 1.0), detectable_difference(effect))
    assert _reaches(lambda gain: _flip_power(100, gain, 0.3, 1.0, 0.01), detectable_difference(effect, 0.01))
    half = Effect(0.1, 0, 0.2, 0.04, 100, "permutation", 30, 20, 0.3, 0.03, 99.0)
    assert _reaches(lambda gain: _flip_power(100, gain, 0.3, max(0.5, gain**2 / (0.09 + gain**2))),
                    detectable_difference(half))  # fmt: skip


def test_the_detectable_difference_counts_what_seeds_scatter() -> None:
    """The errors of items and seeds are added as variances; fewer than six items show nothing."""
    effect = _effect(50, 0.3, seed_error=0.04, freedom=7.0)
    error = math.hypot(0.3 / math.sqrt(50), 0.04)
    for alpha in (0.05, 0.01):
        edge = student.ppf(1 - alpha / 2, 7)
        found = detectable_difference(effect, alpha)
        assert nct.sf(edge, 7, found / error) == pytest.approx(0.8, abs=1e-6)
    assert detectable_difference(effect, differences=np.full(50, 0.1)) == pytest.approx(
        detectable_difference(effect), abs=1e-3
    )
    assert detectable_difference(_effect(5, 0.1, seed_error=0.01, freedom=7.0)) == 1.0
    six = detectable_difference(_effect(6, 0.1, seed_error=0.01, freedom=7.0))
    assert nct.sf(student.ppf(0.975, 7), 7, six / math.hypot(0.1 / math.sqrt(6), 0.01)) == pytest.approx(0.8, abs=1e-6)


def test_groups_that_are_right_or_wrong_as_a_whole_are_planned_by_mcnemar() -> None:
    """One hundred groups of two items: their test is that of one hundred items, not that of graded scores."""
    units = np.r_[np.ones(30), -np.ones(20), np.zeros(50)]
    names = [f"g{item // 2}" for item in range(200)]
    effect = paired(np.repeat(np.maximum(units, 0), 2), np.repeat(np.maximum(-units, 0), 2), groups=names)
    assert effect.groups == 100
    found = detectable_difference(effect, differences=units)
    assert _reaches(lambda gain: _mcnemar_power(100, gain, max(gain, 0.5)), found)
    graded = detectable_difference(effect, differences=units * 0.5)
    assert _reaches(lambda gain: _flip_power(100, gain, effect.standard_deviation, 0.5), graded)
    alone = detectable_difference(effect)
    assert _reaches(lambda gain: _flip_power(100, gain, effect.standard_deviation, 1.0), alone)


def test_small_graded_exams_are_planned_with_the_differences_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below eighty items by simulation, unless the differences are not known; ten halvings are enough."""
    asked: list[tuple[int, float, float]] = []

    def planned(differences: np.ndarray, n: int, gain: float, alpha: float, *, simulations: int) -> float:
        assert differences.tolist() == [0.25] * 30 and simulations == 2000
        asked.append((n, gain, alpha))
        return float(gain > 0.3)

    monkeypatch.setattr(powers, "planned_power", planned)
    found = detectable_difference(_effect(30, 0.2), 0.02, differences=np.full(30, 0.25))
    assert found == pytest.approx(0.3, abs=1 / 1024)
    assert len(asked) == 11 and {(n, alpha) for n, _gain, alpha in asked} == {(30, 0.02)}
    asked.clear()
    detectable_difference(_effect(80, 0.2), differences=np.full(30, 0.25))
    detectable_difference(_effect(30, 0.2))
    assert not asked


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_items_needed_are_the_fewest_that_have_power_four_fifths(alpha: float) -> None:
    count = items_needed(_effect(40, 0.3), 0.1, alpha)
    assert count is not None and items_needed(_effect(40, 0.3), -0.1, alpha) == count
    assert _flip_power(count - 1, 0.1, 0.3, 1.0, alpha) < 0.8 <= _flip_power(count, 0.1, 0.3, 1.0, alpha)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_items_needed_for_right_and_wrong(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(powers, "MAX_ITEMS", 5000)
    count = items_needed(paired([1.0] * 20, [1.0] * 6 + [0.0] * 14), 0.4, alpha)
    assert count is not None
    assert _mcnemar_power(count - 1, 0.4, 0.7, alpha) < 0.8 <= _mcnemar_power(count, 0.4, 0.7, alpha)


def test_items_needed_in_groups_are_groups_of_the_same_size() -> None:
    """So many groups are needed as independent items would be, each with 2.5 items."""
    effect = _effect(100, 0.3, groups=40)
    alone = items_needed(_effect(40, 0.3), 0.1)
    assert alone is not None and items_needed(effect, 0.1) == math.ceil(alone * 2.5)
    assert items_needed(_effect(101, 0.3, groups=40), 0.1) == math.ceil(alone * 101 / 40)


def test_no_number_of_items_helps_where_seeds_scatter_too_much() -> None:
    """With as many items as one likes the error of the seeds is left: a t test of it decides."""
    error = 0.04
    edge = student.ppf(0.975, 5)
    least = next(gain / 1000 for gain in range(1, 999) if nct.sf(edge, 5, gain / 1000 / error) >= 0.8)
    effect = _effect(50, 0.3, seed_error=error, freedom=5.0)
    assert items_needed(effect, least - 0.001) is None
    count = items_needed(effect, least + 0.02)
    assert count is not None
    for items, enough in ((count, True), (count - 1, False)):
        shift = (least + 0.02) / math.hypot(0.3 / math.sqrt(items), error)
        assert (nct.sf(edge, 5, shift) >= 0.8) == enough
    assert items_needed(_effect(50, 0.3), 1e-6) is None
    assert items_needed(_effect(50, 0.3), 0.0) is None


def test_items_that_all_differ_alike_are_planned_by_mcnemar() -> None:
    """Without any scatter there is no t test: six items of one sign are enough."""
    effect = paired([0.75] * 20, [0.25] * 20)
    assert (effect.test, effect.standard_deviation) == ("permutation", 0.0)
    assert items_needed(effect, 1.0) == 6


def test_power_of_seeds_is_planned_with_what_was_estimated() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.random((3, 60)) * 0.6 + 0.3, rng.random((2, 60)) * 0.6
    effect = paired_seeds(first, second)
    error = math.hypot(effect.standard_deviation / math.sqrt(60), effect.seed_error)
    edge = student.ppf(0.975, effect.degrees_of_freedom)
    assert error == pytest.approx(effect.standard_error)
    found = detectable_difference(effect)
    assert nct.sf(edge, effect.degrees_of_freedom, found / error) == pytest.approx(0.8, abs=1e-6)


def test_numbers_of_items_are_rounded_to_the_nearest_two_digits() -> None:
    assert [two_digits(n) for n in (0, 9, 10, 99, 100, 104, 106, 999, 12_499, 12_501)] == [
        0, 9, 10, 99, 100, 100, 110, 1000, 12_000, 13_000,
    ]  # fmt: skip
