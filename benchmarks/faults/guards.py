"""Detection of training faults by the guards: faults by kind and seed, and as many healthy runs.

    python -m benchmarks.faults.guards [--seeds 5] [--first 100]

Writes benchmarks/results/guards.md and guards.json. Faults (tests/training/faults.py) enter through config, data or
weights alone. A plain loop beside each run, which shares no code with ours, says at which step the fault first shows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from faults import FAULTS, HEALTHY, healthy, in_time, outcome, right

from benchmarks.reporting import RESULTS
from terakoya.runs.environment import machine, versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--first", type=int, default=100, help="the first seed; those below 10 were used in development"
    )
    args = parser.parse_args()
    seeds = args.seeds
    torch.set_num_threads(1)
    started = time.monotonic()
    with TemporaryDirectory() as folder:
        faults = [
            [outcome(fault, seed, Path(folder)) for seed in range(args.first, args.first + seeds)] for fault in FAULTS
        ]
        stopped = [
            [bool(healthy(number, seed, Path(folder))) for seed in range(args.first, args.first + seeds)]
            for number in range(len(HEALTHY))
        ]
    rows = [
        {
            "fault": fault.name,
            "enters": fault.enters,
            "cause": "row refused by name" if fault.cause == "row" else fault.cause,
            "runs": seeds,
            "in time": sum(in_time(fault, end) for end in ends),
            "correct": sum(right(fault, end) for end in ends),
        }
        for fault, ends in zip(FAULTS, faults, strict=True)
    ]
    false_alarms = {name: sum(found) for (name, _, _), found in zip(HEALTHY, stopped, strict=True)}
    write_page(rows, false_alarms, seeds, args.first, time.monotonic() - started)


def write_page(
    rows: list[dict[str, object]], false_alarms: dict[str, int], seeds: int, first: int, seconds: float
) -> None:
    """Write the page and its values, and print the page."""
    runs = len(rows) * seeds
    totals = {key: sum(int(str(row[key])) for row in rows) for key in ("in time", "correct")}
    lines = [
        "# Guards during training",
        "",
        f"{len(rows)} kinds of fault × {seeds} seeds: {totals['in time']} of {runs} stopped within one step, "
        f"correct cause in {totals['correct']} of {runs}. {len(false_alarms)} kinds of healthy run × {seeds} seeds: "
        f"{sum(false_alarms.values())} of {len(false_alarms) * seeds} stopped.",
        "",
        "| fault | enters through | expected cause | stopped within one step | correct cause |",
        "|---|---|---|---|---|",
        *(
            f"| {row['fault']} | {row['enters']} | {row['cause']} | {row['in time']} / {seeds} "
            f"| {row['correct']} / {seeds} |"
            for row in rows
        ),
        "",
        "| healthy run | stopped |",
        "|---|---|",
        *(f"| {name} | {count} / {seeds} |" for name, count in false_alarms.items()),
        "",
        f"`python -m benchmarks.faults.guards --seeds {seeds} --first {first}`, {seconds:.0f} s on one thread; "
        f"{machine()['processor']}; {', '.join(f'{name} {version}' for name, version in versions().items())}.",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "guards.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {"faults": rows, "healthy": false_alarms, "seeds": seeds, "machine": machine(), "versions": versions()}
    (RESULTS / "guards.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
