"""Kanji numerals from nothing: `make bench-numerals`.

    python benchmarks/numerals.py [default] [longer] [few] [table] [--seeds 3]

default  the shipped experiment on an exam of 20,000 fresh numbers, three seeds; kannume-200 beside it
longer   the same with a larger budget
few      the numerals log's regime: 160 rows by rule, 40 to test, five seeds, every notation
table    writes benchmarks/results/numerals.md, numerals_longer.md and numerals_160.md from the run folders that the
         others left in benchmarks/work/

Every run is a process of its own, so that its time and its peak memory are its own.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import taught
from machine import table, told, write
from terakoya.runs import read_json, read_lines
from terakoya.runs.result import read_result
from terakoya.scoring.statistics.intervals import wilson

WORK = Path(__file__).parent / "work" / "numerals"
NOTATIONS = ("plain", "bracketed", "groups", "pds", "exponent", "reversed")
LOG = {"plain": ".575 (digits, bracketed)", "bracketed": ".575", "pds": ".40", "exponent": ".50"}
LONGER = ("train.steps=16000",)


def teach(kind: str, experiment: str, settings: Sequence[str]) -> None:
    taught.teach(WORK / kind, experiment, settings)


def runs(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    return taught.runs(WORK / kind)


def by_form(run: Path) -> dict[str, tuple[int, int]]:
    """Right answers and items of the main part, form by form."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in read_lines(run / "predictions.jsonl"):
        if line["part"] == "":
            counts[line["tags"]["form"]][0] += int(line["verdict"])
            counts[line["tags"]["form"]][1] += 1
    return {form: (right, n) for form, (right, n) in counts.items()}


def figure(run: Path, part: str) -> tuple[int, int, str]:
    """Right answers, items and the figure with its interval, of one part of the exam."""
    for score in read_result(run).scores:
        if score.who == "model" and score.part == part and score.metric == "exact":
            return round(score.value * score.n), score.n, f"{score.value:.4%} [{score.low:.4%}, {score.high:.4%}]"
    raise SystemExit(f"{run}: no part '{part}'")


def large(kind: str, title: str) -> str:
    rows = []
    for run, cost in runs(kind):
        right, n, words = figure(run, "")
        forms = by_form(run)
        weakest = min(forms, key=lambda form: forms[form][0] / forms[form][1])
        share = forms[weakest][0] / forms[weakest][1]
        kannume, items, _ = figure(run, "kannume-200")
        seed = read_json(run / "manifest.json")["seed"]
        training = read_json(run / "manifest.json")["training"]
        minutes, memory = taught.spent(cost)
        steps = f"{training['steps']} steps"
        rows.append(
            (seed, f"{right}/{n}", words, f"{weakest} {share:.3%}", f"{kannume}/{items}", steps, minutes, memory)
        )
    head = (
        "seed",
        "right",
        "exact, 95%",
        "weakest form",
        "kannume-200",
        "training",
        "minutes",
        "peak memory up to here",
    )
    return f"## {title}\n\n{table(head, rows)}\n"


def forms(kind: str) -> str:
    found = [by_form(run) for run, _ in runs(kind)]
    if not found:
        return ""
    rows = []
    for form in sorted(found[0]):
        right, n = sum(one[form][0] for one in found), sum(one[form][1] for one in found)
        low, high = wilson(right, n)
        rows.append((form, f"{right}/{n}", f"{right / n:.3%}", f"{low:.3%} – {high:.3%}"))
    return f"### By form, all seeds together\n\n{table(('form', 'right', 'exact', '95%'), rows)}\n"


def few() -> str:
    counts: dict[str, list[int]] = defaultdict(list)
    for run, _ in runs("few"):
        counts[read_result_notation(run)].append(figure(run, "")[0])
    rows = []
    for notation in NOTATIONS:
        if notation in counts:
            right, n = sum(counts[notation]), 40 * len(counts[notation])
            low, high = wilson(right, n)
            each = " ".join(f"{one / 40:.3f}" for one in counts[notation])
            rows.append((notation, each, f"{right / n:.3f}", f"{low:.3f} – {high:.3f}", n, LOG.get(notation, "")))
    head = ("notation", "each seed", "mean", "95% (items pooled)", "n", "the log, Gemma-3-270M fine-tuned")
    words = "160 rows made by rule in the log's style, 40 to test; each seed has its own rows, the log had others.\n"
    return f"## 160 rows\n\n{words}\n{table(head, rows)}\n"


def read_result_notation(run: Path) -> str:
    import tomllib

    return str(tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))["task"]["notation"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["default", "longer", "few", "table"])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for seed in range(asked.seeds):
        if "default" in asked.what:
            teach("default", "kannume", ("score.exam_items=20000", f"seed={seed}"))
    for seed in range(asked.seeds):
        if "longer" in asked.what:
            teach("longer", "kannume", ("score.exam_items=20000", *LONGER, f"seed={seed}"))
    if "few" in asked.what:
        for seed in range(5):
            for notation in NOTATIONS:
                settings = (
                    f"task.notation={notation}",
                    f"task.options.exam_seed={seed}",
                    f"seed={seed}",
                    "train.threads=1",
                )
                teach("few", "kannume-160", settings)
    if "table" in asked.what:
        for page in pages():
            print(page)


def pages() -> Iterator[Path]:
    """A page for each kind of which there are runs; the others stay as they were."""
    titles = {
        "default": ("numerals", "Default budget, 20,000 fresh numbers of 1,000 and more"),
        "longer": ("numerals_longer", f"Longer budget ({', '.join(LONGER)})"),
        "few": ("numerals_160", "160 rows"),
    }
    for kind, (name, title) in titles.items():
        found = list(runs(kind))
        if found:
            text = f"# Kanji numerals\n\n{told(('torch',))}\n\n"
            text += few() if kind == "few" else large(kind, title) + forms(kind)
            values = [{"run": run.name, "cost": cost, "forms": by_form(run)} for run, cost in found]
            yield write(name, text, {"machine": told(("torch",)), kind: values})


if __name__ == "__main__":
    main()
