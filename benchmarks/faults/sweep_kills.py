"""Workers and nodes are killed while an engine runs a sweep: each trial counted once, each exam opened once.

    python -m benchmarks.faults.sweep_kills ray|slurm|local [--kills 100] [--minutes 22] [--seed 0] [--write]

Ray: a cluster of three nodes on this machine; a worker, or a raylet with its workers, is killed. Slurm: slurmctld,
three slurmds and munge on this machine, as root; a process of a job, or a slurmd with its jobs, is killed, and the node
comes back. local: three processes; one of them, or the command itself, which is then given again. A sweep of six trials
takes up to 34 kills at random times, then its record is compared with that of one process that nobody disturbed: state,
dev, exam scores and openings of every trial. `--write` adds the counts to benchmarks/results/sweep_kills.json; a
machine too slow for all kills in one run is given the command again with another seed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from sweep_killers import MANY_RETRIES, Killable, killable, run_killed
from sweep_records import figures, output, start, write_sweep

from benchmarks.reporting import RESULTS, machine_summary, markdown_table, write_results
from terakoya.runs import Index, Run

NAME = "sweep_kills"
KILLS_PER_SWEEP, TRIALS = 34, 6
GRID = f'seeds = [0, 1]\nopen = "all"\n[grid]\n"model.width" = [16, 24, 32]\n{MANY_RETRIES}'


@dataclass
class SweepKills:
    """Counts over all sweeps of one engine.

    lost       trials without a result
    twice      trials with more than one examined run
    openings   exams opened more than once
    different  trials whose record is not that of an undisturbed process
    """

    engine: str
    workers: int = 0
    nodes: int = 0
    sweeps: int = 0
    trials: int = 0
    lost: int = 0
    twice: int = 0
    openings: int = 0
    different: int = 0
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        """Of workers and nodes."""
        return self.workers + self.nodes

    @property
    def violations(self) -> int:
        """How often a promise was broken."""
        return self.lost + self.twice + self.openings + self.different


def count(path: Path, expected: Mapping[str, Any], tally: SweepKills) -> None:
    """Compare a sweep that has ended with the record of an undisturbed one."""
    folder = path.parent / "runs" / "series-widths"
    tally.sweeps += 1
    tally.trials += len(expected)
    for key in expected:
        runs = [scores.parent for scores in (folder / "runs" / key).rglob("scores.json")]
        opened = [len(Index(run.parent).openings(str(Run.open(run).manifest["exam"]))) for run in runs]
        tally.lost += not runs
        tally.twice += len(runs) > 1
        tally.openings += any(number != 1 for number in opened)
    if not tally.lost + tally.twice:
        found = figures(path)
        tally.different += sum(found.get(key) != values for key, values in expected.items())


def kill_sweeps(engine: Killable, name: str, kills: int, minutes: float, place: Path, seed: int) -> SweepKills:
    """At least `kills` kills over as many sweeps as they need, unless `minutes` are over."""
    alone = write_sweep(place / "alone", GRID, steps=24, every=8)
    output(start(alone, "local"))
    expected, rng, tally, started = figures(alone), Random(seed), SweepKills(name), time.monotonic()
    while tally.kills < kills and time.monotonic() < started + 60 * minutes:
        path = write_sweep(place / f"{tally.sweeps}", GRID, steps=24, every=8)
        struck: Counter[str] = run_killed(path, engine, min(kills - tally.kills, KILLS_PER_SWEEP), TRIALS, rng)
        assert struck, "nothing was killed: the trials are too short"
        tally.workers += struck["worker"]
        tally.nodes += struck["node"]
        count(path, expected, tally)
        tally.seconds = round(time.monotonic() - started, 1)
        print(json.dumps(asdict(tally)), flush=True)
    return tally


def keep(tally: SweepKills) -> None:
    """Add the counts to those of earlier runs."""
    file = RESULTS / f"{NAME}.json"
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []
    runs.append(asdict(tally) | {"machine": machine_summary(("ray", "submitit"))})
    header = ("engine", "workers killed", "nodes killed", "sweeps", "trials", "lost", "twice", "exams opened twice")
    rows = [
        [one, *(sum(run[field] for run in runs if run["engine"] == one) for field in _FIELDS)]
        for one in sorted({run["engine"] for run in runs})
    ]
    page = (
        "# Kills of workers and nodes\n\n`python -m benchmarks.faults.sweep_kills ENGINE --write`, all runs added up. "
        "*Different*: trials whose record is not that of one process that nobody disturbed. Nodes of local: the "
        f"command itself with all its processes. {machine_summary(('ray', 'submitit'))}\n\n"
    )
    write_results(NAME, page + markdown_table((*header, "different", "seconds"), rows), {"runs": runs})


_FIELDS = ("workers", "nodes", "sweeps", "trials", "lost", "twice", "openings", "different", "seconds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("ray", "slurm", "local"))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=22.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="sweep-kills-"))  # left where something went wrong
    with killable(args.engine, place) as engine:
        tally = kill_sweeps(engine, args.engine, args.kills, args.minutes, place, args.seed)
    if not tally.violations:
        shutil.rmtree(place, ignore_errors=True)  # a worker that was stopped may still close its log
    print(json.dumps(asdict(tally) | {"violations": tally.violations}))
    if args.write:
        keep(tally)
    return 1 if tally.violations or tally.kills < args.kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
