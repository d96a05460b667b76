"""`terakoya run` under torchrun: one run, one exam, the losses of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sweep_records import TABLE

from terakoya.errors import ConfigError
from terakoya.pipeline import run as pipeline
from terakoya.runs import Index, Run
from terakoya.sweeps.run import sweep

# Ordinary dropout is drawn by each process for itself.
CONFIG = (
    '[task]\ndata = "words.csv"\n[model]\nbase = "tiny"\nwidth = 16\ndropout = 0.0\n'
    "[train]\nsteps = 60\nthreads = 1\nevaluate_every = 10\naccumulate = 2\n[score]\nresamples = 100\n"
)


def write_experiment(place: Path) -> Path:
    place.mkdir()
    (place / "words.csv").write_text(TABLE, encoding="utf-8")
    (place / "words.toml").write_text(CONFIG, encoding="utf-8")
    return place / "words.toml"


def start(experiment: Path, run_dir: Path, processes: int = 2) -> subprocess.Popen[str]:
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m")
    command = (*torchrun, "terakoya", "run", str(experiment), "--run-dir", str(run_dir), "--lang", "en")
    return subprocess.Popen(
        [sys.executable, *command], env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=500)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output[-3000:]
    return output


def kill_group(process: subprocess.Popen[str]) -> None:
    """torchrun puts its workers into sessions of their own."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children = [int(pid) for pid, parent in map(str.split, listed.splitlines()) if int(parent) == process.pid]
    for pid in (process.pid, *children):
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def steps(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]


def test_two_processes_make_one_run_with_the_losses_of_one_and_go_on_after_a_kill(tmp_path: Path) -> None:
    """The first process keeps run folder, exam and record; a killed torchrun is continued by torchrun."""
    experiment = write_experiment(tmp_path / "there")
    one = pipeline.run(str(experiment), run_dir=tmp_path / "one").folder
    process, two = start(experiment, tmp_path / "two"), tmp_path / "two"
    deadline = time.monotonic() + 300
    while not list(two.glob("*/checkpoints/[0-9]*/state.json")):  # not `.tmp-…`, which is being written
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.02)
    kill_group(process)
    (run,) = [path.parent for path in two.glob("*/manifest.json")]
    assert not (run / "scores.json").exists(), "it was not killed in its training"
    output = finish(start(run, two))
    assert "resuming after step" in output
    assert [path.parent for path in two.glob("*/manifest.json")] == [run]
    first, second = steps(one), steps(run)
    assert [line["step"] for line in first] == [line["step"] for line in second] == list(range(1, 61))
    for mine, theirs in zip(first, second, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5), mine["step"]
    assert len(Index(two).openings(str(Run.open(run).manifest["exam"]))) == 1


def test_what_one_process_does_is_refused_under_torchrun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each process would begin every trial."""
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="one of several"):
        sweep("kannume", run_dir=tmp_path / "runs")
    assert not list(tmp_path.iterdir())
