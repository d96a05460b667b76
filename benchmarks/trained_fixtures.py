"""Runs trained for a benchmark, each in a process of its own so that its time and peak memory are its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def train_once(parent: Path, experiment: str, settings: Sequence[str]) -> None:
    """Train `experiment` with `settings` ("section.key=value") in a folder under `parent` named after the settings.

    A run that is already finished there is not repeated. Raises SystemExit when the process fails.
    """
    folder = parent / "_".join(settings).replace("=", "-").replace('"', "")
    if list(folder.glob("*/scores.json")):
        return
    command = [sys.executable, "-m", "terakoya", "run", experiment, "--run-dir", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # Exit code 1 is a verdict or a finding, and a result like any other.
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    if code not in (0, 1) or not list(folder.glob("*/scores.json")):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "wall": time.monotonic() - started,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory_so_far": after.ru_maxrss * 1024,  # the largest child up to now
    }
    (folder / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    print(parent.name, " ".join(settings), f"{cost['wall']:.0f} s", flush=True)


def finished_runs(parent: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every finished run folder under `parent`, with its cost (empty where it was not recorded)."""
    for scores in sorted(parent.glob("*/*/scores.json")):
        cost = scores.parent.parent / "cost.json"
        yield scores.parent, json.loads(cost.read_text(encoding="utf-8")) if cost.is_file() else {}


def format_cost(cost: dict[str, Any]) -> tuple[str, str]:
    """Minutes (wall clock, and CPU in brackets) and peak memory of a run, as table cells."""
    if not cost:
        return "", ""
    minutes = f"{cost['wall'] / 60:.1f} ({cost['cpu'] / 60:.1f} of CPU)"
    return minutes, f"{cost['memory_so_far'] / 2**20:.0f} MiB"
