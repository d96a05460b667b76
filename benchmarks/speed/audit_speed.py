"""Throughput and peak memory of the audit on a large table.

    python -m benchmarks.speed.audit_speed [--rows 5000000] [--codec labels] [--folder PLACE] [--result FILE]

Writes a CSV of Japanese sentences with sets of emoji (a third of a gigabyte), audits it in a process of its own as
`terakoya audit` does, and writes benchmarks/results/audit_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.reporting import RESULTS, machine_summary

EMOJI = "📚🎉😅⚽🤔🌞🔬🎵🔥💔🏀😄😊😢💭🌍🏆😲🎮🐱🍛🚀🌸🎨"
BLOCK = 100_000  # rows written at once
KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわ"


def write_table(path: Path, rows: int, seed: int = 0) -> None:
    """A CSV of `rows` nonsense sentences with one to four emoji each."""
    rng, numbers = Random(seed), np.random.default_rng(seed)
    words = np.array(["".join(rng.choices(KANA, k=rng.randint(2, 5))) for _ in range(5000)])
    targets = np.array([" ".join(rng.sample(EMOJI, rng.randint(1, 4))) for _ in range(400_000)])
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("source,target\n")
        for begin in range(0, rows, BLOCK):
            size = min(BLOCK, rows - begin)
            sentences = words[numbers.integers(len(words), size=(size, 7))].tolist()
            labels = targets[numbers.integers(len(targets), size=size)].tolist()
            file.writelines(f"{''.join(row)}。,{target}\n" for row, target in zip(sentences, labels, strict=True))


def audit_in_child(path: Path, codec: str) -> None:
    """Audit `path` and print seconds, peak memory and findings as JSON: the body of the child process."""
    from terakoya.config import make_config
    from terakoya.data.audit import audit_table

    started = time.perf_counter()
    findings = audit_table(path, make_config({"task": {"data": path.name, "codec": codec}}))
    measured = {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_mebibytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "findings": [f"{finding.level} {finding.check}" for finding in findings],
    }
    print(json.dumps(measured))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--codec", default="labels")
    parser.add_argument("--folder", type=Path, help="where the table is written for the time of the measurement")
    parser.add_argument("--result", default="audit_speed.json")
    parser.add_argument("--child", type=Path)
    args = parser.parse_args()
    if args.child:
        return audit_in_child(args.child, args.codec)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        table = Path(folder) / "large.csv"
        write_table(table, args.rows)
        size = table.stat().st_size
        command = [sys.executable, "-m", "benchmarks.speed.audit_speed", "--child", str(table), "--codec", args.codec]
        env = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        process = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    measured = {
        "machine": machine_summary(("polars",)),
        "rows": args.rows,
        "mebibytes": round(size / 2**20),
        "codec": args.codec,
    } | json.loads(process.stdout)
    measured["rows_per_second"] = round(args.rows / measured["seconds"])
    measured["rows_per_cpu_second"] = round(args.rows / measured["cpu_seconds"])
    print(json.dumps(measured, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / args.result).write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
