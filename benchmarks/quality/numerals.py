"""Kanji numerals trained from scratch: `make bench-numerals`.

    python -m benchmarks.quality.numerals [default] [longer] [few] [table] [--seeds 3]

default  the shipped experiment on an exam of 20,000 fresh numbers, three seeds, with kannume-200 as a second subset
longer   the same with a larger budget
few      the numerals log's regime: 160 rows by rule, 40 to test, five seeds, every notation
table    writes benchmarks/results/numerals.md, numerals_longer.md and numerals_160.md from the run folders that the
         others left in benchmarks/work/
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting import WORK as WORK_FOLDERS
from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.trained_fixtures import finished_runs, format_cost, train_once
from terakoya.records import subset_of
from terakoya.runs import read_json, read_lines
from terakoya.runs.result import read_result
from terakoya.scoring.statistics.intervals import wilson

WORK = WORK_FOLDERS / "numerals"
NOTATIONS = ("plain", "bracketed", "groups", "pds", "exponent", "reversed")
LOG_ACCURACY = {"plain": ".575 (digits, bracketed)", "bracketed": ".575", "pds": ".40", "exponent": ".50"}
LONGER_SETTINGS = ("train.steps=16000",)


def train_kind(kind: str, experiment: str, settings: Sequence[str]) -> None:
    """One run under the work folder of `kind` (default, longer or few)."""
    train_once(WORK / kind, experiment, settings)


def runs_of_kind(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    return finished_runs(WORK / kind)


def by_form(run: Path) -> dict[str, tuple[int, int]]:
    """(correct predictions, items) of the main subset for each written form."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in read_lines(run / "predictions.jsonl"):
        if subset_of(line) == "":
            counts[line["tags"]["form"]][0] += int(line["verdict"])
            counts[line["tags"]["form"]][1] += 1
    return {form: (correct, n) for form, (correct, n) in counts.items()}


def accuracy(run: Path, subset: str) -> tuple[int, int, str]:
    """(correct predictions, items, exact match with its 95% interval) of one subset of the exam."""
    for score in read_result(run).scores:
        if score.who == "model" and score.subset == subset and score.metric == "exact":
            return round(score.value * score.n), score.n, f"{score.value:.4%} [{score.low:.4%}, {score.high:.4%}]"
    raise SystemExit(f"{run}: no subset '{subset}'")


def accuracy_table(kind: str, title: str) -> str:
    rows = []
    for run, cost in runs_of_kind(kind):
        correct, n, value = accuracy(run, "")
        forms = by_form(run)
        weakest = min(forms, key=lambda form: forms[form][0] / forms[form][1])
        share = forms[weakest][0] / forms[weakest][1]
        kannume, items, _ = accuracy(run, "kannume-200")
        seed = read_json(run / "manifest.json")["seed"]
        training = read_json(run / "manifest.json")["training"]
        minutes, memory = format_cost(cost)
        steps = f"{training['steps']} steps"
        rows.append(
            (seed, f"{correct}/{n}", value, f"{weakest} {share:.3%}", f"{kannume}/{items}", steps, minutes, memory)
        )
    head = (
        "seed",
        "correct",
        "exact, 95%",
        "weakest form",
        "kannume-200",
        "training",
        "minutes",
        "peak memory up to here",
    )
    return f"## {title}\n\n{markdown_table(head, rows)}\n"


def form_table(kind: str) -> str:
    found = [by_form(run) for run, _ in runs_of_kind(kind)]
    if not found:
        return ""
    rows = []
    for form in sorted(found[0]):
        correct, n = sum(one[form][0] for one in found), sum(one[form][1] for one in found)
        low, high = wilson(correct, n)
        rows.append((form, f"{correct}/{n}", f"{correct / n:.3%}", f"{low:.3%} – {high:.3%}"))
    return f"### By form, all seeds together\n\n{markdown_table(('form', 'correct', 'exact', '95%'), rows)}\n"


def notation_table() -> str:
    counts: dict[str, list[int]] = defaultdict(list)
    for run, _ in runs_of_kind("few"):
        counts[notation_of(run)].append(accuracy(run, "")[0])
    rows = []
    for notation in NOTATIONS:
        if notation in counts:
            correct, n = sum(counts[notation]), 40 * len(counts[notation])
            low, high = wilson(correct, n)
            each = " ".join(f"{one / 40:.3f}" for one in counts[notation])
            rows.append(
                (notation, each, f"{correct / n:.3f}", f"{low:.3f} – {high:.3f}", n, LOG_ACCURACY.get(notation, ""))
            )
    head = ("notation", "each seed", "mean", "95% (items pooled)", "n", "the log's Gemma-3-270M, fine-tuned")
    note = "160 rows made by rule in the log's style, 40 to test; each seed has its own rows, the log had others.\n"
    return f"## 160 rows\n\n{note}\n{markdown_table(head, rows)}\n"


def notation_of(run: Path) -> str:
    import tomllib

    return str(tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))["task"]["notation"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["default", "longer", "few", "table"])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    for seed in range(args.seeds):
        if "default" in args.what:
            train_kind("default", "kannume", ("score.exam_items=20000", f"seed={seed}"))
    for seed in range(args.seeds):
        if "longer" in args.what:
            train_kind("longer", "kannume", ("score.exam_items=20000", *LONGER_SETTINGS, f"seed={seed}"))
    if "few" in args.what:
        for seed in range(5):
            for notation in NOTATIONS:
                settings = (
                    f"task.notation={notation}",
                    f"task.options.exam_seed={seed}",
                    f"seed={seed}",
                    "train.threads=1",
                )
                train_kind("few", "kannume-160", settings)
    if "table" in args.what:
        for page in write_pages():
            print(page)


def write_pages() -> Iterator[Path]:
    """Write a page for each kind that has runs; the other pages stay as they were."""
    titles = {
        "default": ("numerals", "Default budget, 20,000 fresh numbers of 1,000 and more"),
        "longer": ("numerals_longer", f"Longer budget ({', '.join(LONGER_SETTINGS)})"),
        "few": ("numerals_160", "160 rows"),
    }
    for kind, (name, title) in titles.items():
        found = list(runs_of_kind(kind))
        if found:
            text = f"# Kanji numerals\n\n{machine_summary(('torch',))}\n\n"
            text += notation_table() if kind == "few" else accuracy_table(kind, title) + form_table(kind)
            values = [{"run": run.name, "cost": cost, "forms": by_form(run)} for run, cost in found]
            yield write_results(name, text, {"machine": machine_summary(("torch",)), kind: values})


if __name__ == "__main__":
    main()
