"""Memory that truly runs out: a process under a limit on its address space, and torch's own refusal."""

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
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_full_memory_is_a_refusal_that_names_what_fits(tmp_path: Path) -> None:
    """Not a traceback of the allocator's, and not the kernel's knife: the setting that fits was tried."""
    told = child("stop", TIGHT, str(tmp_path / "weights"))
    assert told["error"] == "out of memory with 32 rows at once"
    assert "train.batch_size = " in told["do"] and "train.accumulate = " in told["do"]
    assert "last checkpoint is sound" in told["saved"] and told["code"] == 2


def test_halving_under_a_real_limit_teaches_the_same(tmp_path: Path) -> None:
    """The batch is worked on in parts, the record says so; every loss and weight is that of a machine with room."""
    roomy, tight = child("stop", "0", str(tmp_path / "roomy")), child("halve", TIGHT, str(tmp_path / "tight"))
    assert tight["steps"] == roomy["steps"] == 2
    assert tight["parts"] and not roomy["parts"]
    assert tight["losses"] == pytest.approx(roomy["losses"], rel=1e-6) and len(roomy["losses"]) == 2
    wanted, found = load_file(tmp_path / "roomy"), load_file(tmp_path / "tight")
    assert wanted.keys() == found.keys()
    for name, weight in wanted.items():
        # Adam divides by the gradient's own size: where that is next to nothing, rounding decides a whole step.
        assert (found[name] - weight).norm() <= 1e-4 * weight.norm() + 1e-6, name


def test_questions_under_a_real_limit_get_the_same_answers() -> None:
    """A dev set asked after a step must not end a training that fits: it is asked in smaller parts."""
    roomy, tight = child("ask", "0"), child("ask", TIGHT)
    assert tight["answers"] == roomy["answers"] and len(set(roomy["answers"])) > 5
    many = len(roomy["answers"])
    assert roomy["sizes"] == [many] and tight["sizes"][:2] == [many, many // 2]
