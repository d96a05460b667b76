"""Every kind of fault is stopped at once and its cause named; a healthy run is not stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import FAULTS, HEALTHY, Fault, healthy, in_time, outcome, right


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_stopped_within_one_step_and_its_cause_named(fault: Fault, tmp_path: Path) -> None:
    """Lesson 1: the log needed two trials to take the wrong cause for the right one (all seeds: benchmarks)."""
    end = outcome(fault, 3, tmp_path)
    assert in_time(fault, end), end
    assert right(fault, end), end


@pytest.mark.parametrize("number", range(len(HEALTHY)), ids=lambda number: HEALTHY[number][0])
def test_a_healthy_run_is_never_stopped(number: int, tmp_path: Path) -> None:
    """A guard with false alarms is switched off, and then nothing watches."""
    assert healthy(number, 3, tmp_path) == []
