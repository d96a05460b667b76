"""Many runs over config keys and seeds, chosen on dev, each exam opened once.

    name = "notations"
    experiment = "kannume"                  # a shipped experiment or a TOML file beside this one
    set = ["train.steps=2000"]              # settings that all runs share
    seeds = [0, 1, 2]
    minutes = 60                            # no trial is started after that; 0: no limit
    open = "best"                           # whose exam is opened at the end: "best" on dev, "all", or "none"

    [grid]                                  # every combination …
    "task.notation" = ["plain", "groups"]

    [[list]]                                # … or trials one by one …
    name = "wide"
    set = ["model.width=96"]

    [search]                                # … or a search (optuna, TPE), whose trials each take the first seed
    trials = 20
    [search.space]
    "train.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
    "train.batch_size" = { choices = [16, 32, 64] }

A trial is known by its settings: an interrupted sweep continues where it stopped, failed runs are kept with their
reason, and several processes (or hosts on one disk) may work on one sweep: each trial is locked by one of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya import registry
from terakoya.errors import IncompatibleError, Interrupted, LockedError, TerakoyaError, need
from terakoya.i18n import _, gathered
from terakoya.pipeline import run as pipeline
from terakoya.reporting import read_record
from terakoya.runs import Lock, read_json, safe_name, write_json
from terakoya.runs.display import Displayed, Listing
from terakoya.runs.progress import Listener, SilentListener, TrialState, TrialStatus
from terakoya.sweeps.plan import (
    NO_OVERRIDES,
    SweepConfig,
    SweepOverrides,
    Trial,
    TrialResult,
    check,
    experiment_reference,
    read_sweep,
    searched_trial,
    store_sweep,
    toml_value,
    trials,
)
from terakoya.sweeps.summary import best_on_dev, trial_label, write_summary


@dataclass(frozen=True)
class SweepResult(Displayed):
    """What a sweep came to.

    name    of the sweep
    folder  where it lies
    trials  in the order in which they were run
    best    settings with the best mean dev value, "" where none has one
    reports files written
    notes   the sentences at their top
    """

    name: str
    folder: Path
    trials: tuple[TrialResult, ...]
    best: str
    reports: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each trial."""
        return Listing(self.trials).table_rows()

    @property
    def exit_code(self) -> int:
        """1 where a trial failed, else 0."""
        return int(any(result.state == "failed" for result in self.trials))


def sweep(
    name: str | Path,
    *,
    changes: SweepOverrides = NO_OVERRIDES,
    run_dir: Path = Path("runs"),
    lang: str = "",
    listener: Listener | None = None,
) -> SweepResult:
    """Run all trials that are still open, then the exams that were declared beforehand, then write the report.

    name      a TOML file, or the name of a shipped sweep
    changes   overrides beside the file; a resumed sweep must have those that it started with
    run_dir   where the sweep's folder is made ("runs")
    lang      of the report: "en" or "ja", "" for the locale's
    listener  receives progress events
    Raises ConfigError before the first trial where a key or value is wrong.
    """
    path = registry.find_series(str(name))
    config = changes.apply(read_sweep(path))
    folder = run_dir / f"series-{safe_name(config.name)}"
    store_sweep(folder, path, changes)
    check(config, path.resolve().parent)
    deadline = time.monotonic() + config.minutes * 60 if config.minutes else None
    runner = _TrialRunner(config, path.resolve().parent, folder, listener or SilentListener())
    if config.search:
        results = _search(runner, deadline)
    else:
        results = [runner.train(trial, deadline) for trial in trials(config)]
    best = best_on_dev(results)
    for result in _exams_to_open(config, results, best):
        runner.examine(result.trial)
    final = [runner.result(result.trial) for result in results]
    reports, notes = write_summary(config, folder, final, best, lang)
    return SweepResult(config.name, folder, tuple(final), best, reports, notes)


class _TrialRunner:
    """Runs trials and keeps their results as TRIALS/KEY.json beside their runs; a trial is locked while it runs."""

    def __init__(self, config: SweepConfig, beside: Path, folder: Path, listener: Listener) -> None:
        self.config, self.beside, self.folder, self.listener = config, beside, folder, listener
        self.known = {} if config.search else {trial.key: trial for trial in trials(config)}
        self.running = ""  # the key of the trial that this process runs

    def result(self, trial: Trial) -> TrialResult:
        path = self._file(trial)
        if not path.is_file():
            return TrialResult(trial, "open")
        values = gathered(read_json(path))
        if values["run"] and not (self.folder / values["run"] / "manifest.json").is_file():
            return TrialResult(trial, "failed", reason=_missing_run(self.folder / values["run"], path))
        state: TrialState = values["state"]
        state = "trained" if values["state"] == "taught" else state  # folders of format 2 and older
        return TrialResult(trial, state, values["run"], values["dev"], values["reason"])

    def train(self, trial: Trial, deadline: float | None) -> TrialResult:
        """Train this trial, or what is left of it; its exam stays closed."""
        known = self.result(trial)
        if known.state in ("trained", "done", "failed") or (deadline is not None and time.monotonic() > deadline):
            return known
        with self._locked(trial) as mine:
            if not mine:
                return TrialResult(trial, "held")
            known = self.result(trial)  # whoever locked it until now may have finished it
            if known.state != "open":
                return known
            self.listener.stage("trial", trial_label(trial))
            return self._run(trial, known, exam=False)

    def examine(self, trial: Trial) -> TrialResult:
        """Open the exam of a trained trial."""
        known = self.result(trial)
        if known.state != "trained":
            return known
        with self._locked(trial) as mine:
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
        if trial.key == self.running:
            state = "running"
        elif state in ("open", "trained") and self._lock(trial).is_claimed():
            state = "held"
        return TrialStatus(trial.name, trial.seed, state, result.dev)

    def _run(self, trial: Trial, known: TrialResult, *, exam: bool) -> TrialResult:
        runs = self.folder / "runs" / trial.key
        started = sorted(path.parent for path in runs.glob("*/manifest.json"))
        try:
            if started:
                folder = pipeline.run(str(started[-1]), exam=exam, listener=self.listener).folder
            else:
                settings = (*trial.settings, f"seed={trial.seed}")
                name = experiment_reference(self.config, self.beside)
                folder = pipeline.run(name, overrides=settings, run_dir=runs, exam=exam, listener=self.listener).folder
        except Interrupted as stop:  # not a fault of the trial: its run is resumed with the sweep
            stop.do = _("Continue with the same command.")
            raise
        except IncompatibleError as error:
            # The trial started with other versions and did not fail. Trials are there to be compared: all of them wait.
            stale = started[-1] if started else runs
            error.do = _("Restore what it started with, or remove {stale} to start this trial again.", stale=stale)
            raise
        except TerakoyaError as error:
            return self._keep(TrialResult(trial, "failed", known.run, None, error.message))
        run = str(folder.relative_to(self.folder))
        return self._keep(TrialResult(trial, "done" if exam else "trained", run, read_record(folder).dev))

    def _keep(self, result: TrialResult) -> TrialResult:
        values = {"name": result.trial.name, "settings": result.trial.settings, "seed": result.trial.seed}
        values |= {"state": result.state, "run": result.run, "dev": result.dev, "reason": result.reason}
        write_json(self._file(result.trial), values)
        return result

    def _file(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.key}.json"

    def _lock(self, trial: Trial) -> Lock:
        return Lock(self.folder / "trials" / f"{trial.key}.lock")

    @contextmanager
    def _locked(self, trial: Trial) -> Iterator[bool]:
        """Whether this process has locked the trial; listeners are notified when it starts and ends."""
        (self.folder / "trials").mkdir(parents=True, exist_ok=True)
        lock = self._lock(trial)
        try:
            lock.acquire()
        except LockedError:
            yield False
            return
        self.known[trial.key], self.running = trial, trial.key
        self.listener.trials(self.statuses)
        try:
            yield True
        finally:
            self.running = ""
            lock.release()
            self.listener.trials(self.statuses)


def _search(runner: _TrialRunner, deadline: float | None) -> list[TrialResult]:
    """Sample settings by optuna, train, report the dev value. The study's journal is shared by all processes."""
    optuna = need("optuna", extra="sweep")
    search = runner.config.search
    assert search is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = optuna.storages.journal.JournalFileBackend(str(runner.folder / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    sampler = optuna.samplers.TPESampler(seed=runner.config.seeds[0])
    study = optuna.create_study(
        study_name=runner.config.name, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
    )

    def train(sampled: Any, settings: tuple[str, ...]) -> None:
        result = runner.train(searched_trial(runner.config, settings), None)
        if result.state == "held":
            return  # another process runs it and will report it
        study.tell(sampled, result.dev, state=None if result.dev is not None else optuna.trial.TrialState.FAIL)

    # What a killed process left running is resumed first: its settings were written down before it started.
    for left in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if "settings" in left.user_attrs:
            train(left.number, tuple(json.loads(left.user_attrs["settings"])))
    while len(study.trials) < search.trials and (deadline is None or time.monotonic() < deadline):
        sampled = study.ask()
        settings = tuple(f"{key}={toml_value(_suggested(sampled, key, space))}" for key, space in search.space.items())
        sampled.set_user_attr("settings", json.dumps(settings))
        train(sampled, settings)
    seen = {tuple(json.loads(t.user_attrs["settings"])): None for t in study.trials if "settings" in t.user_attrs}
    return [runner.result(searched_trial(runner.config, settings)) for settings in seen]


def _suggested(sampled: Any, key: str, space: Mapping[str, Any]) -> Any:
    if "choices" in space:
        return sampled.suggest_categorical(key, list(space["choices"]))
    suggest: Callable[..., Any] = sampled.suggest_int if isinstance(space["low"], int) else sampled.suggest_float
    return suggest(key, space["low"], space["high"], log=bool(space.get("log", False)))


def _exams_to_open(config: SweepConfig, results: Sequence[TrialResult], best: str) -> list[TrialResult]:
    if config.open == "none" or any(result.state in ("open", "held") for result in results):
        return []  # not before every trial is trained: who has seen the exam may not choose any more
    return [result for result in results if config.open == "all" or result.trial.name == best]


def _missing_run(run: Path, file: Path) -> str:
    return _("its run is gone: {run}\nPut it back, or remove {file} to train it again.", run=run, file=file)
