"""Is a collapse noticed where it begins, and are healthy runs left alone?

    python benchmarks/collapse_guard.py [--runs 20] [--first 300]

Small trainings on rows of the controlled sets, evaluated often. A run belongs to its kind by how it is taught, settled
before it is started: sequences taught as the emoji log did collapse; set heads do not. Onset: the first of three
evaluations in a row with fewer than 5% distinct answers and a gain from the right input of at most .002 nat, read
from the log of the run after its end; noticed: the guard, which sees one evaluation after the other, spoke within
three evaluations of it. Not every sequence collapses in so short a time, so as many are taught as are needed for
--runs onsets (three times as many at most). Thresholds are the house's own and were set before any of these seeds.
Every run that is started is counted and told. Written: benchmarks/results/collapse_guard.jsonl, one line for each run,
and collapse_guard.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import torch

import emoji_sets as bench
from terakoya.data.table import table_task
from terakoya.models.builtin.model import build
from terakoya.records import Finding, Step
from terakoya.scoring.collapse import IN_A_ROW, onset
from terakoya.task import Task
from terakoya.training.guards.collapse import Collapse
from terakoya.training.loop import run_loop
from terakoya.training.prepare import prepared, rows
from terakoya.training.trainer import dev_figures

ROWS, DEV = 400, 60
LOGGED = {"optimizer": "adamw", "schedule": "linear", "warmup": 100, "learning_rate": 5e-4, "batch_size": 16,
          "steps": 96, "evaluate_every": 12, "select": "loss", "stop_when_solved": 0.0, "threads": 1}  # fmt: skip
WATCHED = {"evaluate_every": 8, "threads": 1}
SEQUENCE = {"base": "tiny", "head": "sequence"}
COLLAPSING: Mapping[str, Mapping[str, Any]] = {
    "sequence as in the log": {"model": SEQUENCE, "train": LOGGED | {"label_smoothing": 0.1}},
    "sequence, plain loss": {"model": SEQUENCE, "train": LOGGED},
    "sequence, focal loss": {"model": SEQUENCE, "train": LOGGED | {"loss": "focal"}},
    "sequence, shuffled labels": {"model": SEQUENCE, "train": LOGGED | {"label_order": "shuffled"}},
}
HEALTHY: Mapping[str, Mapping[str, Any]] = {
    "set head": {"model": {"base": "tiny"}, "train": WATCHED},
    "set head, no names": {"model": {"base": "tiny", "label_init": "random"}, "train": WATCHED},
    "set head, focal loss": {"model": {"base": "tiny"}, "train": WATCHED | {"loss": "focal"}},
    "set head, smoothing": {"model": {"base": "tiny"}, "train": WATCHED | {"label_smoothing": 0.1}},
}


def taught(kind: str, differs: Mapping[str, Any], seed: int, healthy: bool) -> dict[str, Any]:
    """One run: its evaluations, and at which of them the guard spoke."""
    started = time.process_time()
    name = bench.SETS[seed % len(bench.SETS)] if healthy else bench.SETS[seed % 3]
    config = bench.config_of(name, seed, differs)
    task = part_of(table_task(config, Path()), seed)
    assert task.split is not None
    lesson, model, most = prepared(task, task.split, config, build)
    seen: list[Mapping[str, float]] = []
    spoke: list[int] = []

    def told(step: Step) -> None:
        if step.dev is not None:
            seen.append(step.dev)

    def found(finding: Finding) -> None:
        spoke.append(finding_step(finding))

    how = lesson.config.train
    run_loop(
        model, rows(lesson, model), how, seed=seed, metric=task.metric, evaluate=dev_figures(lesson, model, most),
        on_step=told, guards=[Collapse()], on_finding=found,
    )  # fmt: skip
    began = onset(seen)
    at = spoke[0] // int(how.evaluate_every) - 1 if spoke else None
    last = {name: round(float(seen[-1][name]), 4) for name in ("distinct_share", "gain", task.metric)}
    return {
        "kind": kind, "healthy": healthy, "seed": seed, "set": name, "evaluations": len(seen), "onset": began,
        "spoke": at, "last": last, "seconds": round(time.process_time() - started, 1),
    }  # fmt: skip


def finding_step(finding: Finding) -> int:
    return int(finding.where.split()[-1])


def part_of(task: Task, seed: int) -> Task:
    """The same task with some of its rows, drawn by seed."""
    split = task.split
    assert split is not None
    chance = Random(seed)
    train, dev = (tuple(chance.sample(side, n)) for side, n in ((split.train, ROWS), (split.dev, DEV)))
    return replace(task, split=replace(split, train=train, dev=dev, exam=()))


def in_time(run: Mapping[str, Any]) -> bool:
    """Spoken within three evaluations of the onset, that of the onset being the first."""
    return run["onset"] is not None and run["spoke"] is not None and 0 <= run["spoke"] - run["onset"] < IN_A_ROW


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    sick, well = [run for run in runs if not run["healthy"]], [run for run in runs if run["healthy"]]
    began = [run for run in sick if run["onset"] is not None]
    lines = [
        "# The guard against collapse",
        "",
        f"Made by `benchmarks/collapse_guard.py`. {len(sick)} runs taught as the emoji log did, {len(well)} with a set",
        f"head; {ROWS} rows and {DEV} dev items of the controlled sets each, every run counted. An onset stands in",
        f"{len(began)} of {len(sick)} of the former and was noticed within three evaluations in "
        f"{sum(map(in_time, began))} of {len(began)};",
        f"false alarms among the healthy: {sum(run['spoke'] is not None for run in well)} of {len(well)}.",
        "Onset and guard share their thresholds (5% distinct, .002 nat), which were set before these seeds were run.",
        "",
        "| taught | runs | seeds | collapsed | noticed in time | alarms | distinct at the end | gain at the end |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(run["kind"] for run in runs):
        some = [run for run in runs if run["kind"] == kind]
        ends = [sum(run["last"][name] for run in some) / len(some) for name in ("distinct_share", "gain")]
        lines.append(
            f"| {kind} | {len(some)} | {' '.join(str(run['seed']) for run in some)} "
            f"| {sum(run['onset'] is not None for run in some)} | {sum(map(in_time, some))} "
            f"| {sum(run['spoke'] is not None for run in some)} | {ends[0]:.1%} | {ends[1]:.4f} nat |"
        )
    lines += ["", f"CPU: {sum(run['seconds'] for run in runs):.0f} s on one thread."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="healthy ones, and onsets of the others")
    parser.add_argument("--first", type=int, default=300, help="the first seed")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    results = bench.HERE / "results" / "collapse_guard.jsonl"
    results.unlink(missing_ok=True)
    runs: list[dict[str, Any]] = []

    def keep(kinds: Mapping[str, Mapping[str, Any]], number: int) -> None:
        kind = list(kinds)[number % len(kinds)]
        runs.append(taught(kind, kinds[kind], wanted.first + number, kinds is HEALTHY))
        print(runs[-1], flush=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(runs[-1]) + "\n")
        ordered = sorted(runs, key=lambda run: (run["healthy"], [*COLLAPSING, *HEALTHY].index(run["kind"])))
        results.with_suffix(".md").write_text(page(ordered), encoding="utf-8")

    for number in range(3 * wanted.runs):
        if sum(run["onset"] is not None for run in runs) < wanted.runs:
            keep(COLLAPSING, number)
        if number < wanted.runs:
            keep(HEALTHY, number)


if __name__ == "__main__":
    main()
