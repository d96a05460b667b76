"""Effect of each remedy against collapse: alone, all together, and all but one, on the skewed sets.

    python -m benchmarks.quality.emoji_ablations [--seeds 1] [--minutes 30] [--sets …] [--only NAME …]

Three bases: the log's sequence, a bare set head (no label names, no label penalties, checkpoint by loss), and the
default set head, in which all that helped is combined. Every other row changes one thing of its base; its effect is
paired, item by item, with that base on the same sets and seeds. Written: benchmarks/results/emoji_ablations.jsonl, one
line for each run (not repeated), and emoji_ablations.md. No run starts after --minutes of CPU time; what is missing
shows in the column of runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.quality import emoji_sets
from benchmarks.reporting import RESULTS
from terakoya.data.table import table_task
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.models.builtin.model import build
from terakoya.training import out_of_fold, refit
from terakoya.training.dev_evaluation import dev_evaluator
from terakoya.training.loop import run_loop
from terakoya.training.prepare import make_batches, pair_of, prepare_training

Overrides = Mapping[str, Mapping[str, Any]]
LOGGED, BARE, DEFAULT = "sequence, as in the log", "bare set head", "default set head"


def with_changes(base: Overrides, **sections: Mapping[str, Any]) -> Overrides:
    """`base` with some settings of some sections replaced."""
    return {name: {**base.get(name, {}), **sections.get(name, {})} for name in {**base, **sections}}


LOG_SETTINGS: Overrides = {
    "model": {"head": "sequence", "base": "tiny"},
    "train": {"threads": 1, "epochs": 15, "batch_size": 16, "label_smoothing": 0.1, "select": "loss"},
    "decode": {"method": "beam", "constrained": False},
}
BARE_SETTINGS: Overrides = {
    "model": {"label_init": "random"},
    "train": {"threads": 1, "select": "loss", "crossfit": False, "refit": False},
    "decode": {"share_cap": 0.0},
}
# Group → (its base, what is changed of it).
GROUPS: Mapping[str, tuple[Overrides, Mapping[str, Overrides]]] = {
    LOGGED: (LOG_SETTINGS, {
        "+ checkpoint by the metric": with_changes(LOG_SETTINGS, train={"select": "metric"}),
        "+ no label smoothing": with_changes(LOG_SETTINGS, train={"label_smoothing": 0.0}),
        "+ legal labels only, no repeats": with_changes(LOG_SETTINGS, decode={"constrained": True}),
        "+ canonical order": with_changes(LOG_SETTINGS, train={"label_order": "canonical"}),
        "+ shuffled order": with_changes(LOG_SETTINGS, train={"label_order": "shuffled"}),
        "+ focal loss": with_changes(LOG_SETTINGS, train={"loss": "focal"}),
        "+ minimum Bayes risk over 16 samples":
            with_changes(LOG_SETTINGS, decode={"method": "expected-metric", "constrained": True}),
        "+ all: metric, legal, canonical, Bayes risk": with_changes(
            LOG_SETTINGS, train={"select": "metric", "label_order": "canonical", "label_smoothing": 0.0},
            decode={"method": "expected-metric", "constrained": True}),
    }),
    BARE: (BARE_SETTINGS, {
        "+ names of labels": with_changes(BARE_SETTINGS, model={"label_init": "auto"}),
        "+ checkpoint by the metric": with_changes(BARE_SETTINGS, train={"select": "metric"}),
        "+ label penalties (share cap 1.4)": with_changes(BARE_SETTINGS, decode={"share_cap": 1.4}),
        "+ label penalties, calibrated out of fold too": with_changes(
            BARE_SETTINGS, train={"crossfit": True}, decode={"share_cap": 1.4}),
        "+ expected F1 in place of Jaccard": with_changes(BARE_SETTINGS, decode={"objective": "f1"}),
        "+ label smoothing .1": with_changes(BARE_SETTINGS, train={"label_smoothing": 0.1}),
        "+ focal loss": with_changes(BARE_SETTINGS, train={"loss": "focal"}),
        "+ class-balanced loss": with_changes(BARE_SETTINGS, train={"loss": "class-balanced"}),
        "+ order-invariant loss": with_changes(BARE_SETTINGS, train={"loss": "order-invariant"}),
        "+ logit adjustment .5 in the loss": with_changes(BARE_SETTINGS, train={"logit_adjustment": 0.5}),
        "+ logit adjustment .5 at decoding": with_changes(BARE_SETTINGS, decode={"logit_adjustment": 0.5}),
    }),
    DEFAULT: ({}, {
        "- names of labels": {"model": {"label_init": "random"}},
        "- checkpoint by the metric (by loss)": {"train": {"threads": 1, "select": "loss"}},
        "- label penalties": {"decode": {"share_cap": 0.0}},
        "- out-of-fold calibration": {"train": {"threads": 1, "crossfit": False}},
        "- refit on dev too": {"train": {"threads": 1, "refit": False}},
    }),
}  # fmt: skip
ROWS: Mapping[str, Overrides] = {
    who if who == base else f"{base} {who}": overrides
    for base, (plain, others) in GROUPS.items()
    for who, overrides in {base: plain, **others}.items()
}


def train_and_score(who: str, name: str, seed: int) -> dict[str, Any]:
    """The result line of one training of row `who` on exam `name`."""
    started = time.process_time()
    config = emoji_sets.make_exam_config(name, seed, ROWS[who])
    task = table_task(config, Path())
    assert task.split is not None
    setup, model, max_tokens = prepare_training(task, task.split, config, build)
    run_loop(
        model, make_batches(setup, model), setup.config.train, seed=seed, metric=task.metric,
        evaluate=dev_evaluator(setup, model, max_tokens),
    )  # fmt: skip
    if model.head == "set":
        train_pairs, dev = ([pair_of(task, row) for row in rows] for rows in (task.split.train, task.split.dev))
        out_of_fold.calibrate(model, train_pairs, dev, setup.config)
        if refit.is_enabled(model, dev, setup.config):
            model = refit.refit_model(model, train_pairs, dev, setup.config)
    predictions = predict_queries(
        model, [query_of(row) for row in task.split.exam], task, config.decode, max_tokens=max_tokens, seed=seed
    )
    result = emoji_sets.score_exam(task, [prediction.text for prediction in predictions])
    return {"who": who, "set": name, "seed": seed, "seconds": round(time.process_time() - started, 1)} | result


def base_of(who: str) -> str:
    """The base that row `who` changes."""
    return next(base for base in GROUPS if who.startswith(base))


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """The Markdown page: one line for each row, with its effect against its base."""
    page_lines = [
        "# Remedies one by one",
        "",
        "Made by `benchmarks/quality/emoji_ablations.py`. Jaccard on the exams of the skewed sets. Effect: less "
        "the row's",
        "base (in bold) on the same sets and seeds, paired item by item, with a 95% interval over items; where that",
        "interval holds 0, nothing is shown to have been done. The bare set head has no label names, no label "
        "penalties, no",
        "out-of-fold calibration, a checkpoint chosen by dev loss and no refit on dev; in the default",
        "all of these are together.",
        "",
        "| what | runs | items | Jaccard | effect | shown | without head | head share × data | distinct | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    by_key = {(line["who"], line["set"], line["seed"]): line for line in lines}
    for who in ROWS:
        base = base_of(who)
        runs = [line for line in lines if line["who"] == who and (base, line["set"], line["seed"]) in by_key]
        if runs:
            page_lines.append(_row(who, base, runs, [by_key[base, run["set"], run["seed"]] for run in runs]))
    if shared := [line for line in lines if line["who"] == DEFAULT and (BARE, line["set"], line["seed"]) in by_key]:
        bare = [by_key[BARE, line["set"], line["seed"]] for line in shared]
        page_lines += [
            "",
            f"All remedies of sets together, over the bare set head: {_effect(_items(shared, bare))[0]}.",
        ]
        if all((LOGGED, line["set"], line["seed"]) in by_key for line in bare):
            logged = [by_key[LOGGED, line["set"], line["seed"]] for line in bare]
            page_lines += ["", f"The bare set head over the log's sequence: {_effect(_items(bare, logged))[0]}."]
    return "\n".join(page_lines) + "\n"


def _items(runs: Sequence[Mapping[str, Any]], bases: Sequence[Mapping[str, Any]]) -> Any:
    """Differences item by item, averaged over the seeds of an item first."""
    by_set: dict[str, list[Any]] = {}
    for run, base in zip(runs, bases, strict=True):
        by_set.setdefault(run["set"], []).append(np.asarray(run["items"]) - base["items"])
    return np.concatenate([np.mean(differences, axis=0) for differences in by_set.values()])


def _effect(items: Any) -> tuple[str, str]:
    low, high = emoji_sets.bootstrap_interval(items.tolist())
    shown = "better" if low > 0 else "worse" if high < 0 else "nothing"
    return f"{items.mean():+.3f} [{low:+.3f}, {high:+.3f}]", shown


def _row(who: str, base: str, runs: Sequence[Mapping[str, Any]], bases: Sequence[Mapping[str, Any]]) -> str:
    items = _items(runs, bases)
    effect, shown = ("", "") if who == base else _effect(items)
    mean = {key: np.mean([run[key] for run in runs]) for key in ("jaccard", "without_head", "head_share", "distinct")}
    name = f"**{base}**" if who == base else who.removeprefix(base).strip()
    return (
        f"| {name} | {len(runs)} | {len(items)} | {mean['jaccard']:.3f} | {effect} | {shown} "
        f"| {mean['without_head']:.3f} | {mean['head_share']:.2f} | {mean['distinct']:.0f} "
        f"| {np.mean([run['seconds'] for run in runs]):.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=30, help="of CPU time after which no run begins")
    parser.add_argument("--sets", nargs="*", default=list(emoji_sets.SETS[:3]))
    parser.add_argument("--only", nargs="*", default=list(ROWS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = RESULTS / "emoji_ablations.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(line["who"], line["set"], line["seed"]) for line in lines}
    for seed, name, who in product(range(args.seeds), args.sets, args.only):
        if (who, name, seed) in done or time.process_time() > 60 * args.minutes:
            continue
        lines.append(train_and_score(who, name, seed))
        print({key: value for key, value in lines[-1].items() if key != "items"}, flush=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
    results.with_suffix(".md").write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
