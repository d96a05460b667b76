"""A sweep as its users start it, and what it found, without times and paths."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from terakoya.runs import Index, Run

TABLE = "source,target\n" + "".join(
    f"{opening}{word}{ending},{word[::-1]}\n"
    for word in ("あか", "あお", "しろ", "くろ", "みどり", "きいろ")
    for opening in ("", "この", "その", "あの")
    for ending in ("", "だ", "です", "かな", "よ")
)
CONFIG = (
    '[task]\ndata = "words.csv"\n[model]\nbase = "tiny"\n'
    "[train]\nsteps = {steps}\nthreads = 1\nevaluate_every = {every}\n[score]\nresamples = 100\n"
)
GRID = 'open = "all"\n[grid]\n"model.width" = [16, 24]\n'


def write_sweep(place: Path, text: str = GRID, *, steps: int = 8, every: int = 4) -> Path:
    """A table, an experiment and a sweep in a folder; returns the sweep's path."""
    place.mkdir(exist_ok=True)
    (place / "words.csv").write_text(TABLE, encoding="utf-8")
    (place / "words.toml").write_text(CONFIG.format(steps=steps, every=every), encoding="utf-8")
    (place / "s.toml").write_text('name = "widths"\nexperiment = "words.toml"\n' + text, encoding="utf-8")
    return place / "s.toml"


def figures(path: Path) -> dict[str, Any]:
    """What a sweep found: state, dev, openings of the exam and exam scores of every trial."""
    folder = path.parent / "runs" / "series-widths"
    found = {}
    for file in sorted((folder / "trials").glob("*.json")):
        values = json.loads(file.read_text(encoding="utf-8"))
        runs = [scores.parent for scores in (folder / "runs" / file.stem).rglob("scores.json")]
        assert len(runs) == 1, f"{values['name']} was examined {len(runs)} times"
        scores = json.loads((runs[0] / "scores.json").read_text(encoding="utf-8"))
        openings = Index(runs[0].parent).openings(str(Run.open(runs[0]).manifest["exam"]))
        found[file.stem] = (values["state"], values["dev"], len(openings), _values(scores))
    return found


def _values(scores: Any) -> Any:
    """Values and intervals, whatever their depth; how long something took differs."""
    if isinstance(scores, dict):
        return {key: _values(value) for key, value in scores.items() if "second" not in key}
    return [_values(value) for value in scores] if isinstance(scores, list) else scores


def states(path: Path) -> list[str]:
    """The state of every trial that has come to something."""
    files = sorted((path.parent / "runs").glob("*/trials/*.json"))
    return [str(json.loads(file.read_text(encoding="utf-8"))["state"]) for file in files]


def start(path: Path, on: str, **environment: str) -> subprocess.Popen[str]:
    """`terakoya sweep` in a process group of its own."""
    command = [sys.executable, "-m", "terakoya", "sweep", str(path), "--run-dir", str(path.parent / "runs")]
    return subprocess.Popen(
        [*command, "--on", on, "--lang", "en"], env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=_receive_interrupts,
    )  # fmt: skip


def _receive_interrupts() -> None:
    """Whoever runs the tests may ignore Ctrl-C, as a shell does for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def output(process: subprocess.Popen[str], code: int = 0) -> str:
    """What it printed until its end, with the exit code that is expected."""
    try:
        text, _ = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text, _ = process.communicate()
        raise AssertionError(text[-3000:]) from None
    assert process.returncode == code, text[-3000:]
    return text


def wait_until(happened: Callable[[], Any], seconds: float = 300) -> None:
    """Until something has happened; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)
