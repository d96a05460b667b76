"""The short form of benchmarks/faults/disk_fault_injection.py: the order of calls on the disk, measured with strace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.faults.disk_fault_injection import (
    CALLS,
    FAULTS,
    KILLED,
    Tally,
    count_calls,
    early_requests,
    has_strace,
    inject,
    order_of,
    unordered_renames,
    violation,
)
from benchmarks.faults.disk_scenarios import SCENARIOS
from benchmarks.reporting import ROOT

pytestmark = pytest.mark.skipif(
    not has_strace(), reason="strace is missing, or may not trace here: scripts/install-tools.sh installs it"
)

GENERATION = """
import sys
from pathlib import Path
from faulty_server import ServerPlan, running
from benchmarks.faults.teacher_crash_tests import config_for
from terakoya.generation.generate import generate
with running(ServerPlan()) as server:
    place = Path(sys.argv[1])
    generate(config_for(server.url, 1), place / "work", place / "data.jsonl")
"""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_file_is_renamed_before_its_data_is_on_the_disk(scenario: str, tmp_path: Path) -> None:
    """A power failure after a rename must not find an empty file under the new name."""
    assert order_of(scenario, tmp_path) == []


def test_an_order_that_is_wrong_would_be_seen(tmp_path: Path) -> None:
    """The measure itself: a rename without fsync, and a folder that is not fsynced."""
    log = tmp_path / "log"
    log.write_text(f'7 write(3<{tmp_path}/.a.tmp>, "x", 1) = 1\n7 rename("{tmp_path}/.a.tmp", "{tmp_path}/a") = 0\n')
    assert len(unordered_renames(log, tmp_path)) == 2


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_call_that_fails_loses_nothing(scenario: str, tmp_path: Path) -> None:
    """EIO, ENOSPC and SIGKILL at one write, fsync and rename each; `make crash-tests` takes every one of them."""
    tally, rng = Tally(), Random(scenario)
    for calls in CALLS:
        for fault in FAULTS:
            if count := count_calls(scenario, calls, tmp_path):
                folder = tmp_path / f"{calls}-{fault}"
                code = inject(scenario, calls, fault, rng.randint(1, count), folder)
                tally.injected += 1
                tally.ended["killed"] += code in KILLED
                if wrong := violation(scenario, folder, code, fault):
                    tally.violations.append(f"{fault} at {calls}: {wrong}")
    assert tally.injected >= 6
    assert tally.ended["killed"] >= 1
    assert tally.violations == []


def test_no_request_leaves_before_its_intent_is_on_the_disk(tmp_path: Path) -> None:
    """P3, by the system calls of a real generation: fdatasync of the intent first, then the request on the socket."""
    log = tmp_path / "log"
    calls = "write,fdatasync,fsync,sendto,sendmsg,writev"
    ended = subprocess.run(
        ["strace", "-f", "-qq", "--seccomp-bpf", "-y", "-s", "300", "-o", str(log), "-e", f"trace={calls}",
         sys.executable, "-B", "-c", GENERATION, str(tmp_path)],
        cwd=ROOT, capture_output=True, check=False, text=True, env=_environment(),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    sent, early = early_requests(log)
    assert sent >= 80
    assert early == 0


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'generation'}"}
