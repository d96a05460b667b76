"""Runs whose settings are drawn by lot: each comes to its end, or is refused in words; none may fall over.

    python benchmarks/settings_by_lot.py [--runs 150] [--first 0]

Bases: the built-in model and small random checkpoints of five architectures. Tasks: text, numbers, labels, quantities,
a few hundred rows made here. One to six settings besides the base are drawn for each run. What ran is asked once more
from its folder, by `predict` and by `evaluate`, and must answer as it did in its exam; answers must be legal where they
are held to the codec, intervals in order. Written: results/settings_by_lot.md and .json, with every fall in full.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from machine import table, told, write

TESTS = Path(__file__).parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "models")]
from checkpoints import FAMILIES, checkpoint  # noqa: E402

from by_lot import CHOICES, attempt  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=150)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began, found = time.monotonic(), []
    with TemporaryDirectory() as place:
        home = Path(place)
        bases = {family: str(checkpoint(home / family, family)) for family in FAMILIES}
        bases["tiny"] = "tiny"
        for number in range(asked.first, asked.first + asked.runs):
            found.append(attempt(number, bases, home / f"run-{number}"))
            print(number, found[-1]["ended"], found[-1].get("kind", ""), file=sys.stderr, flush=True)
    ends = Counter(one["ended"] for one in found)
    kinds = Counter(one["kind"] for one in found if one["ended"] == "refused")
    keys = {key for one in found for key in one["settings"] if key in CHOICES}
    page = "# Runs with settings by lot\n\n"
    page += f"Made by `python benchmarks/settings_by_lot.py --runs {asked.runs} --first {asked.first}`: {told()}.\n"
    page += f"{len(found)} runs, {len(keys)} settings drawn from, {time.monotonic() - began:.0f} s.\n\n"
    refused = " ".join(["refused in words", *(f"{kind} {many}" for kind, many in sorted(kinds.items()))])
    page += table(
        ("ended", "runs"),
        [("done, and answered the same again", ends["ran"]), (refused, ends["refused"]), ("fell over", ends["fell"])],
    )
    write("settings_by_lot", page, {"runs": found})
    print(page)
    return 1 if ends["fell"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
