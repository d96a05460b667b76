"""The time that preflight names before the first step, against the time that the training took.

    python -m benchmarks.speed.time_estimate [NAME …]

Each training is a process of its own (`terakoya train`); the estimate is the finding `duration` of its record, the
truth the manifest's seconds of training and evaluation. On a machine that others use too both move with the load.
Written: results/time_estimate.md and .json; exit 1 where an estimate is further off than 25%.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.runs import read_json, read_lines

GEMMA = Path(__file__).parents[2] / ".models" / "gemma-3-270m-q4_k_m.gguf"  # scripts/get-gemma.sh
RUNS = {
    "kannume": ("kannume", "train.steps=600", "score.exam_items=200"),
    "kannume-160": ("kannume-160", "train.steps=600"),
    "recipe-scaling": ("recipe-scaling", "train.steps=200", "score.exam_items=200"),
    "emoji-v1": ("emoji-v1-cured",),
    "emoji-v2": ("emoji-v2",),
    "gemma": ("kannume-160", f"model.base={GEMMA}", "model.vocabulary=trimmed", "train.steps=40"),
}  # fmt: skip
TOLERANCE = 0.25


def estimate_and_truth(experiment: str, *settings: str) -> tuple[float, float]:
    """Seconds that preflight expected, and seconds that the training took."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "terakoya", "train", experiment, "--run-dir", folder, "--anyway"]
        for setting in settings:
            command += ["--set", setting]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        (run,) = (path.parent for path in Path(folder).glob("*/manifest.json"))
        (found,) = (line for line in read_lines(run / "findings.jsonl") if line["check"] == "duration")
        return float(found["values"]["seconds"]), float(read_json(run / "manifest.json")["training"]["seconds"])


def main() -> int:
    names = sys.argv[1:] or list(RUNS)
    values = {name: estimate_and_truth(*RUNS[name]) for name in names}
    lines = [
        (name, f"{expected:.1f}", f"{taken:.1f}", f"{expected / taken - 1:+.0%}")
        for name, (expected, taken) in values.items()
    ]
    text = (
        f"# Time estimates\n\n{machine_summary(('torch',))}\n\n"
        f"{markdown_table(('training', 'expected, s', 'taken, s', 'off by'), lines)}\n"
    )
    print(write_results("time_estimate", text, {"machine": machine_summary(("torch",)), **values}).read_text("utf-8"))
    return int(any(abs(expected / taken - 1) > TOLERANCE for expected, taken in values.values()))


if __name__ == "__main__":
    raise SystemExit(main())
