"""What dies while a sweep runs: workers and nodes of Ray and Slurm, processes of this machine."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from clusters import (
    SLURM_NODES,
    RayCluster,
    kill_slurm_node,
    ray_workers,
    slurm,
    slurm_workers,
    start_slurmd,
    terminate,
)
from sweep_records import output, start, states

NODE_SHARE = 0.3  # of the kills: whole nodes
# A trial that is killed that often is no trial's fault here.
MANY_RETRIES = "[needs]\nretries = 100\n"
Strike = Callable[[int, Random], str]


@dataclass(frozen=True)
class Killable:
    """An engine whose workers and nodes can be killed.

    on           as `terakoya sweep --on` takes it
    environment  of the command
    strike       kills a worker or a node, given the process id of the command and a random generator; says which, or ""
                 where there was nothing to kill
    """

    on: str
    environment: Mapping[str, str]
    strike: Strike


def on_ray(cluster: RayCluster) -> Killable:
    """Workers, and raylets with all their workers."""

    def strike(command: int, rng: Random) -> str:
        workers = ray_workers()
        if not workers:
            return ""
        victim = rng.choice(workers)
        if rng.random() >= NODE_SHARE:
            terminate([victim])
            return "worker"
        try:
            cluster.kill_node(cluster.node_of(victim))
        except ProcessLookupError:
            return ""  # it has ended meanwhile
        return "node"

    return Killable("ray", {"RAY_ADDRESS": cluster.address}, strike)


def on_slurm(conf: Path) -> Killable:
    """The processes of a job, and slurmds with all their jobs."""

    def strike(command: int, rng: Random) -> str:
        workers = {node: pids for node in SLURM_NODES if (pids := slurm_workers(conf, node))}
        if not workers:
            return ""
        node = rng.choice(sorted(workers))
        if rng.random() >= NODE_SHARE:
            terminate([rng.choice(workers[node])])
            return "worker"
        kill_slurm_node(conf, node)
        start_slurmd(conf, node)
        return "node"

    return Killable("slurm", {"SLURM_CONF": str(conf)}, strike)


def on_processes(count: int) -> Killable:
    """One of the pool's processes, or the command with all of them, which is then given again."""

    def strike(command: int, rng: Random) -> str:
        listed = ["pgrep", "-P", str(command), "-f", "spawn_main"]
        workers = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split()
        if not workers:
            return ""
        if rng.random() >= NODE_SHARE:
            terminate([int(rng.choice(workers))])
            return "worker"
        terminate([command])
        return "node"

    return Killable(f"local:{count}", {}, strike)


@contextmanager
def killable(engine: str, place: Path) -> Iterator[Killable]:
    """An engine of this machine for the time of its use: "ray", "slurm" or "local"."""
    if engine == "slurm":
        with slurm(place / "slurm") as conf:
            yield on_slurm(conf)
    elif engine == "ray":
        cluster = RayCluster()
        try:
            yield on_ray(cluster)
        finally:
            cluster.close()
    else:
        yield on_processes(3)


def run_killed(path: Path, engine: Killable, kills: int, trials: int, rng: Random) -> Counter[str]:
    """Run a sweep to its end, up to `kills` strikes on the way. Returns how many workers and nodes died."""
    struck: Counter[str] = Counter()
    process, deadline = start(path, engine.on, **engine.environment), time.monotonic() + 240 + 20 * kills
    while states(path).count("done") < trials:
        assert time.monotonic() < deadline, f"the sweep does not come to its end: {states(path)}"
        assert "failed" not in states(path), f"a kill is no fault of the trial: {path}"
        time.sleep(rng.uniform(0.2, 3.0))
        if process.poll() is not None:
            if process.returncode != -signal.SIGKILL:
                break
            process.communicate()
            process = start(path, engine.on, **engine.environment)
        elif struck.total() < kills and (what := engine.strike(process.pid, rng)):
            struck[what] += 1
    if process.poll() == -signal.SIGKILL:
        process.communicate()
        process = start(path, engine.on, **engine.environment)
    output(process)
    return struck
