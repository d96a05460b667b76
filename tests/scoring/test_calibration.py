"""Calibration: whether confidence is worth anything."""

from __future__ import annotations

from random import Random

import pytest

from terakoya.errors import DataError
from terakoya.scoring.statistics.calibration import calibration


def test_calibrated_confidences_have_nearly_no_error_and_overconfident_ones_have() -> None:
    """80% sure should be right four times in five."""
    rng = Random(0)
    stated = [rng.random() for _ in range(20_000)]
    calibrated = calibration(stated, [rng.random() < p for p in stated])
    overconfident = calibration([0.99] * 1000, [i % 2 == 0 for i in range(1000)])
    assert calibrated is not None
    assert overconfident is not None
    assert calibrated.error < 0.02
    assert overconfident.error == pytest.approx(0.49)
    assert overconfident.brier == pytest.approx((0.01**2 + 0.99**2) / 2)


def test_bins_hold_equally_many_predictions_and_say_how_many() -> None:
    """A bin of two predictions is an anecdote."""
    made = calibration([i / 100 for i in range(100)], [i > 50 for i in range(100)])
    assert made is not None
    assert [b.n for b in made.table] == [10] * 10
    assert all(b.low <= b.right <= b.high for b in made.table)
    few = calibration([0.1, 0.9, 0.8], [False, True, True])
    assert few is not None
    assert len(few.table) == 1


def test_predictions_without_a_probability_are_left_out_and_none_at_all_is_none() -> None:
    """Unknown is not 50%."""
    made = calibration([0.9, None], [True, False])
    assert made is not None
    assert made.n == 1
    assert calibration([None], [True]) is None
    with pytest.raises(DataError, match="no probability"):
        calibration([1.5], [True])
