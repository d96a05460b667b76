"""Memory that really runs out: a process under a limit on its address space."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

CHILD = Path(__file__).parent / "memory_child.py"
TIGHT = "150"  # MiB beyond what the process holds; a whole batch takes several times as much


def child(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(CHILD), *arguments], capture_output=True, text=True, timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_out_of_memory_is_an_error_that_names_what_fits(tmp_path: Path) -> None:
    """Neither the allocator's traceback nor the kernel's signal: the setting named was tried."""
    report = child("stop", TIGHT, str(tmp_path / "weights"))
    assert report["error"] == "out of memory with 32 rows at once"
    assert "train.batch_size = " in report["do"] and "train.accumulate = " in report["do"]
    assert "last checkpoint is sound" in report["saved"] and report["code"] == 2


def test_halving_under_a_real_limit_trains_the_same(tmp_path: Path) -> None:
    """The batch is computed in parts, the record says so; losses and weights are those without a limit."""
    unlimited, limited = (
        child("stop", "0", str(tmp_path / "unlimited")),
        child("halve", TIGHT, str(tmp_path / "limited")),
    )
    assert limited["steps"] == unlimited["steps"] == 2
    assert limited["parts"] and not unlimited["parts"]
    assert limited["losses"] == pytest.approx(unlimited["losses"], rel=1e-6) and len(unlimited["losses"]) == 2
    wanted, found = load_file(tmp_path / "unlimited"), load_file(tmp_path / "limited")
    assert wanted.keys() == found.keys()
    for name, weight in wanted.items():
        # Adam divides by the gradient's own size: where that is next to nothing, rounding decides a whole step.
        assert (found[name] - weight).norm() <= 1e-4 * weight.norm() + 1e-6, name


def test_predictions_under_a_real_limit_are_the_same() -> None:
    """A dev split evaluated after a step must not end a training that fits: it is predicted in smaller batches."""
    unlimited, limited = child("predict", "0"), child("predict", TIGHT)
    assert limited["predictions"] == unlimited["predictions"] and len(set(unlimited["predictions"])) > 5
    many = len(unlimited["predictions"])
    assert unlimited["sizes"] == [many] and limited["sizes"][:2] == [many, many // 2]
