"""Change one thing, train, look, write down: many runs over config keys and seeds, chosen on dev, examined once.

    name = "notations"
    experiment = "kannume"                  # a shipped experiment or a TOML file beside this one
    set = ["train.steps=2000"]              # what all runs share
    seeds = [0, 1, 2]
    minutes = 60                            # no trial is begun after that; 0: no bound
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

A trial is known by what it sets: an interrupted series goes on where it stopped, failed runs are kept with their
reason, and several processes (or hosts on one disk) may work on one series: each trial is held by one of them.
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
from terakoya.i18n import both, gathered
from terakoya.pipeline import run as pipeline
from terakoya.progress import Listener, Silent, Standing
from terakoya.report import read_record
from terakoya.runs import Lock, read_json, safe_name, write_json
from terakoya.sweep.plan import (
    AS_IT_IS,
    Changes,
    Plan,
    Told,
    Trial,
    check,
    experiment_of,
    keep_plan,
    read_plan,
    trial_of,
    trials,
    written_value,
)
from terakoya.sweep.summary import chosen, named, written


@dataclass(frozen=True)
class Series:
    """What a series came to, and where it lies."""

    name: str
    folder: Path
    trials: tuple[Told, ...]
    best: str
    pages: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        return int(any(told.state == "failed" for told in self.trials))


def sweep(
    name: str | Path,
    *,
    changes: Changes = AS_IT_IS,
    run_dir: Path = Path("runs"),
    lang: str = "",
    listener: Listener | None = None,
) -> Series:
    """All trials that are still open, then the exam for what was declared beforehand, then the page.

    `name` is a TOML file, or one of the series that ship; a series that goes on has the changes that it began with.
    """
    tell = listener or Silent()
    path = registry.find_series(str(name))
    plan = changes.of(read_plan(path))
    folder = run_dir / f"series-{safe_name(plan.name)}"
    keep_plan(folder, path, changes)
    check(plan, path.resolve().parent)
    deadline = time.monotonic() + plan.minutes * 60 if plan.minutes else None
    work = _Work(plan, path.resolve().parent, folder, tell)
    told = _searched(work, deadline) if plan.search else [work.teach(trial, deadline) for trial in trials(plan)]
    best = chosen(told)
    for one in _declared(plan, told, best):
        work.examine(one.trial)
    ended = [work.told(one.trial) for one in told]
    pages, notes = written(plan, folder, ended, best, lang)
    return Series(plan.name, folder, tuple(ended), best, pages, notes)


class _Work:
    """Trials kept as TRIALS/KEY.json beside their runs; a trial is held by a lock while it is worked on."""

    def __init__(self, plan: Plan, beside: Path, folder: Path, tell: Listener) -> None:
        self.plan, self.beside, self.folder, self.tell = plan, beside, folder, tell
        self.known = {} if plan.search else {trial.key: trial for trial in trials(plan)}
        self.running = ""  # the key of the trial that this process is at

    def told(self, trial: Trial) -> Told:
        path = self._file(trial)
        if not path.is_file():
            return Told(trial, "open")
        values = gathered(read_json(path))
        if values["run"] and not (self.folder / values["run"] / "manifest.json").is_file():
            return Told(trial, "failed", reason=_gone(self.folder / values["run"], path))
        return Told(trial, values["state"], values["run"], values["dev"], values["reason"])

    def teach(self, trial: Trial, deadline: float | None) -> Told:
        """Train this trial, or what is left of it; its exam stays closed."""
        known = self.told(trial)
        if known.state in ("taught", "done", "failed") or (deadline is not None and time.monotonic() > deadline):
            return known
        with self._held(trial) as mine:
            if not mine:
                return Told(trial, "held")
            known = self.told(trial)  # whoever held it until now may have come to its end
            if known.state != "open":
                return known
            self.tell.stage("trial", named(trial))
            return self._run(trial, known, exam=False)

    def examine(self, trial: Trial) -> Told:
        known = self.told(trial)
        if known.state != "taught":
            return known
        with self._held(trial) as mine:
            if not mine or (known := self.told(trial)).state != "taught":
                return known
            self.tell.stage("exam of", named(trial))
            return self._run(trial, known, exam=True)

    def standings(self) -> list[Standing]:
        """How all trials stand at this moment, in whoever's hands they are."""
        return [self._standing(trial) for trial in self.known.values()]

    def _standing(self, trial: Trial) -> Standing:
        told = self.told(trial)
        state = told.state
        if trial.key == self.running:
            state = "running"
        elif state in ("open", "taught") and self._lock(trial).claimed():
            state = "held"
        return Standing(trial.name, trial.seed, state, told.dev)

    def _run(self, trial: Trial, known: Told, *, exam: bool) -> Told:
        runs = self.folder / "runs" / trial.key
        begun = sorted(path.parent for path in runs.glob("*/manifest.json"))
        try:
            if begun:
                folder = pipeline.run(str(begun[-1]), exam=exam, listener=self.tell).folder
            else:
                settings = (*trial.settings, f"seed={trial.seed}")
                name = experiment_of(self.plan, self.beside)
                folder = pipeline.run(name, overrides=settings, run_dir=runs, exam=exam, listener=self.tell).folder
        except Interrupted as stop:  # not a fault of the trial: its run goes on when the series does
            stop.do = both("Go on with the same command.", "続けるには同じコマンドをもう一度実行すること。")
            raise
        except IncompatibleError as error:
            # The trial began with other versions and did not fail. Trials are there to be compared: all of them wait.
            error.do = both(
                f"Put back what it began with, or remove {begun[-1] if begun else runs} to begin this trial anew.",
                f"始めたときの状態に戻すか、{begun[-1] if begun else runs} を消してこの試行を新しく始めること。",
            )
            raise
        except TerakoyaError as error:
            return self._keep(Told(trial, "failed", known.run, None, both(str(error), error.words("ja"))))
        return self._keep(
            Told(trial, "done" if exam else "taught", str(folder.relative_to(self.folder)), read_record(folder).dev)
        )

    def _keep(self, told: Told) -> Told:
        values = {"name": told.trial.name, "settings": told.trial.settings, "seed": told.trial.seed}
        values |= {"state": told.state, "run": told.run, "dev": told.dev, "reason": told.reason}
        write_json(self._file(told.trial), values)
        return told

    def _file(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.key}.json"

    def _lock(self, trial: Trial) -> Lock:
        return Lock(self.folder / "trials" / f"{trial.key}.lock")

    @contextmanager
    def _held(self, trial: Trial) -> Iterator[bool]:
        """Whether the trial is this process's; all listeners are told when it begins and when it has ended."""
        (self.folder / "trials").mkdir(parents=True, exist_ok=True)
        lock = self._lock(trial)
        try:
            lock.acquire()
        except LockedError:
            yield False
            return
        self.known[trial.key], self.running = trial, trial.key
        self.tell.trials(self.standings)
        try:
            yield True
        finally:
            self.running = ""
            lock.release()
            self.tell.trials(self.standings)


def _searched(work: _Work, deadline: float | None) -> list[Told]:
    """Ask optuna for settings, teach, tell it the dev figure. The study's journal is shared by all processes."""
    optuna = need("optuna", extra="sweep")
    search = work.plan.search
    assert search is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = optuna.storages.journal.JournalFileBackend(str(work.folder / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    sampler = optuna.samplers.TPESampler(seed=work.plan.seeds[0])
    study = optuna.create_study(
        study_name=work.plan.name, storage=storage, sampler=sampler, direction="maximize", load_if_exists=True
    )

    def tried(asked: Any, settings: tuple[str, ...]) -> None:
        told = work.teach(trial_of(work.plan, settings), None)
        if told.state == "held":
            return  # another process is at it and will tell
        study.tell(asked, told.dev, state=None if told.dev is not None else optuna.trial.TrialState.FAIL)

    # What a killed process left running is taken up first: its settings were written down before it began.
    for left in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if "settings" in left.user_attrs:
            tried(left.number, tuple(json.loads(left.user_attrs["settings"])))
    while len(study.trials) < search.trials and (deadline is None or time.monotonic() < deadline):
        asked = study.ask()
        settings = tuple(f"{key}={written_value(_suggested(asked, key, space))}" for key, space in search.space.items())
        asked.set_user_attr("settings", json.dumps(settings))
        tried(asked, settings)
    seen = {tuple(json.loads(t.user_attrs["settings"])): None for t in study.trials if "settings" in t.user_attrs}
    return [work.told(trial_of(work.plan, settings)) for settings in seen]


def _suggested(asked: Any, key: str, space: Mapping[str, Any]) -> Any:
    if "choices" in space:
        return asked.suggest_categorical(key, list(space["choices"]))
    ask: Callable[..., Any] = asked.suggest_int if isinstance(space["low"], int) else asked.suggest_float
    return ask(key, space["low"], space["high"], log=bool(space.get("log", False)))


def _declared(plan: Plan, told: Sequence[Told], best: str) -> list[Told]:
    if plan.open == "none" or any(one.state in ("open", "held") for one in told):
        return []  # not before every trial is taught: who has seen the exam may not choose any more
    return [one for one in told if plan.open == "all" or one.trial.name == best]


def _gone(run: Path, told: Path) -> str:
    return both(
        f"its run is gone: {run}\nPut it back, or remove {told} to teach it again.",
        f"実行フォルダがなくなっている：{run}\n元に戻すか、{told} を消して学習し直すこと。",
    )
