"""Sets without collapse: the controlled exams of invented words, five training seeds each, beside what needs no model.

    python benchmarks/emoji_sets.py [--seeds 5] [--sets sets-skewed-0 …] [--fresh]

Every run is the config that a user would write: a table, `codec = "labels"`, and nothing else. What is written:
benchmarks/results/emoji.jsonl, one line for each run (a run that stands there is not done again; --fresh begins anew),
and benchmarks/results/emoji.md; emoji.json holds all of them with machine and versions. Tests are read once, with the
checkpoint and the prices of labels chosen on dev; afterwards dev is taught too, and both models stand in the table.
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

from terakoya.codec.labels import names_of
from terakoya.config import Config, make_config
from terakoya.data.table import table_task
from terakoya.decoding import set_calibration, sets
from terakoya.models.builtin.model import build
from terakoya.models.protocol import Pair, Query
from terakoya.records import Example
from terakoya.runs.environment import machine, versions
from terakoya.scoring.baselines.standard import baselines
from terakoya.scoring.metrics import jaccard
from terakoya.task import Task
from terakoya.training import out_of_fold, refit
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

HERE = Path(__file__).parent
EXAMS = HERE / "exams"
SETS = ("sets-skewed-0", "sets-skewed-1", "sets-skewed-2", "sets-balanced-0")
RIVALS = ("constant", "nearest neighbour", "word table", "name lexicon")
BEFORE = ", train side alone"  # rows of who was not taught dev
NAMELESS = {"model": {"label_init": "random"}}
Items = Sequence[tuple[frozenset[str], frozenset[str]]]


def config_of(name: str, seed: int, differs: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> Config:
    files = {side: str(EXAMS / name / f"{file}.jsonl") for side, file in
             (("data", "train"), ("dev", "dev"), ("exam", "test"))}  # fmt: skip
    sections: dict[str, Mapping[str, Any]] = {"task": files | {"codec": "labels"}, "train": {"threads": 1}}
    changed = {section: {**sections.get(section, {}), **values} for section, values in differs.items()}
    return make_config({"seed": seed} | sections | changed)


def figures(items: Items, data: Mapping[str, int], head: str) -> dict[str, float]:
    """Jaccard, the same without the head label on both sides, the head's share against the data's, distinct answers."""
    share = data[head] / sum(data.values())
    answered = Counter(label for answer, _ in items for label in answer)
    rest = [(answer - {head}, target - {head}) for answer, target in items]
    return {
        "jaccard": float(np.mean([_jaccard(*pair) for pair in items])),
        "without_head": float(np.mean([_jaccard(*pair) for pair in rest if pair[1]])),
        "head_share": answered[head] / max(1, answered.total()) / share,
        "distinct": len({answer for answer, _ in items}),
        "illegal": sum(label not in data for answer, _ in items for label in answer),
    }


def _jaccard(answer: frozenset[str], target: frozenset[str]) -> float:
    return len(answer & target) / len(answer | target)


def trained(name: str, seed: int, **differs: Mapping[str, Any]) -> tuple[Any, Task, Config]:
    """One training with everything left to the defaults but `differs` (section=settings)."""
    config = config_of(name, seed, differs)
    task = table_task(config, Path())
    assert task.split is not None
    pairs = _pairs(task, task.split.train)
    labels = tuple(getattr(task.codec, "labels", ()))
    model: Any = build(config.model, pairs, labels, seed=seed, label_names=names_of(task.codec))
    how = resolve(config.train, model.card, len(pairs))
    dev = task.split.dev

    def evaluate(step: int) -> Mapping[str, float]:
        settle(model, dev, config)
        return {"jaccard": float(np.mean(_judged(model, dev, config))), "loss": 0.0}

    rows = Fixed(pairs, int(how.batch_size), seed, model.length)
    run_loop(model, rows, how, seed=seed, metric="jaccard", evaluate=evaluate)
    return model, task, config.model_copy(update={"train": how})


def _pairs(task: Task, rows: Sequence[Example]) -> list[Pair]:
    return [Pair(Query(row.source), task.codec.write(row.target)) for row in rows]


def taught(name: str, seed: int, who: str = "set head", **differs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One training, and the test answered by the model that was taught dev in the end, and by the one before."""
    started = time.process_time()
    model, task, config = trained(name, seed, **differs)
    assert task.split is not None
    rows, dev = _pairs(task, task.split.train), _pairs(task, task.split.dev)
    out_of_fold.settle(model, rows, dev, config)
    models = [(who + BEFORE, model)]
    if refit.wanted(model, dev, config):
        models.append((who, refit.refitted(model, rows, dev, config)))
    lines = []
    for name_of, one in models:
        answers = sets.predictions(one, [Query(row.source) for row in task.split.exam], config.decode)
        told = scored(task, [answer.text for answer in answers])
        lines.append({"who": name_of, "set": name, "seed": seed, "seconds": time.process_time() - started} | told)
    return lines


def settle(model: Any, dev: Sequence[Example], config: Config) -> None:
    set_calibration.settle(
        model, [Query(row.source) for row in dev], [row.target.split() for row in dev], config.decode
    )


def _judged(model: Any, rows: Sequence[Example], config: Config) -> list[float]:
    answers = sets.predictions(model, [Query(row.source) for row in rows], config.decode)
    return [jaccard.judge(answer.text, (row.target,)) for answer, row in zip(answers, rows, strict=True)]


def scored(task: Task, answers: Sequence[str | None]) -> dict[str, Any]:
    assert task.split is not None
    data = Counter(label for row in task.split.train for label in task.codec.canonical(row.target).split())
    legal = {label: data[label] for label in getattr(task.codec, "labels", ())}
    items = [
        (frozenset((answer or "").split()), frozenset(task.codec.canonical(row.target).split()))
        for answer, row in zip(answers, task.split.exam, strict=True)
    ]
    head = max(legal, key=lambda label: legal[label])
    return figures(items, legal, head) | {"items": [round(_jaccard(*pair), 6) for pair in items]}


def rivals(name: str) -> list[dict[str, Any]]:
    """The baselines that ship, on the same exam: with dev's rows and without them, as the models beside them."""
    task = table_task(config_of(name, 0), Path())
    assert task.split is not None
    sources = [row.source for row in task.split.exam]
    lines = []
    for refitted in (True, False):
        made = baselines(
            task.split.train, task.split.dev, metric=jaccard, canonical=task.codec.canonical, labels=True,
            names=task.label_names, refit=refitted,
        )  # fmt: skip
        for who in RIVALS if refitted else ("word table",):
            name_of = who if refitted else who + BEFORE
            lines.append({"who": name_of, "set": name, "seed": 0} | scored(task, made[who].many(sources)))
    return lines


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% of the bootstrap means over items."""
    drawn = np.random.default_rng(seed).choice(np.asarray(values), (2000, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """One row for each set and examinee: the mean over seeds, every seed, and the interval over items."""
    told = [
        "# Sets without collapse",
        "",
        "Made by `benchmarks/emoji_sets.py`. Jaccard on the test side with a 95% interval over items;",
        "gain: paired, over the word table that saw the same rows. Head: the most frequent label; its share among the",
        "answers is given as a multiple of its share in the data. When everything is chosen on dev, dev is taught too",
        "(`train.refit`), and counted by the baselines; rows with 'train side alone' are without that.",
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
        rival = "word table" + (BEFORE if who.endswith(BEFORE) else "")
        table = groups.get((name, rival))
        gain = "" if table is None or who == rival else _gain(items, np.asarray(table[0]["items"]))
        low, high = interval(items.tolist())
        each = " ".join(f"{run['jaccard']:.3f}" for run in sorted(runs, key=lambda run: run["seed"]))
        mean = {key: np.mean([run[key] for run in runs]) for key in ("without_head", "head_share", "distinct")}
        told.append(
            f"| {name} | {who} | {len(runs)} | {items.mean():.3f} [{low:.3f}, {high:.3f}] | {each} | {gain} "
            f"| {mean['without_head']:.3f} | {mean['head_share']:.2f} | {mean['distinct']:.0f} "
            f"| {sum(run['illegal'] for run in runs)} | {np.mean([run.get('seconds', 0.0) for run in runs]):.0f} |"
        )
    return "\n".join(told) + "\n"


def _gain(items: Any, table: Any) -> str:
    low, high = interval((items - table).tolist())
    return f"{(items - table).mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-names", type=int, default=5, help="seeds of the row with names switched off")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "emoji.jsonl")
    parser.add_argument("--fresh", action="store_true")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    wanted.results.parent.mkdir(parents=True, exist_ok=True)
    if wanted.fresh:
        wanted.results.unlink(missing_ok=True)
    lines = [json.loads(line) for line in wanted.results.read_text().splitlines()] if wanted.results.exists() else []
    done = {(line["set"], line["who"], line["seed"]) for line in lines}

    def keep(line: dict[str, Any]) -> None:
        lines.append(line)
        with wanted.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        print({key: value for key, value in line.items() if key != "items"}, flush=True)

    for name in wanted.sets:
        for line in rivals(name) if (name, RIVALS[-1], 0) not in done else ():
            keep(line)
    for names in (True, False):
        for seed in range(wanted.seeds if names else wanted.without_names):
            for name in wanted.sets:
                who = "set head" if names else "set head, no names"
                if (name, who, seed) not in done:
                    for line in taught(name, seed, who, **({} if names else NAMELESS)):
                        keep(line)
                wanted.results.with_suffix(".md").write_text(page(lines), encoding="utf-8")
    held = {"runs": lines, "machine": machine(), "versions": versions()}
    wanted.results.with_suffix(".json").write_text(json.dumps(held, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
