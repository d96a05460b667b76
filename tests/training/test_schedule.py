"""The learning rate of a step."""

from __future__ import annotations

import pytest

from terakoya.config import TrainConfig
from terakoya.training.schedule import learning_rate_scale, warmup_steps


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
