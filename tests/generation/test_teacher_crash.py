"""The short form of benchmarks/faults/teacher_crash_tests.py: twenty kills, no paid response lost or repeated."""

from __future__ import annotations

from pathlib import Path

from benchmarks.faults.teacher_crash_tests import crash_test


def test_a_generation_killed_at_random_moments_loses_nothing_and_pays_once(tmp_path: Path) -> None:
    """The log lost 401 paid responses in one crash. `make crash-teacher` kills a thousand times."""
    tally = crash_test(kills=20, minutes=1.5, folder=tmp_path, seed=1)
    assert tally.kills >= 20
    assert tally.recorded > 0
    assert tally.violations == 0, tally
