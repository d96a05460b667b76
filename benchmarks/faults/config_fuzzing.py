"""Random configurations: each run finishes, or is refused with a reason; none may crash.

    python -m benchmarks.faults.config_fuzzing [--runs 150] [--first 0]

Bases: the built-in model and small random checkpoints of five architectures. Tasks: text, numbers, labels, quantities,
240 generated rows each. One to six settings besides the base are drawn for each run. A finished run is used again from
its folder, by `predict` and by `evaluate`, and must predict as it did in its exam; predictions must be legal where they
are constrained by the codec, and scores lie within their intervals. Written: results/config_fuzzing.md and .json, with
every crash in full.
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
from checkpoints import FAMILIES, checkpoint

from benchmarks.faults.random_configs import CHOICES, try_run
from benchmarks.reporting import machine_summary, markdown_table, write_results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=150)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    started, outcomes = time.monotonic(), []
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        bases = {family: str(checkpoint(folder / family, family)) for family in FAMILIES}
        bases["tiny"] = "tiny"
        for number in range(args.first, args.first + args.runs):
            outcomes.append(try_run(number, bases, folder / f"run-{number}"))
            print(number, outcomes[-1]["ended"], outcomes[-1].get("kind", ""), file=sys.stderr, flush=True)
    counts = Counter(outcome["ended"] for outcome in outcomes)
    kinds = Counter(outcome["kind"] for outcome in outcomes if outcome["ended"] == "refused")
    keys = {key for outcome in outcomes for key in outcome["settings"] if key in CHOICES}
    page = "# Runs with random configurations\n\n"
    page += (
        f"`python -m benchmarks.faults.config_fuzzing --runs {args.runs} --first {args.first}`: {machine_summary()}.\n"
    )
    page += f"{len(outcomes)} runs, {len(keys)} settings drawn from, {time.monotonic() - started:.0f} s.\n\n"
    refused = " ".join(["refused with a reason", *(f"{kind} {count}" for kind, count in sorted(kinds.items()))])
    page += markdown_table(
        ("ended", "runs"),
        [
            ("finished, and predictions reproduced", counts["finished"]),
            (refused, counts["refused"]),
            ("crashed", counts["crashed"]),
        ],
    )
    write_results("config_fuzzing", page, {"runs": outcomes})
    print(page)
    return 1 if counts["crashed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
