"""One writer for each run, and counts that are right when several processes count."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from terakoya.errors import LockedError
from terakoya.runs import Index, Lock, Run


def started(script: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE, text=True)


HOLD = """
import sys, time
from pathlib import Path
from terakoya.runs import Run
run = Run.resume(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_learns_who_holds_the_run(tmp_path: Path) -> None:
    """Within a second, with pid and host; when the holder is killed the run is free at once."""
    Run.create(tmp_path, "k").close()
    path = next(item for item in tmp_path.iterdir() if item.is_dir())
    holder = started(HOLD, str(path))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    begun = time.monotonic()
    with pytest.raises(LockedError) as refusal:
        Run.resume(path)
    assert time.monotonic() - begun < 1
    assert f"process {holder.pid} on {socket.gethostname()}" in str(refusal.value)
    assert Run.open(path).state == "running"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert Run.open(path).state == "interrupted"
    Run.resume(path).close()


def test_who_only_looks_turns_nobody_away(tmp_path: Path) -> None:
    """A table of trials looks every two seconds; a lock tried each time would turn away who wants it just then."""
    Run.create(tmp_path, "k").close()
    path = next(item for item in tmp_path.iterdir() if item.is_dir())
    assert not Lock(path / ".lock").is_claimed()
    holder = started(HOLD, str(path))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert Lock(path / ".lock").is_claimed()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not Lock(path / ".lock").is_claimed()
    with Run.resume(path):
        assert Lock(path / ".lock").is_claimed()
    assert not Lock(path / ".lock").is_claimed()


def _race(path: Path, gate: Path, results: Path, number: int) -> None:
    while not gate.exists():
        time.sleep(0.0005)
    try:
        Run.resume(path)
    except LockedError:
        (results / f"lost-{number}").touch()
    else:
        (results / f"won-{number}").touch()
    # The winner holds on until everyone has tried.
    while len(list(results.iterdir())) < 3:
        time.sleep(0.0005)


def in_children(acts: Sequence[Callable[[], Any]], go: Callable[[], Any] = lambda: None) -> None:
    children = []
    for act in acts:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                act()
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    go()
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * len(acts)


def test_of_fifty_races_each_has_exactly_one_winner(tmp_path: Path) -> None:
    """Two processes never write one run, however close they start."""
    Run.create(tmp_path, "k").close()
    path = next(item for item in tmp_path.iterdir() if item.is_dir())
    for turn in range(50):
        gate, results = tmp_path / f"gate-{turn}", tmp_path / f"results-{turn}"
        results.mkdir()
        racers = [partial(_race, path, gate, results, number) for number in range(3)]
        in_children(racers, gate.touch)
        assert len(list(results.glob("won-*"))) == 1
        assert len(list(results.glob("lost-*"))) == 2


def test_runs_begun_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    """Eight processes, one second, eight folders."""
    in_children([lambda: Run.create(tmp_path, "k").close()] * 8)
    assert len([item for item in tmp_path.iterdir() if (item / "manifest.json").exists()]) == 8


def test_a_forked_worker_does_not_keep_the_lock_of_a_dead_parent(tmp_path: Path) -> None:
    """A data worker that outlives a killed run must not lock it for ever."""
    path = tmp_path / ".lock"

    def hold_and_leave_a_worker_behind() -> None:
        Lock(path).acquire()
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)

    in_children([hold_and_leave_a_worker_behind])
    after = Lock(path)
    after.acquire(wait=1)  # the worker needs a moment to let go of its copy
    after.release()


def test_a_lock_left_by_another_host_on_a_network_disk_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There a lock may hold on one host only: say whose it is and how to go on, instead of writing twice."""
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"pid": 1, "host": "another-host", "since": "2026-11-21T10:15:00+00:00"}))
    monkeypatch.setattr("terakoya.runs.lock._on_network", lambda path: True)
    with pytest.raises(LockedError) as refusal:
        Lock(path).acquire()
    assert "process 1 on another-host" in str(refusal.value)
    assert f"delete {path}" in str(refusal.value)
    monkeypatch.setattr("terakoya.runs.lock._on_network", lambda path: False)
    Lock(path).acquire()


def test_openings_of_an_exam_are_counted_for_each_exam(tmp_path: Path) -> None:
    """An exam that was looked at twenty times chose twenty times; the record says how often."""
    index = Index(tmp_path)
    assert index.openings("aa") == []
    assert [index.open_exam("aa", "run-1"), index.open_exam("aa", "run-2"), index.open_exam("bb", "run-2")] == [1, 2, 1]
    assert [opening["who"] for opening in index.openings("aa")] == ["run-1", "run-2"]
    assert index.open_exam("aa", "run-1", once=True) == 2, "an interrupted evaluation resumes"
    assert index.open_exam("aa", "run-1") == 3, "an evaluation afterwards is another one"
    assert index.open_exam("cc", "run-1", once=True) == 1


def test_several_processes_count_every_opening_once(tmp_path: Path) -> None:
    """Four processes open an exam twenty-five times each: the counts are 1 to 100, none twice."""
    counts = tmp_path / "counts"
    counts.mkdir()

    def count() -> None:
        index = Index(tmp_path)
        for _ in range(25):
            (counts / str(index.open_exam("aa", f"process {os.getpid()}"))).touch(exist_ok=False)

    in_children([count] * 4)
    assert sorted(int(path.name) for path in counts.iterdir()) == list(range(1, 101))
    assert len(Index(tmp_path).openings("aa")) == 100
