"""Workers and nodes of a Ray cluster are killed at random moments: each trial counted once, each exam opened once.

A hundred kills of each engine: `make kills-ray`, `make kills-slurm`, `make kills-local`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from clusters import RayCluster
from sweep_killers import MANY_RETRIES, on_ray, run_killed
from sweep_records import figures, write_sweep

KILLS, TRIALS = 3, 2
GRID = f'open = "all"\n[grid]\n"model.width" = [16, 24]\n{MANY_RETRIES}'


def test_killed_workers_and_nodes_lose_nothing_and_open_no_exam_twice(
    ray_cluster: RayCluster, expected: Mapping[str, Any], tmp_path: Path
) -> None:
    """The record is that of one process that nobody disturbed."""
    path = write_sweep(tmp_path / "killed", GRID)
    struck = run_killed(path, on_ray(ray_cluster), KILLS, TRIALS, Random(KILLS))
    assert struck, "nothing was killed: the trials are too short"
    assert figures(path) == expected
