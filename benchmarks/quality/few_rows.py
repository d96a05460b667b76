"""160 rows, with and without augmentation by rule: `python -m benchmarks.quality.few_rows [--seeds 5] [--items 300]`.

The regime of the numerals log (`kannume-160`): for each seed its own 160 rows and 40 for dev; the exam is `--items`
fresh rows of the same kind, none of whose numbers is in training or dev. Arms: --arms none augment (task.augment = 20);
--set changes settings of all arms, such as model.base. A finished run is not repeated; the table of all runs is written
to results/few_rows.md and .json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from benchmarks.reporting import WORK as WORK_FOLDERS
from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya import registry
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.pipeline.dataset import load_dataset
from terakoya.records import Example, Split
from terakoya.scoring.statistics.intervals import wilson
from terakoya.tasks.augmentation import augment
from terakoya.tasks.numerals.small import log_row
from terakoya.training.dev_evaluation import dev_evaluator
from terakoya.training.loop import run_loop
from terakoya.training.prepare import make_batches, prepare_training

WORK = WORK_FOLDERS / "few_rows"
ARMS = {"none": 0, "augment": 20}


def with_fresh_exam(split: Split, items: int, seed: int) -> Split:
    """The split with another, larger exam: distinct rows of the same kind whose numbers are nowhere else."""
    taken = {row.group for row in (*split.train, *split.dev, *split.exam)}
    rng = Random(f"fresh exam {seed}")
    exam: dict[str, Example] = {}
    while len(exam) < items:
        row = log_row(rng)
        if row.group not in taken:
            exam.setdefault(row.source, row)
    return replace(split, exam=tuple(exam.values()))


def train_and_examine(arm: str, seed: int, items: int, settings: Sequence[str]) -> dict[str, Any]:
    """One training, and the correct predictions of its exam."""
    found = registry.find_experiment(
        "kannume-160", [f"seed={seed}", f"task.options.exam_seed={seed}", "train.threads=1", *settings]
    )
    dataset = load_dataset(found)
    split = with_fresh_exam(dataset.split, items, seed)
    if ARMS[arm]:
        split, _ = augment(dataset.task, split, ARMS[arm], seed)
    began, cpu = time.monotonic(), time.process_time()
    maker = registry.find_model_maker(dataset.config.model.base)
    setup, model, max_tokens = prepare_training(dataset.task, split, dataset.config, maker)
    result = run_loop(
        model,
        make_batches(setup, model),
        setup.config.train,
        seed=seed,
        metric=setup.task.metric,
        evaluate=dev_evaluator(setup, model, max_tokens),
        device="cpu",
    )
    trained = time.process_time() - cpu
    predicted = predict_queries(
        model, [query_of(row) for row in split.exam], setup.task, setup.config.decode, max_tokens=max_tokens, seed=seed
    )
    wrong = [[row.source, one.text] for one, row in zip(predicted, split.exam, strict=True) if one.text != row.target]
    return {
        "arm": arm, "seed": seed, "settings": list(settings), "rows": len(split.train), "items": items,
        "correct": items - len(wrong), "best_step": result.best_step, "cpu_seconds": trained,
        "seconds": time.monotonic() - began,
        "wrong": wrong,
    }  # fmt: skip


def page(runs: Sequence[dict[str, Any]]) -> str:
    arms: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        arms[run["arm"], " ".join(run["settings"])].append(run)
    lines = []
    for (arm, settings), found in sorted(arms.items()):
        correct, n = sum(run["correct"] for run in found), sum(run["items"] for run in found)
        low, high = wilson(correct, n)
        each = " ".join(f"{run['correct'] / run['items']:.3f}" for run in sorted(found, key=lambda run: run["seed"]))
        cpu = max(run["cpu_seconds"] for run in found) / 60
        lines.append((arm, settings, each, f"{correct / n:.3f} [{low:.3f}, {high:.3f}]", str(n), f"{cpu:.1f}"))
    head = ("arm", "settings", "every seed", "exact, 95% (items pooled)", "n", "CPU minutes, at most")
    return f"# 160 rows\n\n{machine_summary(('torch',))}\n\n{markdown_table(head, lines)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(5)))
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    args = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for arm in args.arms:
            name = "_".join((arm, str(seed), str(args.items), *args.settings)).replace("/", "-")
            file = WORK / f"{name}.json"
            if not file.is_file():
                found = train_and_examine(arm, seed, args.items, args.settings)
                file.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
                print(
                    arm,
                    seed,
                    args.settings,
                    f"{found['correct']}/{args.items}",
                    f"{found['seconds']:.0f} s",
                    flush=True,
                )
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(WORK.glob("*.json"))]
    text = page(runs)
    print(write_results("few_rows", text, {"machine": machine_summary(("torch",)), "runs": runs}).read_text("utf-8"))


if __name__ == "__main__":
    main()
