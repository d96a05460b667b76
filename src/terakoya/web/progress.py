"""How far a training is: read from the end of its step log, which another process is writing."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POINTS, _WIDTH, _HEIGHT = 240, 600, 120  # of the chart
_METERS = ("top_share", "unreadable", "distinct_share")


@dataclass(frozen=True)
class Progress:
    """A training as it stands.

    step, total  of the optimizer; total 0: not known yet
    loss         cross-entropy of the last step, in nats per target token; None before the first
    left         seconds that the remaining steps will take; None: not known
    metric       name of the dev metric; "" before the first evaluation
    dev          (step, value) of each evaluation
    meter        shares that show a collapse, of the last evaluation: "top_share", "unreadable", "distinct_share"
    samples      dev rows with their predictions now and at the evaluation before
    curve        the loss as points of an SVG polyline, in a box of 600 by 120
    dev_curve    the dev metric likewise, 1 at the top
    """

    step: int = 0
    total: int = 0
    loss: float | None = None
    left: float | None = None
    metric: str = ""
    dev: tuple[tuple[int, float], ...] = ()
    meter: Mapping[str, float] | None = None
    samples: tuple[Mapping[str, Any], ...] = ()
    curve: str = ""
    dev_curve: str = ""


class LineReader:
    """Reads the lines that were appended to JSON Lines files since it last looked; a rewritten file is read anew."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, list[dict[str, Any]]]] = {}
        self._lock = threading.Lock()

    def read(self, path: Path) -> list[dict[str, Any]]:
        """Every complete line of the file at `path`, none where there is no file."""
        with self._lock:
            try:
                status = path.stat()
            except FileNotFoundError:
                return []
            inode, at, lines = self._known.get(path, (status.st_ino, 0, []))
            if inode != status.st_ino or status.st_size < at:
                at, lines = 0, []
            with path.open("rb") as file:
                file.seek(at)
                whole, _newline, _rest = file.read().rpartition(b"\n")
            for line in whole.splitlines():
                try:
                    value = json.loads(line)
                except ValueError:  # damage is reported where the run is read; this is a view of it
                    continue
                if isinstance(value, dict):
                    lines.append(value)
            self._known = {
                **dict(list(self._known.items())[-15:]),
                path: (status.st_ino, at + len(whole) + bool(whole), lines),
            }
            return list(lines)


def read_progress(reader: LineReader, run: Path, total: int) -> Progress:
    """How far the training of a run is.

    reader  that has seen the log before, or not
    run     the run folder
    total   steps that were planned
    """
    steps = [line for line in reader.read(run / "steps.jsonl") if isinstance(line.get("step"), int)]
    if not steps:
        return Progress(total=total)
    last = steps[-1]
    evaluated = [(line["step"], line["dev"]) for line in steps if isinstance(line.get("dev"), dict)]
    metric = next((key for key in (evaluated[-1][1] if evaluated else {}) if key not in (*_METERS, "gain", "loss")), "")
    dev = tuple((step, float(values[metric])) for step, values in evaluated if metric in values)
    losses = [(line["step"], float(line["plain"])) for line in steps if isinstance(line.get("plain"), int | float)]
    seconds = float(last.get("seconds") or 0)
    return Progress(
        step=last["step"],
        total=max(total, last["step"]),
        loss=losses[-1][1] if losses else None,
        left=seconds / last["step"] * (total - last["step"]) if total > last["step"] > 0 else None,
        metric=metric,
        dev=dev,
        meter={name: float(evaluated[-1][1][name]) for name in _METERS if name in evaluated[-1][1]}
        if evaluated
        else None,
        samples=_samples(reader.read(run / "dev-samples.jsonl")),
        curve=_polyline(losses, max((value for _step, value in losses), default=1.0)),
        dev_curve=_polyline(list(dev), 1.0),
    )


def _samples(lines: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The rows of the last evaluation, each with what was predicted for it at the one before."""
    if not lines:
        return ()
    before = {row["source"]: row["prediction"] for row in (lines[-2]["rows"] if len(lines) > 1 else ())}
    return tuple({**row, "before": before.get(row["source"])} for row in lines[-1]["rows"])


def _polyline(points: Sequence[tuple[int, float]], top: float) -> str:
    if len(points) < 2:
        return ""
    kept = [points[index * (len(points) - 1) // (_POINTS - 1)] for index in range(_POINTS)]
    kept = kept if len(points) > _POINTS else list(points)
    first, last, top = kept[0][0], kept[-1][0], top or 1.0
    width = max(1, last - first)
    return " ".join(
        f"{(step - first) / width * _WIDTH:.1f},{_HEIGHT - max(0.0, min(1.0, value / top)) * _HEIGHT:.1f}"
        for step, value in kept
    )
