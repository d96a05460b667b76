"""What each remedy against collapse is worth: alone, all together, and together less one, on the skewed sets.

    python benchmarks/emoji_ablations.py [--seeds 1] [--minutes 30] [--sets …] [--only NAME …]

Three bases: the log's sequence, a bare set head (no names, no prices, checkpoint by loss), and the default set head, in
which what helped is together. Every other row changes one thing of its base; its effect is paired, item by item, with
that base on the same sets and seeds. Written: benchmarks/results/emoji_ablations.jsonl, one line for each run (not done
again), and emoji_ablations.md. No run begins after --minutes of CPU time; what is missing shows in the column of runs.
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

import emoji_sets as bench
from terakoya.data.table import table_task
from terakoya.decoding.predict import predictions, query_of
from terakoya.models.builtin.model import build
from terakoya.training import out_of_fold, refit
from terakoya.training.loop import run_loop
from terakoya.training.prepare import pair, prepared, rows
from terakoya.training.trainer import dev_figures

Differs = Mapping[str, Mapping[str, Any]]
LOGGED, BARE, DEFAULT = "sequence, as in the log", "bare set head", "default set head"


def changed(base: Differs, **sections: Mapping[str, Any]) -> Differs:
    return {name: {**base.get(name, {}), **sections.get(name, {})} for name in {**base, **sections}}


AS_LOGGED: Differs = {
    "model": {"head": "sequence", "base": "tiny"},
    "train": {"threads": 1, "epochs": 15, "batch_size": 16, "label_smoothing": 0.1, "select": "loss"},
    "decode": {"method": "beam", "constrained": False},
}
NAKED: Differs = {
    "model": {"label_init": "random"},
    "train": {"threads": 1, "select": "loss", "crossfit": False, "refit": False},
    "decode": {"share_cap": 0.0},
}
# The base of each group, and what is changed of it.
GROUPS: Mapping[str, tuple[Differs, Mapping[str, Differs]]] = {
    LOGGED: (AS_LOGGED, {
        "+ checkpoint by the metric": changed(AS_LOGGED, train={"select": "metric"}),
        "+ no label smoothing": changed(AS_LOGGED, train={"label_smoothing": 0.0}),
        "+ legal labels only, no repeats": changed(AS_LOGGED, decode={"constrained": True}),
        "+ canonical order": changed(AS_LOGGED, train={"label_order": "canonical"}),
        "+ shuffled order": changed(AS_LOGGED, train={"label_order": "shuffled"}),
        "+ focal loss": changed(AS_LOGGED, train={"loss": "focal"}),
        "+ minimum Bayes risk over 16 samples":
            changed(AS_LOGGED, decode={"method": "best-expected", "constrained": True}),
        "+ all: metric, legal, canonical, Bayes risk": changed(
            AS_LOGGED, train={"select": "metric", "label_order": "canonical", "label_smoothing": 0.0},
            decode={"method": "best-expected", "constrained": True}),
    }),
    BARE: (NAKED, {
        "+ names of labels": changed(NAKED, model={"label_init": "auto"}),
        "+ checkpoint by the metric": changed(NAKED, train={"select": "metric"}),
        "+ prices (share cap 1.4)": changed(NAKED, decode={"share_cap": 1.4}),
        "+ prices, out-of-fold answers too": changed(NAKED, train={"crossfit": True}, decode={"share_cap": 1.4}),
        "+ expected F1 in place of Jaccard": changed(NAKED, decode={"objective": "f1"}),
        "+ label smoothing .1": changed(NAKED, train={"label_smoothing": 0.1}),
        "+ focal loss": changed(NAKED, train={"loss": "focal"}),
        "+ class-balanced loss": changed(NAKED, train={"loss": "class-balanced"}),
        "+ order-invariant loss": changed(NAKED, train={"loss": "order-invariant"}),
        "+ logit adjustment .5 in the loss": changed(NAKED, train={"logit_adjustment": 0.5}),
        "+ logit adjustment .5 at decoding": changed(NAKED, decode={"logit_adjustment": 0.5}),
    }),
    DEFAULT: ({}, {
        "- names of labels": {"model": {"label_init": "random"}},
        "- checkpoint by the metric (by loss)": {"train": {"threads": 1, "select": "loss"}},
        "- prices": {"decode": {"share_cap": 0.0}},
        "- out-of-fold answers": {"train": {"threads": 1, "crossfit": False}},
        "- dev taught too": {"train": {"threads": 1, "refit": False}},
    }),
}  # fmt: skip
ROWS: Mapping[str, Differs] = {
    who if who == base else f"{base} {who}": differs
    for base, (plain, others) in GROUPS.items()
    for who, differs in {base: plain, **others}.items()
}


def taught(who: str, name: str, seed: int) -> dict[str, Any]:
    """One training of this row, and the test answered once, with whatever head the row has."""
    started = time.process_time()
    config = bench.config_of(name, seed, ROWS[who])
    task = table_task(config, Path())
    assert task.split is not None
    lesson, model, most = prepared(task, task.split, config, build)
    run_loop(
        model, rows(lesson, model), lesson.config.train, seed=seed, metric=task.metric,
        evaluate=dev_figures(lesson, model, most),
    )  # fmt: skip
    if model.head == "set":
        taught_rows, dev = ([pair(task, row) for row in side] for side in (task.split.train, task.split.dev))
        out_of_fold.settle(model, taught_rows, dev, lesson.config)
        if refit.wanted(model, dev, lesson.config):
            model = refit.refitted(model, taught_rows, dev, lesson.config)
    answers = predictions(
        model, [query_of(row) for row in task.split.exam], task, config.decode, max_tokens=most, seed=seed
    )
    told = bench.scored(task, [answer.text for answer in answers])
    return {"who": who, "set": name, "seed": seed, "seconds": round(time.process_time() - started, 1)} | told


def base_of(who: str) -> str:
    return next(base for base in GROUPS if who.startswith(base))


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    told = [
        "# Remedies one by one",
        "",
        "Made by `benchmarks/emoji_ablations.py`. Jaccard on the test sides of the skewed sets. Effect: less the row's",
        "base (in bold) on the same sets and seeds, paired item by item, with a 95% interval over items; where that",
        "interval holds 0, nothing is shown to have been done. The bare set head has no names, no prices, no",
        "out-of-fold answers, its checkpoint is chosen by dev loss and dev is not taught in the end; in the default",
        "all of these are together.",
        "",
        "| what | runs | items | Jaccard | effect | shown | without head | head share × data | distinct | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    made = {(line["who"], line["set"], line["seed"]): line for line in lines}
    for who in ROWS:
        base = base_of(who)
        runs = [line for line in lines if line["who"] == who and (base, line["set"], line["seed"]) in made]
        if runs:
            told.append(_row(who, base, runs, [made[base, run["set"], run["seed"]] for run in runs]))
    if both := [line for line in lines if line["who"] == DEFAULT and (BARE, line["set"], line["seed"]) in made]:
        bare = [made[BARE, line["set"], line["seed"]] for line in both]
        told += ["", f"All remedies of sets together, over the bare set head: {_effect(_items(both, bare))[0]}."]
        if all((LOGGED, line["set"], line["seed"]) in made for line in bare):
            logged = [made[LOGGED, line["set"], line["seed"]] for line in bare]
            told += ["", f"The bare set head over the log's sequence: {_effect(_items(bare, logged))[0]}."]
    return "\n".join(told) + "\n"


def _items(runs: Sequence[Mapping[str, Any]], bases: Sequence[Mapping[str, Any]]) -> Any:
    """Differences item by item; seeds of one item are no further items: they are averaged first."""
    by_set: dict[str, list[Any]] = {}
    for run, base in zip(runs, bases, strict=True):
        by_set.setdefault(run["set"], []).append(np.asarray(run["items"]) - base["items"])
    return np.concatenate([np.mean(some, axis=0) for some in by_set.values()])


def _effect(items: Any) -> tuple[str, str]:
    low, high = bench.interval(items.tolist())
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
    parser.add_argument("--sets", nargs="*", default=list(bench.SETS[:3]))
    parser.add_argument("--only", nargs="*", default=list(ROWS))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    results = bench.HERE / "results" / "emoji_ablations.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(line["who"], line["set"], line["seed"]) for line in lines}
    for seed, name, who in product(range(wanted.seeds), wanted.sets, wanted.only):
        if (who, name, seed) in done or time.process_time() > 60 * wanted.minutes:
            continue
        lines.append(taught(who, name, seed))
        print({key: value for key, value in lines[-1].items() if key != "items"}, flush=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
    results.with_suffix(".md").write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
