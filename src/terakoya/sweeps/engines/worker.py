"""The worker's side of every engine: one task in a process of its own, its log beside the trial's result."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import IO

from terakoya import registry
from terakoya.config.trust import trust_for_now
from terakoya.records import Finding, Step
from terakoya.runs.lock import Lock
from terakoya.runs.progress import TrialStatus
from terakoya.sweeps.plan import experiment_reference
from terakoya.sweeps.trial import TrialTask

LOG_SECONDS = 10.0  # between two lines about steps


def run_task(task: TrialTask, dead_hosts: Collection[str] = ()) -> None:
    """Run a task in this process. Its result is the trial's file, its log the file beside it.

    task        as the engine brought it
    dead_hosts  hosts that the engine knows to be gone: a lock in their name is nobody's
    """
    trust_task_file(task)
    Lock(task.folder / "trials" / f"{task.key}.lock").disown(dead_hosts)
    with log_path(task.folder, task.key).open("a", encoding="utf-8", buffering=1) as file:
        task.run(LogListener(file))


def trust_task_file(task: TrialTask) -> None:
    """Let the sweep's own task file run here: the process that sent the task has checked that it may.

    task  whose config may name one
    """
    experiment = registry.find_experiment(experiment_reference(task.config, task.beside), task.config.set)
    use = experiment.config.task.use
    if use.endswith(".py"):
        trust_for_now(experiment.folder / use)


def log_path(folder: Path, key: str) -> Path:
    """The log of a trial that an engine runs.

    folder  of the sweep
    key     of the trial
    """
    path = folder / "trials" / f"{key}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


class LogListener:
    """Writes stages, findings and notes as lines, and now and then a step.

    file  open for appending
    """

    def __init__(self, file: IO[str]) -> None:
        self._file, self._logged_at = file, 0.0

    def stage(self, name: str, detail: str = "") -> None:
        """A stage `name`, with `detail`."""
        self._write(f"{name}: {detail}" if detail else name)

    def step(self, step: Step, total: int) -> None:
        """Step `step` of `total`, where the last line is some seconds old, or dev was evaluated."""
        now = time.monotonic()
        if step.dev or step.step == total or now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            dev = "".join(f"  {name} {value:.4f}" for name, value in (step.dev or {}).items())
            self._write(f"  step {step.step}/{total}  loss {step.loss:.4f}{dev}")

    def finding(self, finding: Finding) -> None:
        """What a check has found: `finding`."""
        self._write(f"  {finding.level} {finding.check}: {finding.what}")

    def note(self, text: str) -> None:
        """The sentence `text`."""
        self._write(f"  {text}")

    def progress(self, text: str) -> None:
        """Not logged: `text` replaces the line before it."""

    def trials(self, look: Callable[[], Sequence[TrialStatus]]) -> None:
        """Not logged: `look` knows what the process that sent the task knows better."""

    def _write(self, line: str) -> None:
        self._file.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def newest_line(folder: Path, keys: Collection[str]) -> str:
    """The newest line of the logs of some trials; "" where there is none.

    folder  of the sweep
    keys    of the trials
    """
    logs = [path for key in keys if (path := folder / "trials" / f"{key}.log").is_file()]
    if not logs:
        return ""
    newest = max(logs, key=lambda path: path.stat().st_mtime)
    with newest.open("rb") as file:
        file.seek(max(0, newest.stat().st_size - 400))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return f"{newest.stem[:6]} {lines[-1]}" if lines else ""
