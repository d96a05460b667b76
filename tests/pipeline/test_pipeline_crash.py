"""A run is killed at one thing after another that it does to the disk; it goes on to the same answers every time.

A few of them, drawn anew from the code as it stands; TERAKOYA_CRASHES makes it more (`make crash-run`: all).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from terakoya.pipeline import run as pipeline
from terakoya.runs import Index, Run

MEASURED = ("memory", "duration")  # findings that are measured anew when a run is resumed
CRASHES = int(os.environ.get("TERAKOYA_CRASHES", "2"))
KILLED = 77
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
CONFIG = (
    '[task]\ndata = "words.csv"\n{codec}[model]\nbase = "tiny"\n[train]\nsteps = 40\nthreads = 1\nevaluate_every = 20\n'
    "[score]\nresamples = 100\n"
)
TABLES = {
    "text": [
        (opening + word + ending, word[::-1])
        for word in ("あか", "あお", "しろ", "くろ", "みどり", "きいろ")
        for opening in ("", "この", "その", "あの")
        for ending in ("", "だ", "です", "かな", "よ")
    ],
    "labels": [
        (opening + word + ending, f"{label} 🌟" if ending else label)
        for word, label in (("雨", "☔"), ("雪", "⛄"), ("海", "🌊"), ("花", "🌸"), ("犬", "🐶"), ("猫", "🐱"))
        for opening in ("", "今日の", "あの", "白い", "ねえ")
        for ending in ("", "です", "かな", "よ")
    ],
}


@pytest.fixture(params=TABLES)
def lesson(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    rows = "".join(f"{source},{target}\n" for source, target in TABLES[request.param])
    (tmp_path / "words.csv").write_text("source,target\n" + rows, encoding="utf-8")
    codec = 'codec = "labels"\n' if request.param == "labels" else ""
    (tmp_path / "words.toml").write_text(CONFIG.format(codec=codec), encoding="utf-8")
    return tmp_path / "words.toml"


def apart(act: Callable[..., object], *given: object) -> int:
    """Done in a process of its own: how it ended. A server that is loaded once forks them, as nothing runs in it."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(
        ["terakoya.pipeline.run", "terakoya.training.trainer", "terakoya.models.builtin.model"]
    )
    process = server.Process(target=act, args=given)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def begun(lesson: Path, runs: Path, last: int = 0) -> None:
    """The run, killed before change number `last` that it makes on the disk. Writes how many there were."""
    count = 0

    def heard(event: str, given: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (writes or event in CHANGES) and str(given[0]).startswith(str(runs)):
            count += 1
            if count == last:
                os._exit(KILLED)

    sys.addaudithook(heard)
    pipeline.run(str(lesson), run_dir=runs, anyway=True)
    runs.with_suffix(".count").write_text(str(count), encoding="utf-8")


def gone_on(run: Path) -> None:
    pipeline.run(str(run), anyway=True)


def came_to(runs: Path) -> dict[str, Any]:
    """Everything that must not depend on how often a run was killed."""
    (run,) = (path.parent for path in runs.glob("*/manifest.json"))
    opened = Run.open(run)
    steps = [
        {key: value for key, value in line.items() if key != "seconds"} for line in opened.read_lines("steps.jsonl")
    ]
    return {
        "state": opened.state,
        "answers": opened.read_lines("predictions.jsonl"),
        "scores": [
            (score["who"], score["metric"], score["value"]) for score in opened.read_json("scores.json")["scores"]
        ],
        "steps": steps,
        # Without those on memory and time: they tell how the machine was at that moment.
        "findings": [line for line in opened.read_lines("findings.jsonl") if line["check"] not in MEASURED],
        "openings": len(Index(runs).openings(str(opened.manifest["exam"]))),
        "files": sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()),
    }


def test_a_run_killed_at_any_change_on_the_disk_goes_on_to_the_same(lesson: Path, tmp_path: Path) -> None:
    """Power goes where it likes: no moment may leave a folder that cannot go on, or one exam opened twice."""
    whole = tmp_path / "whole"
    assert apart(begun, lesson, whole) == 0
    wanted = came_to(whole)
    assert (wanted["state"], wanted["openings"]) == ("done", 1)
    moments = range(1, int(whole.with_suffix(".count").read_text(encoding="utf-8")) + 1)
    for last in sorted(Random(len(moments)).sample(moments, min(CRASHES, len(moments)))):
        runs = tmp_path / f"killed-{last}"
        assert apart(begun, lesson, runs, last) == KILLED
        folders = [path.parent for path in runs.glob("*/manifest.json")]
        if not folders:  # nothing that calls itself a run: nobody is told to go on with it
            continue
        assert apart(gone_on, folders[0]) == 0, f"killed at {last}"
        assert came_to(runs) == wanted, f"killed at {last}"
