"""Power: what an exam can show, checked by simulation (the full check is benchmarks/quality/comparison.py)."""

from __future__ import annotations

import numpy as np
import pytest

from terakoya.scoring.statistics.paired import mcnemar, paired, permutation_p
from terakoya.scoring.statistics.power import (
    binary_power,
    detectable_difference,
    graded_power,
    items_needed,
    planned_power,
    simulated_power,
    two_digits,
)


@pytest.mark.parametrize(("n", "gain", "share"), [(10, 0.5, 0.5), (40, 0.175, 0.475), (300, 0.06, 0.1)])
def test_binary_power_is_what_simulation_sees(n: int, gain: float, share: float) -> None:
    """Computed power within two points, or the number of items asked for is a guess."""
    shares = [(share + gain) / 2, (share - gain) / 2, 1 - share]
    drawn = np.random.default_rng(n).multinomial(n, shares, 8000)
    found = np.mean([wins > losses and mcnemar(wins, losses) <= 0.05 for wins, losses, _ in drawn.tolist()])
    assert binary_power(n, gain, share) == pytest.approx(found, abs=0.02)


def test_graded_power_is_what_simulation_sees() -> None:
    """The same for Jaccard and its like, by formula where items are many and by sampling where they are few."""
    rng = np.random.default_rng(0)
    world = np.clip(rng.normal(0.06, 0.3, 200_000), -1, 1) * (rng.random(200_000) < 0.6)
    for n in (12, 160):
        drawn = rng.choice(world, (4000, n))
        found = float(((permutation_p(drawn, draws=1000) <= 0.05) & (drawn.sum(axis=1) > 0)).mean())
        assert simulated_power(world, n) == pytest.approx(found, abs=0.025)
    formula = graded_power(160, float(world.mean()), float(world.std()), 0.6)
    assert formula == pytest.approx(found, abs=0.025)


def test_five_items_can_never_show_anything() -> None:
    """Even five of five gives p = .0625: no formula may promise otherwise."""
    assert binary_power(5, 1.0, 1.0) == 0.0
    assert graded_power(5, 0.9, 0.1) == 0.0
    assert binary_power(6, 1.0, 1.0) == pytest.approx(1.0)


def test_needed_and_detectable_are_inverse_to_each_other() -> None:
    """With the items that are said to be needed, the difference is the smallest that shows."""
    first = np.r_[np.ones(30), np.zeros(70)]
    second = np.r_[np.ones(12), np.zeros(18), np.ones(8), np.zeros(62)]
    effect = paired(first, second)
    count = items_needed(effect, 0.05)
    assert count is not None
    assert binary_power(count, 0.05, 0.26) >= 0.8
    assert binary_power(count - 1, 0.05, 0.26) < 0.8
    assert binary_power(effect.n, detectable_difference(effect), 0.26) == pytest.approx(0.8, abs=0.02)
    assert items_needed(effect, 0.0) is None


def test_roughly_keeps_two_figures() -> None:
    """388 items are "about 390"; 7 are 7."""
    assert [two_digits(n) for n in (7, 42, 388, 12_345)] == [7, 42, 390, 12_000]


def test_small_graded_exams_are_planned_by_sampling() -> None:
    """At ten items the formula promises more than the test finds; what comparisons plan with does not."""
    rng = np.random.default_rng(5)
    skill = rng.beta(1.5, 2.0, (4000, 10))
    wanted = rng.integers(1, 6, (2, 4000, 10))
    right = rng.binomial(wanted, np.clip(np.stack([skill + 0.35, skill]), 0, 1))
    first, second = right / (2 * wanted - right)
    d = first - second
    found = float(((permutation_p(d) <= 0.05) & (d.sum(axis=1) > 0)).mean())
    world = d.ravel()
    planned = planned_power(world, 10, float(world.mean()))
    formula = graded_power(10, float(world.mean()), float(world.std()), float((world != 0).mean()))
    assert abs(planned - found) <= 0.03  # two standard errors of either side
    assert formula - found > 0.03


def test_planned_power_grows_with_the_gain_and_is_the_formula_in_large_exams() -> None:
    """Moving the differences moves the power; from the joint on no draws are needed."""
    rng = np.random.default_rng(6)
    seen = np.where(rng.random(40) < 0.6, rng.choice([-0.5, 0.25, 0.5], 40), 0.0)
    powers = [planned_power(seen, 20, gain) for gain in (0.0, 0.1, 0.2, 0.4)]
    assert powers == sorted(powers) and powers[0] == 0 and powers[-1] > 0.9
    differ = float((seen != 0).mean())
    assert planned_power(seen, 200, 0.1) == graded_power(200, 0.1, float(seen.std(ddof=1)), differ)
    effect = paired(seen, np.zeros(40))
    edge = detectable_difference(effect, differences=seen)
    assert planned_power(seen, 40, edge) == pytest.approx(0.8, abs=0.03)
