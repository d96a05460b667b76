"""The short form of benchmarks/teacher_torture.py: killed twenty times, nothing sold is lost or bought twice."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from teacher_torture import torture


def test_a_generation_killed_at_random_moments_loses_nothing_and_pays_once(tmp_path: Path) -> None:
    """The log lost 401 paid answers in one crash. `make torture-teacher` kills a thousand times."""
    tally = torture(kills=20, minutes=1.5, place=tmp_path, seed=1)
    assert tally.kills >= 20
    assert tally.kept > 0
    assert tally.broken == 0, tally
