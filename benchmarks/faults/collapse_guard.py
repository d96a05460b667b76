"""Detection of collapse at its onset, and false alarms on healthy runs.

    python -m benchmarks.faults.collapse_guard [--runs 20] [--first 300]

Small trainings on rows of the controlled sets, evaluated often. A run's kind is its training setup, fixed before it
starts: sequences trained as in the emoji log collapse; set heads do not. Onset: the first of three consecutive
evaluations with fewer than 5% distinct predictions and a gain from the correct input of at most .002 nat, read from the
run's own log after its end; detected: the guard, which sees one evaluation after the other, reported within three
evaluations of it. Not every sequence collapses in so short a time, so as many are trained as are needed for --runs
onsets (three times as many at most). Thresholds are those of the package and were set before any of these seeds. Every
run that is started is counted. Written: benchmarks/results/collapse_guard.jsonl, one line for each run, and
collapse_guard.md.
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

from benchmarks.quality import emoji_sets
from benchmarks.reporting import RESULTS
from terakoya.data.table import table_task
from terakoya.models.builtin.model import build
from terakoya.records import Finding, Step
from terakoya.scoring.collapse import CONSECUTIVE, collapse_onset
from terakoya.task import Task
from terakoya.training.dev_evaluation import dev_evaluator
from terakoya.training.guards.collapse import CollapseGuard
from terakoya.training.loop import run_loop
from terakoya.training.prepare import make_batches, prepare_training

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


def train_watched(kind: str, overrides: Mapping[str, Any], seed: int, healthy: bool) -> dict[str, Any]:
    """One run: its evaluations, its onset of collapse, and at which evaluation the guard reported."""
    started = time.process_time()
    name = emoji_sets.SETS[seed % len(emoji_sets.SETS)] if healthy else emoji_sets.SETS[seed % 3]
    config = emoji_sets.make_exam_config(name, seed, overrides)
    task = subsample(table_task(config, Path()), seed)
    assert task.split is not None
    setup, model, max_tokens = prepare_training(task, task.split, config, build)
    evaluations: list[Mapping[str, float]] = []
    reports: list[int] = []

    def record_step(step: Step) -> None:
        if step.dev is not None:
            evaluations.append(step.dev)

    def record_finding(finding: Finding) -> None:
        reports.append(finding_step(finding))

    resolved = setup.config.train
    run_loop(
        model, make_batches(setup, model), resolved, seed=seed, metric=task.metric,
        evaluate=dev_evaluator(setup, model, max_tokens),
        on_step=record_step, guards=[CollapseGuard()], on_finding=record_finding,
    )  # fmt: skip
    first_collapsed = collapse_onset(evaluations)
    at = reports[0] // int(resolved.evaluate_every) - 1 if reports else None
    last = {name: round(float(evaluations[-1][name]), 4) for name in ("distinct_share", "gain", task.metric)}
    return {
        "kind": kind, "healthy": healthy, "seed": seed, "set": name, "evaluations": len(evaluations),
        "onset": first_collapsed,
        "detected": at, "last": last, "seconds": round(time.process_time() - started, 1),
    }  # fmt: skip


def finding_step(finding: Finding) -> int:
    """The training step at which a finding was reported."""
    return int(finding.where.split()[-1])


def subsample(task: Task, seed: int) -> Task:
    """The task with a sample of its train and dev rows, drawn by `seed`."""
    split = task.split
    assert split is not None
    rng = Random(seed)
    train, dev = (tuple(rng.sample(side, n)) for side, n in ((split.train, ROWS), (split.dev, DEV)))
    return replace(task, split=replace(split, train=train, dev=dev, exam=()))


def in_time(run: Mapping[str, Any]) -> bool:
    """Whether collapse was detected within three evaluations of its onset, the onset's own being the first."""
    return (
        run["onset"] is not None and run["detected"] is not None and 0 <= run["detected"] - run["onset"] < CONSECUTIVE
    )


def page(runs: Sequence[Mapping[str, Any]]) -> str:
    """The Markdown page: one line for each kind of run."""
    collapsing, healthy = [run for run in runs if not run["healthy"]], [run for run in runs if run["healthy"]]
    collapsed = [run for run in collapsing if run["onset"] is not None]
    lines = [
        "# The guard against collapse",
        "",
        f"Made by `benchmarks/faults/collapse_guard.py`. {len(collapsing)} runs trained as in the emoji log,",
        f"{len(healthy)} with a set head; {ROWS} rows and {DEV} dev items of the controlled sets each, every "
        "run counted. An onset was found in",
        f"{len(collapsed)} of {len(collapsing)} of the former and was detected within three evaluations in "
        f"{sum(map(in_time, collapsed))} of {len(collapsed)};",
        f"false alarms among the healthy: {sum(run['detected'] is not None for run in healthy)} of {len(healthy)}.",
        "Onset and guard share their thresholds (5% distinct, .002 nat), which were set before these seeds were run.",
        "",
        "| setup | runs | seeds | collapsed | detected in time | alarms | distinct at the end | gain at the end |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(run["kind"] for run in runs):
        of_kind = [run for run in runs if run["kind"] == kind]
        ends = [sum(run["last"][name] for run in of_kind) / len(of_kind) for name in ("distinct_share", "gain")]
        lines.append(
            f"| {kind} | {len(of_kind)} | {' '.join(str(run['seed']) for run in of_kind)} "
            f"| {sum(run['onset'] is not None for run in of_kind)} | {sum(map(in_time, of_kind))} "
            f"| {sum(run['detected'] is not None for run in of_kind)} | {ends[0]:.1%} | {ends[1]:.4f} nat |"
        )
    lines += ["", f"CPU: {sum(run['seconds'] for run in runs):.0f} s on one thread."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="healthy ones, and onsets of the others")
    parser.add_argument("--first", type=int, default=300, help="the first seed")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = RESULTS / "collapse_guard.jsonl"
    results.unlink(missing_ok=True)
    runs: list[dict[str, Any]] = []

    def record(kinds: Mapping[str, Mapping[str, Any]], number: int) -> None:
        kind = list(kinds)[number % len(kinds)]
        runs.append(train_watched(kind, kinds[kind], args.first + number, kinds is HEALTHY))
        print(runs[-1], flush=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(runs[-1]) + "\n")
        ordered = sorted(runs, key=lambda run: (run["healthy"], [*COLLAPSING, *HEALTHY].index(run["kind"])))
        results.with_suffix(".md").write_text(page(ordered), encoding="utf-8")

    for number in range(3 * args.runs):
        if sum(run["onset"] is not None for run in runs) < args.runs:
            record(COLLAPSING, number)
        if number < args.runs:
            record(HEALTHY, number)


if __name__ == "__main__":
    main()
