"""One trial of a sweep: its result on disk, and the run that leads to it, by one process at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from terakoya.errors import IncompatibleError, Interrupted, LockedError, TerakoyaError
from terakoya.i18n import _, gathered
from terakoya.pipeline import run as pipeline
from terakoya.reporting import read_record
from terakoya.runs import Lock, read_json, write_json
from terakoya.runs.progress import Listener, TrialState, TrialStatus
from terakoya.sweeps.plan import Trial, TrialResult, experiment_reference, trials
from terakoya.sweeps.schema import SweepConfig
from terakoya.sweeps.summary import trial_label

# Seconds for which a worker waits for its trial's lock: a worker whose node has died may outlive it by a moment, and
# the engine has started the trial again by then.
WAIT_FOR_LOCK = 60.0


@dataclass(frozen=True)
class TrialTask:
    """One trial for a worker, with all that it must know; it travels to other processes and hosts.

    config     of the sweep
    beside     folder of the sweep's file
    folder     of the sweep; both absolute
    trial      settings and seed
    exam       whether the exam is to be opened; else the trial is trained
    not_after  time (of the clock, in seconds) after which it is not started any more; None: no limit
    """

    config: SweepConfig
    beside: Path
    folder: Path
    trial: Trial
    exam: bool = False
    not_after: float | None = None

    @property
    def key(self) -> str:
        """Of the trial."""
        return self.trial.key

    def run(self, listener: Listener) -> TrialResult:
        """Run it here, under the trial's lock.

        listener  receives progress events
        """
        runner = TrialRunner(self.config, self.beside, self.folder, listener, wait=WAIT_FOR_LOCK)
        return runner.examine(self.trial) if self.exam else runner.train(self.trial, self.not_after)


class TrialRunner:
    """Runs trials and keeps their results as TRIALS/KEY.json beside their runs; a trial is locked while it runs.

    config    of the sweep
    beside    folder of its file
    folder    of the sweep
    listener  receives progress events
    wait      seconds to wait for a trial that another process holds
    """

    def __init__(
        self, config: SweepConfig, beside: Path, folder: Path, listener: Listener, *, wait: float = 0.0
    ) -> None:
        self.config, self.beside, self.folder, self.listener, self.wait = config, beside, folder, listener, wait
        self.known = {} if config.search else {trial.key: trial for trial in trials(config)}
        self.running: set[str] = set()  # keys of the trials that this process runs
        self.sent: set[str] = set()  # keys of the trials that an engine has

    def result(self, trial: Trial) -> TrialResult:
        """What the trial has come to, as its file has it; without one it is "open".

        trial  settings and seed
        """
        path = self._file(trial)
        if not path.is_file():
            return TrialResult(trial, "open")
        values = gathered(read_json(path))
        if values["run"] and not (self.folder / values["run"] / "manifest.json").is_file():
            return TrialResult(trial, "failed", reason=_missing_run(self.folder / values["run"], path))
        state: TrialState = values["state"]
        state = "trained" if values["state"] == "taught" else state  # folders of format 2 and older
        return TrialResult(trial, state, values["run"], values["dev"], values["reason"])

    def train(self, trial: Trial, not_after: float | None) -> TrialResult:
        """Train this trial, or what is left of it; its exam stays closed.

        trial      settings and seed
        not_after  time (of the clock, in seconds) after which it is not started any more; None: no limit
        """
        known = self.result(trial)
        if known.state in ("trained", "done", "failed") or (not_after is not None and time.time() > not_after):
            return known
        with self.locked(trial) as mine:
            if not mine:
                return TrialResult(trial, "held")
            known = self.result(trial)  # whoever locked it until now may have finished it
            if known.state != "open":
                return known
            self.listener.stage("trial", trial_label(trial))
            return self._run(trial, known, exam=False)

    def examine(self, trial: Trial) -> TrialResult:
        """Open the exam of a trained trial.

        trial  settings and seed
        """
        known = self.result(trial)
        if known.state != "trained":
            return known
        with self.locked(trial) as mine:
            if not mine or (known := self.result(trial)).state != "trained":
                return known
            self.listener.stage("exam of", trial_label(trial))
            return self._run(trial, known, exam=True)

    def statuses(self) -> list[TrialStatus]:
        """The present status of all trials, whichever process runs them."""
        return [self._status(trial) for trial in self.known.values()]

    def _status(self, trial: Trial) -> TrialStatus:
        result = self.result(trial)
        state = result.state
        if trial.key in self.running:
            state = "running"
        elif state in ("open", "trained") and self.lock(trial).is_claimed():
            state = "running" if trial.key in self.sent else "held"
        return TrialStatus(trial.name, trial.seed, state, result.dev)

    def _run(self, trial: Trial, known: TrialResult, *, exam: bool) -> TrialResult:
        runs = self.folder / "runs" / trial.key
        started = sorted(path.parent for path in runs.glob("*/manifest.json"))
        try:
            if started:
                folder = pipeline.run(str(started[-1]), exam=exam, curve=False, listener=self.listener).folder
            else:
                settings = (*trial.settings, f"seed={trial.seed}")
                name = experiment_reference(self.config, self.beside)
                folder = pipeline.run(
                    name, overrides=settings, run_dir=runs, exam=exam, curve=False, listener=self.listener
                ).folder
        except Interrupted as stop:  # not a fault of the trial: its run is resumed with the sweep
            stop.do = _("Continue with the same command.")
            raise
        except IncompatibleError as error:
            # The trial started with other versions and did not fail. Trials are there to be compared: all of them wait.
            stale = started[-1] if started else runs
            error.do = _("Restore what it started with, or remove {stale} to start this trial again.", stale=stale)
            raise
        except TerakoyaError as error:
            return self.keep(TrialResult(trial, "failed", known.run, None, error.message))
        run = str(folder.relative_to(self.folder))
        return self.keep(TrialResult(trial, "done" if exam else "trained", run, read_record(folder).dev))

    def keep(self, result: TrialResult) -> TrialResult:
        """Write the result into the trial's file, and return it.

        result  of a trial whose lock this process holds
        """
        values = {"name": result.trial.name, "settings": result.trial.settings, "seed": result.trial.seed}
        values |= {"state": result.state, "run": result.run, "dev": result.dev, "reason": result.reason}
        write_json(self._file(result.trial), values)
        return result

    def _file(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.key}.json"

    def lock(self, trial: Trial) -> Lock:
        """The trial's lock, not acquired.

        trial  settings and seed
        """
        return Lock(self.folder / "trials" / f"{trial.key}.lock")

    @contextmanager
    def locked(self, trial: Trial) -> Iterator[bool]:
        """Whether this process has locked the trial; listeners are notified when it starts and ends.

        trial  settings and seed
        """
        lock = self.lock(trial)
        try:
            lock.acquire(self.wait)
        except LockedError:
            yield False
            return
        self.known[trial.key] = trial
        self.running.add(trial.key)
        self.listener.trials(self.statuses)
        try:
            yield True
        finally:
            self.running.remove(trial.key)
            lock.release()
            self.listener.trials(self.statuses)


def _missing_run(run: Path, file: Path) -> str:
    return _("its run is gone: {run}\nPut it back, or remove {file} to train it again.", run=run, file=file)
