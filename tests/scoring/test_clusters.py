"""Items that belong together are resampled, permuted and counted in whole groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from terakoya.errors import DataError
from terakoya.scoring.statistics.intervals import mean_interval, wilson
from terakoya.scoring.statistics.paired import flipped_units, mcnemar, paired, paired_seeds, two_level_bootstrap
from terakoya.scoring.statistics.power import binary_power, detectable_difference, graded_power, items_needed
from terakoya.scoring.statistics.verdict import verdict


def _alike(size: int, groups: int, seed: int, shares: tuple[float, ...]) -> tuple[np.ndarray, list[str]]:
    """Scores (systems, items): the items of a group are all right or all wrong."""
    drawn = np.random.default_rng(seed).random((len(shares), groups))
    scores = np.repeat((drawn < np.array(shares)[:, None]) * 1.0, size, axis=1)
    return scores, [f"g{item // size}" for item in range(size * groups)]


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_model_as_good_as_its_baseline_is_not_called_learned_for_grouped_items(size: int) -> None:
    """Taken as independent, items in groups of 2, 3 and 7 made it learned in 8, 13 and 25 of 100 cases."""
    found = {True: 0, False: 0}
    for seed in range(200):
        scores, names = _alike(size, 60, seed, (0.5, 0.5))
        for grouped in found:
            effect = paired(*scores, seed=seed, draws=400, resamples=100, groups=names if grouped else None)
            found[grouped] += effect.low > 0
    assert found[True] <= 12  # 2.5% of 200 and three standard errors
    assert found[False] > found[True]


def test_groups_of_one_give_what_ungrouped_items_give() -> None:
    scores = np.random.default_rng(1).random((2, 60)).round(1)
    names = [f"item {number}" for number in range(60)]
    assert paired(*scores, groups=names) == paired(*scores) == paired(*scores, groups=[""] * 60)
    assert mean_interval(scores[0], groups=names) == mean_interval(scores[0])
    right = (scores > 0.5) * 1.0
    assert paired(*right, groups=names) == paired(*right)
    assert paired(*right).p == mcnemar(paired(*right).wins, paired(*right).losses)


def test_a_share_of_grouped_items_has_the_interval_of_its_groups() -> None:
    """Thirty answers asked ten times each are thirty answers."""
    scores, names = _alike(10, 30, 3, (0.6,))
    found = mean_interval(scores[0], groups=names)
    low, high = wilson(scores[0][::10].sum(), 30)
    assert (found.n, found.groups) == (300, 30)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)
    all_right = mean_interval(np.ones(300), groups=names)
    assert all_right.low == pytest.approx(wilson(30, 30)[0])


def test_power_counts_groups_and_says_items() -> None:
    scores, names = _alike(3, 100, 5, (0.55, 0.4))
    alone = paired(scores[0][::3], scores[1][::3])
    effect = paired(*scores, groups=names)
    assert effect.groups == effect.units == 100
    assert detectable_difference(effect) == pytest.approx(
        detectable_difference(replace(alone, test="permutation")), abs=0.03
    )
    needed = items_needed(effect, 0.1)
    assert needed is not None
    assert graded_power(needed // 3 + 1, 0.1, effect.standard_deviation) >= 0.79


def test_power_of_grouped_items_is_what_the_test_finds() -> None:
    found, computed = 0, list[float]()
    for seed in range(150):
        scores, names = _alike(3, 90, seed, (0.6, 0.4))
        effect = paired(*scores, seed=seed, draws=400, resamples=100, groups=names)
        found += effect.p <= 0.05 and effect.value > 0
        if seed < 20:
            units = flipped_units(scores[0] - scores[1], names)
            computed.append(detectable_difference(effect, differences=units))
    assert np.mean(computed) == pytest.approx(0.215, abs=0.02)  # McNemar's on 90 items that differ in 52%
    assert found / 150 == pytest.approx(binary_power(90, 0.2, 0.52), abs=0.1)


def test_seeds_and_groups_are_resampled_together() -> None:
    scores, names = _alike(4, 25, 2, (0.6, 0.55, 0.5, 0.45))
    grouped = paired_seeds(scores[:2], scores[2:], groups=names)
    alone = paired_seeds(scores[:2], scores[2:])
    assert grouped.groups == 25
    assert grouped.standard_error > alone.standard_error
    low, high = two_level_bootstrap(scores[:2], scores[2:], groups=names)
    narrow = two_level_bootstrap(scores[:2], scores[2:])
    assert high - low > narrow[1] - narrow[0]


def test_a_verdict_says_in_how_many_groups_its_items_lie() -> None:
    scores, names = _alike(3, 40, 0, (0.9, 0.2))
    made = verdict(scores[0], {"constant": scores[1]}, groups=names)
    assert made.groups == 40
    assert "120 items in 40 groups" in made.words()
    assert "40組の120問" in made.words("ja")


def test_every_item_needs_a_group() -> None:
    with pytest.raises(DataError, match="2 groups for 3 items"):
        mean_interval([0.0, 1.0, 1.0], groups=["a", "b"])


@pytest.mark.parametrize(("size", "groups"), [(3, 14), (7, 28)])
def test_a_gain_that_is_there_is_not_ruled_out_for_grouped_items(size: int, groups: int) -> None:
    """The bootstrap of a dozen groups was too short: the upper bound lay below the true gain in 4 to 7 of 100 cases."""
    below = 0
    for seed in range(400):
        scores, names = _alike(size, groups, seed, (0.5, 0.4))
        below += paired(*scores, seed=seed, draws=100, resamples=100, groups=names).high < 0.1
    assert below <= 19  # 2.5% of 400 and three standard errors


def test_groups_that_all_differ_alike_have_an_interval() -> None:
    effect = paired([1.0] * 12, [0.0] * 12, groups=[f"g{item // 2}" for item in range(12)])
    assert effect.value == 1
    assert 0 < effect.low < effect.high <= 1
