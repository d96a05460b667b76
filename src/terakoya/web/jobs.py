"""Trainings and checks as processes of their own: they go on when the browser is closed and when the server ends.

Each has a folder under `.terakoya/jobs`: `job.json` (the arguments, all of them the server's own, and the process),
`output.txt` and `messages.txt`. What a training does is read from its run folder, so that a server started anew shows
the same.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from terakoya.runs import Lock, read_json, runs_in, write_json
from terakoya.web.workspace import Workspace

Kind = Literal["run", "resume", "check"]
_OUTPUT = 64 * 1024  # bytes of a job's output that are read
_MOST_AT_ONCE = 4  # trainings


@dataclass(frozen=True)
class Job:
    """A process that the page started.

    id         of the job, random
    kind       "run" a training, "resume" one that goes on, "check" audit and preflight
    arguments  of `python -m terakoya`
    name       of the experiment
    started    seconds since 1970
    pid        of the process; 0 before it was started
    run        path of its run folder, "" as long as it has none
    table      id of the table that it trains on, "" where that is not known
    """

    id: str
    kind: Kind
    arguments: tuple[str, ...]
    name: str
    started: float
    pid: int = 0
    run: str = ""
    table: str = ""


class Jobs:
    """The jobs of one workspace.

    workspace  in whose folders they work
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = workspace.own / "jobs"
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, kind: Kind, arguments: Sequence[str], name: str, *, run: str = "", table: str = "") -> Job:
        """Start a process and return at once.

        kind       of the job
        arguments  of `python -m terakoya`, none of which a browser wrote
        name       of the experiment
        run        path of the run folder that goes on
        table      id of the table
        """
        job = Job(secrets.token_hex(8), kind, tuple(arguments), name, time.time(), run=run, table=table)
        folder = self.folder / job.id
        folder.mkdir(parents=True)
        with (folder / "output.txt").open("wb") as output, (folder / "messages.txt").open("wb") as messages:
            process = subprocess.Popen(
                [sys.executable, "-m", "terakoya", *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=messages,
                cwd=self.workspace.home, start_new_session=True,
            )  # fmt: skip
        job = replace(job, pid=process.pid)
        with self._lock:
            self._children[process.pid] = process
        write_json(folder / "job.json", asdict(job))
        return job

    def find(self, name: str) -> Job | None:
        """The job with the id `name`; None where there is none."""
        path = self.folder / name / "job.json"
        if not name.isalnum() or not path.is_file():
            return None
        values: dict[str, Any] = read_json(path)
        return Job(**{**values, "arguments": tuple(values["arguments"])})

    def all(self) -> list[Job]:
        """Every job, newest first."""
        names = [path.parent.name for path in self.folder.glob("*/job.json")]
        return sorted((job for name in names if (job := self.find(name))), key=lambda job: -job.started)

    def is_running(self, job: Job) -> bool:
        """Whether the process of `job` still works."""
        with self._lock:
            child = self._children.get(job.pid)
        if child is not None:
            return child.poll() is None
        try:
            words = Path(f"/proc/{job.pid}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            return False
        except OSError:  # no such file system: the lock of the run says whether it is being written
            return bool(job.run) and Lock(Path(job.run) / ".lock").is_claimed()
        return [os.fsencode(word) for word in job.arguments] == words[3:-1]

    def run_of(self, job: Job) -> Path | None:
        """The run folder that `job` writes; None as long as it has none, and for a check.

        The run's lock names the process that writes it; once the process has ended, the run is the one of this name
        that was begun after the job and is no other job's.
        """
        if job.kind == "check":
            return None
        if job.run:
            return Path(job.run)
        others = {other.run for other in self.all()}
        begun = [
            path
            for path in runs_in(self._parent_of(job))
            if str(path.resolve()) not in others and self._began(path, job) >= int(job.started)
        ]
        for path in begun:
            if Lock(path / ".lock").holder().get("pid") == job.pid or (begun == [path] and not self.is_running(job)):
                write_json(self.folder / job.id / "job.json", asdict(replace(job, run=str(path.resolve()))))
                return path.resolve()
        return None

    def _parent_of(self, job: Job) -> Path:
        """Where `job` makes its run: a training with corrections beside the run that it began from."""
        return Path(job.arguments[1]).parent if job.arguments[0] == "retrain" else self.workspace.run_dir

    @staticmethod
    def _began(path: Path, job: Job) -> float:
        try:
            manifest = json.loads((path / "manifest.json").read_bytes())
            begun = datetime.fromisoformat(manifest["times"]["started"]).timestamp()
        except (OSError, ValueError, KeyError, TypeError):  # another's folder, or a damaged one: not this job's
            return 0.0
        return begun if manifest.get("name") == job.name else 0.0

    def of_run(self, run: Path) -> Job | None:
        """The newest job that writes or wrote the folder `run`; None for a run that the page did not start."""
        return next((job for job in self.all() if self.run_of(job) == run), None)

    def stop(self, job: Job) -> bool:
        """Interrupt the process of `job`, which saves a checkpoint and ends; False where it had ended."""
        if not self.is_running(job):
            return False
        os.kill(job.pid, signal.SIGINT)
        return True

    def output(self, job: Job) -> str:
        """The end of what the process of `job` wrote to its standard output."""
        return self._end_of(job, "output.txt")

    def messages(self, job: Job) -> str:
        """The end of what the process of `job` wrote to its standard error: why it ended, where it failed."""
        return self._end_of(job, "messages.txt").strip()

    def _end_of(self, job: Job, name: str) -> str:
        path = self.folder / job.id / name
        if not path.is_file():  # a check that was ended meanwhile
            return ""
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _OUTPUT))
            return file.read().decode("utf-8", "replace")

    def has_capacity(self) -> bool:
        """Whether another training may start now."""
        return sum(job.kind != "check" and self.is_running(job) for job in self.all()[:50]) < _MOST_AT_ONCE

    def end_checks(self, table: str = "") -> None:
        """End the checks of a table, whose result nobody waits for any more, and forget what was not found.

        table  id of the table; "" ends those of all tables
        """
        for job in self.all()[:50]:
            if job.kind == "check" and job.table == (table or job.table) and self.is_running(job):
                os.kill(job.pid, signal.SIGTERM)
                shutil.rmtree(self.folder / job.id)

    def close(self) -> None:
        """End the checks; trainings go on."""
        self.end_checks()
