"""Recipe lines trained from scratch: `make bench-recipes`.

    python -m benchmarks.quality.recipes [--seeds 3] [--only SEED] [--table]

The shipped experiment `recipe-scaling` on 20,000 fresh lines, whose names and whose pairs of quantity and factor occur
in no training row, and on the 234 lines written by hand; three seeds. A finished run is not repeated; --table only
writes benchmarks/results/recipes.md from the run folders in benchmarks/work/.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from benchmarks.reporting import WORK as WORK_FOLDERS
from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.trained_fixtures import finished_runs, format_cost, train_once
from terakoya.records import subset_of
from terakoya.runs import read_json, read_lines
from terakoya.scoring.statistics.intervals import wilson

WORK = WORK_FOLDERS / "recipes"
MAIN, HAND = "", "hand-written"
Counts = dict[tuple[str, str], list[int]]  # (subset, kind) → [correct predictions, items]


def count_correct(run: Path) -> Counts:
    """Correct predictions and items of a run, by subset and kind of line (kind "": all)."""
    counts: Counts = defaultdict(lambda: [0, 0])
    for line in read_lines(run / "predictions.jsonl"):
        for kind in ("", line["tags"]["kind"]):
            counts[subset_of(line), kind][0] += int(line["verdict"])
            counts[subset_of(line), kind][1] += 1
    return counts


def format_share(correct: int, items: int) -> str:
    """A share with its 95% Wilson interval."""
    low, high = wilson(correct, items)
    return f"{correct / items:.2%} [{low:.2%}, {high:.2%}]"


def page() -> tuple[str, dict[str, object]]:
    rows, values = [], []
    totals: Counts = defaultdict(lambda: [0, 0])
    for run, cost in finished_runs(WORK):
        counts = count_correct(run)
        manifest = read_json(run / "manifest.json")
        (correct, items), (by_hand, lines) = counts[MAIN, ""], counts[HAND, ""]
        rows.append((
            manifest["seed"], f"{correct}/{items}", format_share(correct, items),
            f"{by_hand}/{lines}", format_share(by_hand, lines), manifest["training"]["steps"], *format_cost(cost),
        ))  # fmt: skip
        values.append({"seed": manifest["seed"], "main": [correct, items], "hand": [by_hand, lines], "cost": cost})
        for key, (hits, n) in counts.items():
            totals[key][0] += hits
            totals[key][1] += n
    head = (
        "seed",
        "correct",
        "fresh lines, 95%",
        "by hand",
        "by hand, 95%",
        "steps",
        "minutes",
        "peak memory up to here",
    )
    text = f"# Recipe lines\n\n{machine_summary(('torch',))}\n\n{markdown_table(head, rows)}\n"
    text += "Names, and pairs of quantity and factor, of the fresh lines occur in no training row. Rules alone, the\n"
    text += "exempt baseline, solve every fresh line: they were made by rule.\n\n## By kind, all seeds together\n\n"
    kinds = [
        ("by hand" if part else "fresh", kind, f"{correct}/{items}", format_share(correct, items))
        for (part, kind), (correct, items) in sorted(totals.items())
        if kind
    ]
    text += markdown_table(("lines", "kind", "correct", "exact, 95%"), kinds)
    return text, {"machine": machine_summary(("torch",)), "runs": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, default=-1, help="one seed, for a process of its own")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    for seed in () if args.table else range(args.seeds) if args.only < 0 else (args.only,):
        train_once(WORK, "recipe-scaling", ("score.exam_items=20000", f"seed={seed}"))
    text, values = page()
    print(write_results("recipes", text, values).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
