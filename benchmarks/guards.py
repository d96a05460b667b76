"""How guards end a training: faults by kind and seed, and as many healthy runs.

    python benchmarks/guards.py [--seeds 5] [--first 100]

writes benchmarks/results/guards.md and guards.json. Faults (tests/training/faults.py) enter through config, data or
weights alone. A plain loop beside each run, which knows nothing of ours, says at which step the fault first shows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "training"))
from faults import FAULTS, HEALTHY, healthy, in_time, outcome, right

from terakoya.runs.environment import machine, versions

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--first", type=int, default=100, help="the first seed; those below 10 were used while building"
    )
    asked = parser.parse_args()
    seeds = asked.seeds
    torch.set_num_threads(1)
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        faults = [
            [outcome(fault, seed, Path(folder)) for seed in range(asked.first, asked.first + seeds)] for fault in FAULTS
        ]
        stopped = [
            [bool(healthy(number, seed, Path(folder))) for seed in range(asked.first, asked.first + seeds)]
            for number in range(len(HEALTHY))
        ]
    rows = [
        {
            "fault": fault.name,
            "enters": fault.enters,
            "cause": "row refused by name" if fault.cause == "row" else fault.cause,
            "runs": seeds,
            "in time": sum(in_time(fault, end) for end in ends),
            "right": sum(right(fault, end) for end in ends),
        }
        for fault, ends in zip(FAULTS, faults, strict=True)
    ]
    alarms = {name: sum(found) for (name, _, _), found in zip(HEALTHY, stopped, strict=True)}
    write(rows, alarms, seeds, asked.first, time.monotonic() - started)


def write(rows: list[dict[str, object]], alarms: dict[str, int], seeds: int, first: int, seconds: float) -> None:
    runs = len(rows) * seeds
    totals = {key: sum(int(str(row[key])) for row in rows) for key in ("in time", "right")}
    lines = [
        "# Guards while training",
        "",
        f"{len(rows)} kinds of fault × {seeds} seeds: {totals['in time']} of {runs} stopped within one step, "
        f"cause named right in {totals['right']} of {runs}. {len(alarms)} kinds of healthy run × {seeds} seeds: "
        f"{sum(alarms.values())} of {len(alarms) * seeds} stopped.",
        "",
        "| fault | enters through | cause that must be named | stopped within one step | cause named right |",
        "|---|---|---|---|---|",
        *(
            f"| {row['fault']} | {row['enters']} | {row['cause']} | {row['in time']} / {seeds} "
            f"| {row['right']} / {seeds} |"
            for row in rows
        ),
        "",
        "| healthy run | stopped |",
        "|---|---|",
        *(f"| {name} | {count} / {seeds} |" for name, count in alarms.items()),
        "",
        f"`python benchmarks/guards.py --seeds {seeds} --first {first}`, {seconds:.0f} s on one thread; "
        f"{machine()['processor']}; {', '.join(f'{name} {version}' for name, version in versions().items())}.",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "guards.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    held = {"faults": rows, "healthy": alarms, "seeds": seeds, "machine": machine(), "versions": versions()}
    (RESULTS / "guards.json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
