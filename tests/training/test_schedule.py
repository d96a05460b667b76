"""The learning rate of a step."""

from __future__ import annotations

import pytest

from terakoya.config import TrainConfig
from terakoya.training.schedule import decay_steps, learning_rate_scale, warmup_steps


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one-cycle"])
def test_the_learning_rate_rises_to_its_peak_and_never_again(schedule: str) -> None:
    rates = [learning_rate_scale(step, 100, schedule, 10) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert all(0 < value <= 1 for value in rates)


def test_one_cycle_ends_near_zero_and_cosine_at_a_tenth() -> None:
    assert learning_rate_scale(999, 1000, "one-cycle", 0) == pytest.approx(1e-3, rel=0.01)
    assert learning_rate_scale(999, 1000, "cosine", 0) == pytest.approx(0.1, rel=0.01)


def test_warmup_is_a_share_below_one_and_steps_from_one_on() -> None:
    assert warmup_steps(TrainConfig(warmup=0.1), 200) == 20
    assert warmup_steps(TrainConfig(warmup=30), 200) == 30
    assert warmup_steps(TrainConfig(warmup=0.0), 200) == 0


def test_wsd_holds_the_peak_and_falls_in_its_last_steps() -> None:
    """Hägele et al. (2024): linear warm-up, a constant peak, 1 - sqrt."""
    rates = [learning_rate_scale(step, 100, "wsd", 10, 20) for step in range(100)]
    assert rates[:10] == [pytest.approx((step + 1) / 10) for step in range(10)]
    assert set(rates[10:81]) == {1.0}
    assert rates[85] == pytest.approx(1 - 0.25**0.5)
    assert rates[80:] == sorted(set(rates[80:]), reverse=True)
    assert 0 < rates[99] < 0.03


def test_a_shortened_wsd_falls_as_it_would_have_fallen_later() -> None:
    whole = [learning_rate_scale(step, 100, "wsd", 10, 20) for step in range(100)]
    shortened = [learning_rate_scale(step, 50, "wsd", 10, 20) for step in range(50)]
    assert shortened[:30] == whole[:30]
    assert shortened[30:] == whole[80:]


def test_the_decay_is_a_share_below_one_steps_from_one_on_and_no_longer_than_the_training() -> None:
    assert decay_steps(TrainConfig(decay=0.2), 200) == 40
    assert decay_steps(TrainConfig(decay=30), 200) == 30
    assert decay_steps(TrainConfig(decay=500), 200) == 200
    assert decay_steps(TrainConfig(decay=0.001), 200) == 1
