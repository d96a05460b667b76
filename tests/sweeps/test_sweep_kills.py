"""Workers of a sweep are killed at random moments; every trial is counted once, and every exam opened once.

TERAKOYA_KILLS and TERAKOYA_WORKERS make it longer: `make crash-sweep`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from sweep_records import states, write_sweep

from terakoya.runs import Index, Run

KILLS, WORKERS = int(os.environ.get("TERAKOYA_KILLS", "4")), int(os.environ.get("TERAKOYA_WORKERS", "2"))
TRIALS = 4
KILLS_PER_SWEEP = 20
GRID = 'seeds = [0, 1]\nopen = "all"\n[grid]\n"model.width" = [16, 24]\n'


def worker(place: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "terakoya", "sweep", str(place / "s.toml"), "--run-dir", str(place / "runs")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def killed(place: Path, kills: int, rng: Random) -> int:
    """Workers until every exam is opened, up to `kills` of them shot on the way. Returns how many were."""
    alive: list[subprocess.Popen[bytes]] = []
    shot, deadline = 0, time.monotonic() + 240 + 20 * kills
    while states(place / "s.toml") != ["done"] * TRIALS:
        assert "failed" not in states(place / "s.toml"), f"a kill is no fault of the trial: {place}"
        assert time.monotonic() < deadline, f"the sweep does not come to its end: {states(place / 's.toml')}"
        alive = [process for process in alive if process.poll() is None]
        while len(alive) < WORKERS:
            alive.append(worker(place))
        time.sleep(rng.uniform(0.5, 6.0))
        victim = rng.choice(alive)
        if shot < kills and victim.poll() is None and states(place / "s.toml") != ["done"] * TRIALS:
            os.killpg(victim.pid, signal.SIGKILL)
            victim.wait()
            shot += 1
    for process in alive:
        process.wait(timeout=120)
    return shot


def test_killed_workers_lose_no_trial_and_open_no_exam_twice(tmp_path: Path) -> None:
    """What is shared is files: a dead worker's trial is taken up by another, and nobody else's is touched.

    A sweep that is done has nothing left to break, so the next kills fall on a fresh one.
    """
    rng, left, number = Random(KILLS), KILLS, 0
    while left:
        place = write_sweep(tmp_path / f"{number}", GRID, steps=24, every=8).parent
        left -= killed(place, min(left, KILLS_PER_SWEEP), rng)
        number += 1
        assert states(place / "s.toml") == ["done"] * TRIALS
        folder = place / "runs" / "series-widths"
        runs = [Run.open(path.parent) for path in folder.rglob("scores.json")]
        assert len({run.path for run in runs}) == TRIALS, "a trial was finished twice, or not at all"
        widths = Counter((run.manifest["seed"], (run.path / "config.toml").read_text(encoding="utf-8")) for run in runs)
        assert set(widths.values()) == {1}
        openings = [Index(run.path.parent).openings(str(run.manifest["exam"])) for run in runs]
        assert [len(found) for found in openings] == [1] * TRIALS, "an exam was opened twice"
        print(f"sweep {number}: {KILLS - left} of {KILLS} kills", flush=True)
