"""Label sets without collapse: controlled exams of invented words, five training seeds each, beside baselines.

    python -m benchmarks.quality.emoji_sets [--seeds 5] [--sets sets-skewed-0 …] [--fresh]

Every run is the config that a user would write: a table, `codec = "labels"`, and nothing else. Written:
benchmarks/results/emoji.jsonl, one line for each run (a recorded run is not repeated; --fresh starts over), and
benchmarks/results/emoji.md; emoji.json holds all runs with machine and versions. Each exam is predicted once by a model
whose checkpoint and label penalties were chosen on dev, and once by that model refitted on train and dev; both stand in
the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from benchmarks.reporting import EXAMS, RESULTS
from terakoya.codec.labels import emoji_label_names
from terakoya.config import Config, make_config
from terakoya.data.table import table_task
from terakoya.decoding import set_calibration, sets
from terakoya.models.builtin.model import build
from terakoya.models.protocol import Pair, Query
from terakoya.records import Example
from terakoya.runs.environment import machine, versions
from terakoya.scoring.baselines.standard import make_baselines
from terakoya.scoring.metrics import jaccard
from terakoya.task import Task
from terakoya.training import out_of_fold, refit
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

SETS = ("sets-skewed-0", "sets-skewed-1", "sets-skewed-2", "sets-balanced-0")
BASELINES = ("constant", "nearest neighbour", "word table", "name lexicon")
TRAIN_ONLY = ", train split only"  # not refitted on dev
WITHOUT_NAMES = {"model": {"label_init": "random"}}
Items = Sequence[tuple[frozenset[str], frozenset[str]]]


def make_exam_config(name: str, seed: int, overrides: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> Config:
    """The config of the controlled exam `name`, with `overrides` (section → settings)."""
    files = {key: str(EXAMS / name / f"{file}.jsonl") for key, file in
             (("data", "train"), ("dev", "dev"), ("exam", "test"))}  # fmt: skip
    sections: dict[str, Mapping[str, Any]] = {"task": files | {"codec": "labels"}, "train": {"threads": 1}}
    changed = {section: {**sections.get(section, {}), **values} for section, values in overrides.items()}
    return make_config({"seed": seed} | sections | changed)


def set_metrics(items: Items, data: Mapping[str, int], head: str) -> dict[str, float]:
    """Jaccard, Jaccard without the most frequent label `head`, its share against the data's, distinct predictions."""
    share = data[head] / sum(data.values())
    predicted = Counter(label for prediction, _ in items for label in prediction)
    rest = [(prediction - {head}, target - {head}) for prediction, target in items]
    return {
        "jaccard": float(np.mean([_jaccard(*pair) for pair in items])),
        "without_head": float(np.mean([_jaccard(*pair) for pair in rest if pair[1]])),
        "head_share": predicted[head] / max(1, predicted.total()) / share,
        "distinct": len({prediction for prediction, _ in items}),
        "illegal": sum(label not in data for prediction, _ in items for label in prediction),
    }


def _jaccard(prediction: frozenset[str], target: frozenset[str]) -> float:
    return len(prediction & target) / len(prediction | target)


def train_model(name: str, seed: int, **overrides: Mapping[str, Any]) -> tuple[Any, Task, Config]:
    """(model, task, config) of one training: the defaults, with `overrides` (section=settings)."""
    config = make_exam_config(name, seed, overrides)
    task = table_task(config, Path())
    assert task.split is not None
    pairs = _pairs(task, task.split.train)
    labels = tuple(getattr(task.codec, "labels", ()))
    model: Any = build(config.model, pairs, labels, seed=seed, label_names=emoji_label_names(task.codec))
    resolved = resolve(config.train, model.info, len(pairs))
    dev = task.split.dev

    def evaluate(step: int) -> Mapping[str, float]:
        calibrate(model, dev, config)
        return {"jaccard": float(np.mean(_jaccards(model, dev, config))), "loss": 0.0}

    rows = EpochBatches(pairs, int(resolved.batch_size), seed, model.length)
    run_loop(model, rows, resolved, seed=seed, metric="jaccard", evaluate=evaluate)
    return model, task, config.model_copy(update={"train": resolved})


def _pairs(task: Task, rows: Sequence[Example]) -> list[Pair]:
    return [Pair(Query(row.source), task.codec.write(row.target)) for row in rows]


def train_and_score(
    name: str, seed: int, who: str = "set head", **overrides: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Result lines of one training: the exam predicted by the model before and after the refit on dev."""
    started = time.process_time()
    model, task, config = train_model(name, seed, **overrides)
    assert task.split is not None
    rows, dev = _pairs(task, task.split.train), _pairs(task, task.split.dev)
    out_of_fold.calibrate(model, rows, dev, config)
    models = [(who + TRAIN_ONLY, model)]
    if refit.is_enabled(model, dev, config):
        models.append((who, refit.refit_model(model, rows, dev, config)))
    lines = []
    for label, candidate in models:
        predictions = sets.predict_sets(candidate, [Query(row.source) for row in task.split.exam], config.decode)
        result = score_exam(task, [prediction.text for prediction in predictions])
        lines.append({"who": label, "set": name, "seed": seed, "seconds": time.process_time() - started} | result)
    return lines


def calibrate(model: Any, dev: Sequence[Example], config: Config) -> None:
    """Calibrate the set head on dev rows."""
    set_calibration.calibrate(
        model, [Query(row.source) for row in dev], [row.target.split() for row in dev], config.decode
    )


def _jaccards(model: Any, rows: Sequence[Example], config: Config) -> list[float]:
    predictions = sets.predict_sets(model, [Query(row.source) for row in rows], config.decode)
    return [jaccard.score(prediction.text, (row.target,)) for prediction, row in zip(predictions, rows, strict=True)]


def score_exam(task: Task, predictions: Sequence[str | None]) -> dict[str, Any]:
    """Metrics of the exam, with the Jaccard of every item."""
    assert task.split is not None
    data = Counter(label for row in task.split.train for label in task.codec.canonical(row.target).split())
    legal = {label: data[label] for label in getattr(task.codec, "labels", ())}
    items = [
        (frozenset((prediction or "").split()), frozenset(task.codec.canonical(row.target).split()))
        for prediction, row in zip(predictions, task.split.exam, strict=True)
    ]
    head = max(legal, key=lambda label: legal[label])
    return set_metrics(items, legal, head) | {"items": [round(_jaccard(*pair), 6) for pair in items]}


def score_baselines(name: str) -> list[dict[str, Any]]:
    """Result lines of the baselines on the same exam, fitted with and without dev's rows like the models."""
    task = table_task(make_exam_config(name, 0), Path())
    assert task.split is not None
    sources = [row.source for row in task.split.exam]
    lines = []
    for refitted in (True, False):
        fitted = make_baselines(
            task.split.train, task.split.dev, metric=jaccard, canonical=task.codec.canonical, labels=True,
            names=task.label_names, refit=refitted,
        )  # fmt: skip
        for who in BASELINES if refitted else ("word table",):
            label = who if refitted else who + TRAIN_ONLY
            lines.append({"who": label, "set": name, "seed": 0} | score_exam(task, fitted[who].predict(sources)))
    return lines


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean over items."""
    samples = np.random.default_rng(seed).choice(np.asarray(values), (2000, len(values)))
    low, high = np.quantile(samples.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """The Markdown page: one row for each set and model or baseline, with every seed and an interval over items."""
    page_lines = [
        "# Sets without collapse",
        "",
        "Made by `benchmarks/quality/emoji_sets.py`. Jaccard on the exam with a 95% interval over items;",
        "gain: paired, over the word table that saw the same rows. Head: the most frequent label; its share among the",
        "predictions is given as a multiple of its share in the data. When everything is chosen, the model is",
        "refitted on dev too (`train.refit`), and baselines are fitted on it; rows with 'train split only' are "
        "without that.",
        "",
        "| set | who | seeds | Jaccard | every seed | gain over word table | without head | head share | distinct "
        "| illegal | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["set"], line["who"]), []).append(line)
    for (name, who), runs in sorted(groups.items()):
        items = np.mean([run["items"] for run in runs], axis=0)
        baseline = "word table" + (TRAIN_ONLY if who.endswith(TRAIN_ONLY) else "")
        table = groups.get((name, baseline))
        gain = "" if table is None or who == baseline else _gain(items, np.asarray(table[0]["items"]))
        low, high = bootstrap_interval(items.tolist())
        each = " ".join(f"{run['jaccard']:.3f}" for run in sorted(runs, key=lambda run: run["seed"]))
        mean = {key: np.mean([run[key] for run in runs]) for key in ("without_head", "head_share", "distinct")}
        page_lines.append(
            f"| {name} | {who} | {len(runs)} | {items.mean():.3f} [{low:.3f}, {high:.3f}] | {each} | {gain} "
            f"| {mean['without_head']:.3f} | {mean['head_share']:.2f} | {mean['distinct']:.0f} "
            f"| {sum(run['illegal'] for run in runs)} | {np.mean([run.get('seconds', 0.0) for run in runs]):.0f} |"
        )
    return "\n".join(page_lines) + "\n"


def _gain(items: Any, table: Any) -> str:
    low, high = bootstrap_interval((items - table).tolist())
    return f"{(items - table).mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-names", type=int, default=5, help="seeds of the row with names switched off")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--results", type=Path, default=RESULTS / "emoji.jsonl")
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    if args.fresh:
        args.results.unlink(missing_ok=True)
    lines = [json.loads(line) for line in args.results.read_text().splitlines()] if args.results.exists() else []
    done = {(line["set"], line["who"], line["seed"]) for line in lines}

    def record(line: dict[str, Any]) -> None:
        lines.append(line)
        with args.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        print({key: value for key, value in line.items() if key != "items"}, flush=True)

    for name in args.sets:
        for line in score_baselines(name) if (name, BASELINES[-1], 0) not in done else ():
            record(line)
    for names in (True, False):
        for seed in range(args.seeds if names else args.without_names):
            for name in args.sets:
                who = "set head" if names else "set head, no names"
                if (name, who, seed) not in done:
                    for line in train_and_score(name, seed, who, **({} if names else WITHOUT_NAMES)):
                        record(line)
                args.results.with_suffix(".md").write_text(page(lines), encoding="utf-8")
    record_all = {"runs": lines, "machine": machine(), "versions": versions()}
    args.results.with_suffix(".json").write_text(json.dumps(record_all, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
