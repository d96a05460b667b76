"""What each remedy against collapse is worth: alone, beside the defaults, on the skewed sets.

    python benchmarks/emoji_ablations.py [--seeds 2] [--sets …] [--only NAME …]

Every row is the default set head with one thing changed, or the emoji log's sequence; the effect is paired, item by
item, against the default of the same sets and seeds. Written: benchmarks/results/emoji_ablations.jsonl, one line for
each run (not done again), and emoji_ablations.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import emoji_sets as bench
from terakoya.asking import asked, predictions
from terakoya.data.table import table_task
from terakoya.models.tiny import build
from terakoya.training import crossfit
from terakoya.training.lesson import pair, prepared, rows
from terakoya.training.loop import train
from terakoya.training.teach import dev_figures

DEFAULT = "set head (default)"
SEQUENCE: dict[str, Mapping[str, Any]] = {"model": {"head": "sequence", "base": "tiny"},
            "train": {"threads": 1, "epochs": 15, "batch_size": 16, "label_order": "canonical"}}  # fmt: skip
ROWS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    DEFAULT: {},
    "no share cap": {"decode": {"share_cap": 0.0}},
    "no names of labels": {"model": {"label_init": "random"}},
    "expected F1 in place of Jaccard": {"decode": {"objective": "f1"}},
    "checkpoint by loss": {"train": {"select": "loss"}},
    "label smoothing .1": {"train": {"label_smoothing": 0.1}},
    "focal loss": {"train": {"loss": "focal"}},
    "class-balanced loss": {"train": {"loss": "class-balanced"}},
    "order-invariant loss": {"train": {"loss": "order-invariant"}},
    "logit adjustment .5 in the loss": {"train": {"logit_adjustment": 0.5}},
    "logit adjustment .5 at decoding": {"decode": {"logit_adjustment": 0.5}},
    "no names, no cap": {"model": {"label_init": "random"}, "decode": {"share_cap": 0.0}},
    "sequence": SEQUENCE,
    "sequence, checkpoint by loss": SEQUENCE | {"train": {**SEQUENCE["train"], "select": "loss"}},
}


def taught(who: str, name: str, seed: int) -> dict[str, Any]:
    """One training of this row, and the test answered once, with whatever head the row has."""
    started = time.process_time()
    changed = ROWS[who]
    config = bench.config_of(name, seed, changed)
    task = table_task(config, Path())
    assert task.split is not None
    lesson, model, most = prepared(task, task.split, config, build)
    train(
        model, rows(lesson, model), lesson.config.train, seed=seed, metric=task.metric,
        evaluate=dev_figures(lesson, model, most),
    )  # fmt: skip
    if model.head == "set":
        taught_rows, dev = ([pair(task, row) for row in side] for side in (task.split.train, task.split.dev))
        crossfit.settle(model, taught_rows, dev, lesson.config)
    answers = predictions(
        model, [asked(row) for row in task.split.exam], task, config.decode, max_tokens=most, seed=seed
    )
    told = bench.scored(task, [answer.text for answer in answers])
    return {"who": who, "set": name, "seed": seed, "seconds": round(time.process_time() - started, 1)} | told


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    told = [
        "# Remedies one by one",
        "",
        "Made by `benchmarks/emoji_ablations.py`. Effect: Jaccard less that of the default on the same sets and seeds,",
        "paired item by item, with a 95% interval; where the interval holds 0, nothing is shown to have been done.",
        "",
        "| what | runs | Jaccard | effect | without head | head share × data | distinct | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    default = {(line["set"], line["seed"]): line for line in lines if line["who"] == DEFAULT}
    for who in ROWS:
        runs = [line for line in lines if line["who"] == who and (line["set"], line["seed"]) in default]
        if runs:
            told.append(_row(who, runs, default))
    return "\n".join(told) + "\n"


def _row(who: str, runs: Sequence[Mapping[str, Any]], default: Mapping[tuple[str, int], Mapping[str, Any]]) -> str:
    pairs = [np.asarray(run["items"]) - default[run["set"], run["seed"]]["items"] for run in runs]
    # Seeds of one item are no further items: they are averaged first.
    by_set: dict[str, list[Any]] = {}
    for run, differences in zip(runs, pairs, strict=True):
        by_set.setdefault(run["set"], []).append(differences)
    items = np.concatenate([np.mean(some, axis=0) for some in by_set.values()])
    low, high = bench.interval(items.tolist())
    effect = f"{items.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    mean = {key: np.mean([run[key] for run in runs]) for key in ("jaccard", "without_head", "head_share", "distinct")}
    return (
        f"| {who} | {len(runs)} | {mean['jaccard']:.3f} | {'' if who == DEFAULT else effect}"
        f"{' nothing shown' if who != DEFAULT and low <= 0 <= high else ''} | {mean['without_head']:.3f} "
        f"| {mean['head_share']:.2f} | {mean['distinct']:.0f} | {np.mean([run['seconds'] for run in runs]):.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", nargs="*", default=list(bench.SETS[:3]))
    parser.add_argument("--only", nargs="*", default=list(ROWS))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    results = bench.HERE / "results" / "emoji_ablations.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(line["who"], line["set"], line["seed"]) for line in lines}
    for seed in range(wanted.seeds):
        for name in wanted.sets:
            for who in wanted.only:
                if (who, name, seed) in done:
                    continue
                lines.append(taught(who, name, seed))
                print({key: value for key, value in lines[-1].items() if key != "items"}, flush=True)
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
                results.with_suffix(".md").write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
