"""Random tables audited in blocks of columns and row by row: the findings, or the refusal, must be the same.

    python -m benchmarks.faults.audit_tables [--tables 10000] [--first 0] [--seconds 0]

Runs the property test of tests/data/test_audit_blocks.py over the seeds from `--first` on, 200 at a time, until there
are as many tables or no further ones fit into the seconds; adds them to benchmarks/results/audit_tables.json, so that
several runs make one count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from benchmarks.reporting import RESULTS, ROOT, machine_summary, markdown_table, write_results

STEP = 200  # tables of one process
TEST = "tests/data/test_audit_blocks.py"


def check(first: int, tables: int) -> str:
    """Runs the test over some seeds; returns what pytest said where it failed."""
    env = os.environ | {"TERAKOYA_FIRST_TABLE": str(first), "TERAKOYA_TABLES": str(tables)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        TEST,
        "-k",
        "blocks_say",
    ]
    process = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return "" if process.returncode == 0 else process.stdout[-2000:]


def record(first: int, tables: int, fault: str) -> None:
    """Adds a run to the kept result; a seed that was run again replaces what it said before."""
    path = RESULTS / "audit_tables.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    runs = sorted(
        [one for one in kept if one["first"] != first] + [{"first": first, "tables": tables, "fault": fault}],
        key=lambda one: one["first"],
    )
    alike = sum(one["tables"] for one in runs if not one["fault"])
    faults = [one for one in runs if one["fault"]]
    page = "# Audits in blocks of columns and row by row, on random tables\n\n" + markdown_table(
        ("tables", "seeds", "runs with a difference"),
        [(alike, f"{runs[0]['first']} to {runs[-1]['first'] + runs[-1]['tables'] - 1}", len(faults))],
    )
    write_results("audit_tables", page, {"machine": machine_summary(("polars",)), "tables": alike, "runs": runs})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0, help="no further step begins after them; 0 is no bound")
    args = parser.parse_args()
    started, faults = time.monotonic(), 0
    for first in range(args.first, args.first + args.tables, STEP):
        if args.seconds and time.monotonic() - started > args.seconds:
            break
        tables = min(STEP, args.first + args.tables - first)
        fault = check(first, tables)
        record(first, tables, fault)
        faults += bool(fault)
        print(f"seeds {first} to {first + tables - 1}: {fault or 'alike'}", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
