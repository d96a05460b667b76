"""Recipe lines from nothing: `make bench-recipes`.

    python benchmarks/recipes.py [--seeds 3] [--only SEED] [--table]

The shipped experiment `recipe-scaling` on 20,000 fresh lines, whose names and whose pairs of quantity and factor were
never taught, and on the 234 lines written by hand; three seeds. A run that is there is not repeated; --table only
writes benchmarks/results/recipes.md from the run folders in benchmarks/work/.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import taught
from machine import table, told, write
from terakoya.runs import read_json, read_lines
from terakoya.scoring.statistics.intervals import wilson

WORK = Path(__file__).parent / "work" / "recipes"
MAIN, HAND = "", "hand-written"
Counts = dict[tuple[str, str], list[int]]  # (part, kind) → right answers and items


def counted(run: Path) -> Counts:
    counts: Counts = defaultdict(lambda: [0, 0])
    for line in read_lines(run / "predictions.jsonl"):
        for kind in ("", line["tags"]["kind"]):
            counts[line["part"], kind][0] += int(line["verdict"])
            counts[line["part"], kind][1] += 1
    return counts


def share(right: int, items: int) -> str:
    low, high = wilson(right, items)
    return f"{right / items:.2%} [{low:.2%}, {high:.2%}]"


def page() -> tuple[str, dict[str, object]]:
    rows, values = [], []
    together: Counts = defaultdict(lambda: [0, 0])
    for run, cost in taught.runs(WORK):
        counts = counted(run)
        manifest = read_json(run / "manifest.json")
        (right, items), (by_hand, lines) = counts[MAIN, ""], counts[HAND, ""]
        rows.append((
            manifest["seed"], f"{right}/{items}", share(right, items), f"{by_hand}/{lines}", share(by_hand, lines),
            manifest["training"]["steps"], *taught.spent(cost),
        ))  # fmt: skip
        values.append({"seed": manifest["seed"], "main": [right, items], "hand": [by_hand, lines], "cost": cost})
        for key, (good, all_) in counts.items():
            together[key][0] += good
            together[key][1] += all_
    head = (
        "seed",
        "right",
        "fresh lines, 95%",
        "by hand",
        "by hand, 95%",
        "steps",
        "minutes",
        "peak memory up to here",
    )
    text = f"# Recipe lines\n\n{told(('torch',))}\n\n{table(head, rows)}\n"
    text += "Names, and pairs of quantity and factor, of the fresh lines were never taught. Rules alone, the exempt\n"
    text += "baseline, read every fresh line: they were made by rule.\n\n## By kind, all seeds together\n\n"
    kinds = [
        ("by hand" if part else "fresh", kind, f"{right}/{items}", share(right, items))
        for (part, kind), (right, items) in sorted(together.items())
        if kind
    ]
    text += table(("lines", "kind", "right", "exact, 95%"), kinds)
    return text, {"machine": told(("torch",)), "runs": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, default=-1, help="one seed, for a process of its own")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    for seed in () if asked.table else range(asked.seeds) if asked.only < 0 else (asked.only,):
        taught.teach(WORK, "recipe-scaling", ("score.exam_items=20000", f"seed={seed}"))
    text, values = page()
    print(write("recipes", text, values).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
