"""The short form of benchmarks/faults/training_crash_tests.py: killed, resumed, and the same bits in the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.reporting import ROOT


@pytest.mark.parametrize("family", ["text", "labels"])
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(family: str) -> None:
    """P11 and P12. In a process of its own, which forks before torch has started a thread; `make crash-training` kills
    five hundred times, over every family of models."""
    command = [sys.executable, "-m", "benchmarks.faults.training_crash_tests", "--kills", "2", "--minutes", "3"]
    ended = subprocess.run([*command, "--families", family], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "kills=2" in ended.stdout
