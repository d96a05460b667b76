"""Workers and nodes of a Ray cluster are killed at random moments: each trial counted once, each exam opened once.

TERAKOYA_RAY_KILLS makes it longer: `make crash-ray`. On Slurm and several processes the engines' own tests kill.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from random import Random

from clusters import RayCluster, ray_workers, terminate
from test_sweep_engines import figures, output, start

from conftest import write_sweep

KILLS = int(os.environ.get("TERAKOYA_RAY_KILLS", "3"))
KILLS_PER_SWEEP = 20
TRIALS = 6 if KILLS > KILLS_PER_SWEEP else 2
GRID = (
    'seeds = {seeds}\nopen = "all"\n[grid]\n"model.width" = [16, 24]\n'
    "[needs]\nretries = 100\n"  # a trial that is killed that often is no trial's fault here
)


def done(path: Path) -> int:
    files = (path.parent / "runs").glob("*/trials/*.json")
    return sum(json.loads(file.read_text(encoding="utf-8"))["state"] == "done" for file in files)


def killed(path: Path, cluster: RayCluster, kills: int, rng: Random) -> int:
    """Run the sweep to its end, up to `kills` workers and nodes shot on the way. Returns how many were."""
    process, shot, deadline = start(path, "ray", RAY_ADDRESS=cluster.address), 0, time.monotonic() + 240 + 20 * kills
    while process.poll() is None and done(path) < TRIALS:
        assert time.monotonic() < deadline, "the sweep does not come to its end"
        time.sleep(rng.uniform(0.2, 3.0))
        workers = ray_workers()
        if shot < kills and workers and process.poll() is None:
            if rng.random() < 0.3:
                cluster.kill_node(cluster.node_of(rng.choice(workers)))
            else:
                terminate([rng.choice(workers)])
            shot += 1
    output(process)
    return shot


def test_killed_workers_and_nodes_lose_nothing_and_open_no_exam_twice(ray_cluster: RayCluster, tmp_path: Path) -> None:
    """The record is that of one process that nobody disturbed."""
    rng, left, number = Random(KILLS), KILLS, 0
    grid = GRID.format(seeds=list(range(TRIALS // 2)))
    alone = write_sweep(tmp_path / "alone", grid)
    output(start(alone, "local"))
    expected = figures(alone)
    assert len(expected) == TRIALS and all(state == "done" and opened == 1 for state, _, opened, _ in expected.values())
    while left > 0:
        path = write_sweep(tmp_path / f"{number}", grid)
        shot = killed(path, ray_cluster, min(left, KILLS_PER_SWEEP), rng)
        assert shot, "nothing was killed: the trials are too short"
        left, number = left - shot, number + 1
        assert figures(path) == expected
        print(f"sweep {number}: {KILLS - left} of {KILLS} kills", flush=True)
