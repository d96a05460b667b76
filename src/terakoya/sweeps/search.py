"""A search by optuna (Akiba et al., 2019; TPE: Bergstra et al., 2011), whose study several processes or hosts share."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from terakoya.errors import ConfigError, need
from terakoya.i18n import _
from terakoya.sweeps.dispatch import Dispatcher
from terakoya.sweeps.plan import Trial, TrialResult, searched_trial, toml_value
from terakoya.sweeps.trial import TrialRunner


def search(dispatcher: Dispatcher) -> list[TrialResult]:
    """Sample settings, train, report dev values, as many at a time as the engine runs.

    dispatcher  of a sweep with a `[search]`
    Returns what every sampled trial came to; one that another host trained on a disk of its own has a dev value and
    no run.
    """
    return _Search(dispatcher).run()


class _Search:
    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher, self.runner = dispatcher, dispatcher.runner
        self.config = self.runner.config
        assert self.config.search is not None
        self.space, self.count = self.config.search.space, self.config.search.trials
        self.home = f"{socket.gethostname()}:{self.runner.folder.resolve()}"
        self.optuna = need("optuna", extra="sweep")
        self.study = _open_study(self.optuna, self.runner, dispatcher.engine.parallel)
        self.sampled: dict[str, int] = {}  # key of a trial that runs → its number in the study

    def run(self) -> list[TrialResult]:
        # What a killed process left running is resumed first: its settings were written down before it started.
        for left in self.study.get_trials(states=(self.optuna.trial.TrialState.RUNNING,)):
            if "settings" in left.user_attrs and self._is_ours(left):
                self._start(left.number, left.user_attrs["settings"])
        while True:
            while len(self.sampled) < self.dispatcher.engine.parallel and self._may_sample():
                self._sample()
            if not self.sampled:
                break
            for trial in self.dispatcher.wait():
                self._tell(trial)
        return self._results()

    def _is_ours(self, left: Any) -> bool:
        """With a journal in the sweep's folder a trial's lock says whether somebody runs it; with a database its home
        says who may go on with it, as no other host has its checkpoint."""
        if self.config.search is not None and self.config.search.storage:
            return bool(left.user_attrs.get("home") == self.home)
        trial = searched_trial(self.config, tuple(json.loads(left.user_attrs["settings"])))
        return not self.runner.lock(trial).is_claimed()

    def _may_sample(self) -> bool:
        limit = self.dispatcher.not_after
        return len(self.study.trials) < self.count and (limit is None or time.time() < limit)

    def _sample(self) -> None:
        sampled = self.study.ask()
        settings = [f"{key}={toml_value(_suggested(sampled, key, space))}" for key, space in self.space.items()]
        sampled.set_user_attr("home", self.home)
        sampled.set_user_attr("settings", json.dumps(settings))
        self._start(sampled.number, json.dumps(settings))

    def _start(self, number: int, settings: str) -> None:
        trial = searched_trial(self.config, tuple(json.loads(settings)))
        if self.dispatcher.submit([trial]):
            self.sampled[trial.key] = number
        else:
            self._report(number, self.runner.result(trial))  # the same settings were trained before

    def _tell(self, trial: Trial) -> None:
        self._report(self.sampled.pop(trial.key), self.runner.result(trial))

    def _report(self, number: int, result: TrialResult) -> None:
        if result.state in ("held", "open"):
            return  # another process runs it and will report it
        failed = self.optuna.trial.TrialState.FAIL
        self.study.tell(number, result.dev, state=None if result.dev is not None else failed, skip_if_finished=True)

    def _results(self) -> list[TrialResult]:
        results: dict[str, TrialResult] = {}
        for one in self.study.trials:
            if "settings" not in one.user_attrs:
                continue
            trial = searched_trial(self.config, tuple(json.loads(one.user_attrs["settings"])))
            result = self.runner.result(trial)
            elsewhere = result.state == "open" and one.user_attrs.get("home", self.home) != self.home
            if elsewhere and one.value is not None:
                result = TrialResult(trial, "trained", "", one.value)
            elif elsewhere and one.state == self.optuna.trial.TrialState.FAIL:
                result = TrialResult(trial, "failed", reason=_("on another host"))
            results[trial.key] = result
        return list(results.values())


def _open_study(optuna: Any, runner: TrialRunner, parallel: int) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = runner.config
    url = config.search.storage if config.search else ""
    try:
        storage = _storage(optuna, runner, url)
        study = optuna.create_study(study_name=config.name, storage=storage, direction="maximize", load_if_exists=True)
    except Exception as error:
        if not url:
            raise
        raise ConfigError(
            _("the study cannot be opened in this database ({error})", error=str(error).partition("\n")[0]),
            where="search.storage",
            do=_(
                "Check the URL and that its server responds. PostgreSQL's driver: pip install 'terakoya[postgres]'; "
                "MySQL's: pip install pymysql, with mysql+pymysql://…"
            ),
        ) from error

    # Another seed for every process that joins: with the first one's it would sample the first one's settings again.
    # With several trials at a time those that run count as bad ones, so that samples spread (constant liar).
    seed = config.seeds[0] + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=parallel > 1)
    return study


def _storage(optuna: Any, runner: TrialRunner, url: str) -> Any:
    if not url:
        backend = optuna.storages.journal.JournalFileBackend(str(runner.folder / "study.journal"))
        return optuna.storages.JournalStorage(backend)
    return optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def _suggested(sampled: Any, key: str, space: Mapping[str, Any]) -> Any:
    if "choices" in space:
        return sampled.suggest_categorical(key, list(space["choices"]))
    suggest: Callable[..., Any] = sampled.suggest_int if isinstance(space["low"], int) else sampled.suggest_float
    return suggest(key, space["low"], space["high"], log=bool(space.get("log", False)))
