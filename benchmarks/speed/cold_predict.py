"""The first prediction of a fresh process: CPU seconds of `terakoya predict`, in numpy and in PyTorch.

    python -m benchmarks.speed.cold_predict RUN [RUN …] [--times 5]

Both ways are timed in turn on the same run folder: as the command works, and with `decode.method=beam` and one beam,
which takes PyTorch. Then every exam item of the run is predicted in numpy and held against the run's own predictions,
which PyTorch made. Writes benchmarks/results/cold_predict.json and .md.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.saved_model import read_skill

WAYS = {"numpy": (), "PyTorch": ("--set", "decode.method=beam", "--set", "decode.beams=1")}


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def same_answers(run: Path) -> dict[str, float]:
    """Exam items, those with the same raw text, the largest difference of probability, and milliseconds for one."""
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    skill = read_skill(run, predict_only=True)
    predicted = skill.predict([row["source"] for row in rows])
    started = time.process_time()
    for row in rows[:50]:
        skill(row["source"])
    each = (time.process_time() - started) / len(rows[:50])
    differences = [
        abs((mine.probability or 0) - (row["probability"] or 0)) for mine, row in zip(predicted, rows, strict=True)
    ]
    equal = sum(mine.raw == row["raw"] for mine, row in zip(predicted, rows, strict=True))
    return {"items": len(rows), "equal": equal, "difference": max(differences), "milliseconds": 1000 * each}


def main() -> None:
    """Times every run folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=5)
    args = parser.parse_args()
    results = []
    for run in args.runs:
        first = json.loads((run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()[0])["source"]
        command = [sys.executable, "-m", "terakoya", "predict", str(run), first]
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(args.times):
            for way, settings in WAYS.items():
                seconds[way].append(cpu_seconds([*command, *settings]))
        medians = {way: statistics.median(values) for way, values in seconds.items()}
        results.append({"run": run.name.rsplit("-", 2)[0], "cpu seconds": medians, **same_answers(run)})
        print(results[-1], flush=True)
    lines = [
        (
            one["run"], f"{one['cpu seconds']['numpy']:.2f}", f"{one['cpu seconds']['PyTorch']:.2f}",
            f"{one['milliseconds']:.1f}", f"{one['equal']} of {one['items']}", f"{one['difference']:.1e}",
        )
        for one in results
    ]  # fmt: skip
    heads = (
        "skill",
        "numpy, CPU s",
        "PyTorch, CPU s",
        "ms an answer, numpy",
        "exam answers equal",
        "largest difference",
    )
    text = f"# The first prediction of a fresh process\n\n{machine_summary()}; median of {args.times}\n\n"
    write_results("cold_predict", text + markdown_table(heads, lines), {"runs": results})


if __name__ == "__main__":
    main()
