"""Experiments taught for a benchmark, each run in a process of its own: its time and its peak memory are its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def teach(home: Path, experiment: str, settings: Sequence[str]) -> None:
    """One run under `home`, in a folder that bears its settings; a run that is already there is not repeated."""
    folder = home / "_".join(settings).replace("=", "-").replace('"', "")
    if list(folder.glob("*/scores.json")):
        return
    command = [sys.executable, "-m", "terakoya", "run", experiment, "--run-dir", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # Exit code 1 is a verdict or a finding, and a result like any other.
    code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
    if code not in (0, 1) or not list(folder.glob("*/scores.json")):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "wall": time.monotonic() - began,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory_so_far": after.ru_maxrss * 1024,  # the largest child up to now
    }
    (folder / "cost.json").write_text(json.dumps(cost), encoding="utf-8")
    print(home.name, " ".join(settings), f"{cost['wall']:.0f} s", flush=True)


def runs(home: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every finished run under `home`, with what it cost."""
    for scores in sorted(home.glob("*/*/scores.json")):
        cost = scores.parent.parent / "cost.json"
        yield scores.parent, json.loads(cost.read_text(encoding="utf-8")) if cost.is_file() else {}


def spent(cost: dict[str, Any]) -> tuple[str, str]:
    """Minutes (of wall clock, and of CPU) and peak memory, in words."""
    if not cost:
        return "", ""
    minutes = f"{cost['wall'] / 60:.1f} ({cost['cpu'] / 60:.1f} of CPU)"
    return minutes, f"{cost['memory_so_far'] / 2**20:.0f} MiB"
