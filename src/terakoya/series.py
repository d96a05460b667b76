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

import itertools
import json
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from terakoya import catalog, pipeline
from terakoya.config import Section, wanted, with_overrides
from terakoya.errors import ConfigError, Interrupted, LockedError, TerakoyaError, need
from terakoya.listener import Listener, Silent
from terakoya.records import fingerprint
from terakoya.report import SeriesRecord, language, read_record, series_markdown, series_page
from terakoya.runs import Lock, Run, read_json, safe_name, write_json, write_text
from terakoya.tongue import both, gathered, in_language, joined

Opening = Literal["best", "all", "none"]


class Search(Section):
    trials: int
    space: dict[str, dict[str, Any]]


class Entry(Section):
    name: str = ""
    set: tuple[str, ...] = ()


class Plan(Section):
    """A series as its file says it."""

    name: str
    experiment: str
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    minutes: float = 0.0
    open: Opening = "best"
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    list: tuple[Entry, ...] = ()
    search: Search | None = None


@dataclass(frozen=True)
class Trial:
    """One run of the series: what it sets, and the seed. Known by both, never by its number."""

    name: str
    settings: tuple[str, ...]
    seed: int

    @property
    def key(self) -> str:
        return fingerprint(*sorted(self.settings), f"seed={self.seed}")


@dataclass(frozen=True)
class Told:
    """How a trial stands: "open", "taught" (its exam is closed), "done", "failed", "held" by another process."""

    trial: Trial
    state: str
    run: str = ""
    dev: float | None = None
    reason: str = ""


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


@dataclass(frozen=True)
class Changes:
    """What is said beside a series' file: settings for all trials, axes of the grid (in place of its own), seeds."""

    set: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()  # KEY=VALUE,VALUE …, or KEY=[a TOML array]
    seeds: tuple[int, ...] = ()

    def of(self, plan: Plan) -> Plan:
        """The plan with these changes. Raises ConfigError for an axis without values, or beside a list or search."""
        if self.grid and not plan.grid:
            raise ConfigError(
                both("this series is no grid", "このシリーズは grid ではない"),
                where="--grid",
                do=both("Use --set; or describe a grid of your own.", "--set を使うか、自分で grid を書くこと。"),
            )
        return plan.model_copy(
            update={
                "set": (*plan.set, *self.set),
                "grid": plan.grid | dict(map(_axis, self.grid)),
                "seeds": self.seeds or plan.seeds,
            }
        )


def seeds_of(told: str) -> tuple[int, ...]:
    """ "0,1,2" as numbers; "" is none."""
    try:
        return tuple(int(seed) for seed in told.split(",")) if told else ()
    except ValueError as error:
        raise ConfigError(
            both(f"'{told}' is no list of seeds", f"'{told}' はシードの並びではない"),
            where="--seeds",
            do=both("Whole numbers with commas: 0,1,2.", "0,1,2 のように整数をコンマで区切ること。"),
        ) from error


def _axis(told: str) -> tuple[str, tuple[Any, ...]]:
    key, _, text = told.partition("=")
    try:
        values = tomllib.loads(f"values = {text}")["values"] if text.startswith("[") else text.split(",")
    except tomllib.TOMLDecodeError:
        values = []
    if not key or not values or "" in values:
        raise ConfigError(
            both(f"'{told}' names no key and values", f"'{told}' にキーと値がない"),
            where="--grid",
            do=both('KEY=VALUE,VALUE or KEY=["VALUE", …].', 'KEY=値,値 または KEY=["値", …] のように書くこと。'),
        )
    return key, _tuples(values)


def sweep(
    name: str | Path,
    *,
    changes: Changes = Changes(),
    run_dir: Path = Path("runs"),
    lang: str = "",
    listener: Listener | None = None,
) -> Series:
    """All trials that are still open, then the exam for what was declared beforehand, then the page.

    `name` is a TOML file, or one of the series that ship; a series that goes on has the changes that it began with.
    """
    tell = listener or Silent()
    path = catalog.find_series(str(name))
    plan = changes.of(read_plan(path))
    folder = run_dir / f"series-{safe_name(plan.name)}"
    _keep_plan(folder, path, changes)
    check(plan, path.resolve().parent)
    deadline = time.monotonic() + plan.minutes * 60 if plan.minutes else None
    work = _Work(plan, path.resolve().parent, folder, tell)
    told = _searched(work, deadline) if plan.search else [work.teach(trial, deadline) for trial in trials(plan)]
    best = chosen(told)
    for one in _declared(plan, told, best):
        work.examine(one.trial)
    return _written(work, [work.told(one.trial) for one in told], best, lang)


def read_plan(path: Path) -> Plan:
    """The series in a TOML file. Unknown keys and impossible values are refused by name."""
    if not path.is_file():
        raise ConfigError(
            both("there is no such series", "そのシリーズはない"),
            where=str(path),
            do=both(
                "Name a TOML file; docs/series.md shows one.",
                "TOML ファイルを指定すること。例は docs/series.md にある。",
            ),
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            both(f"not valid TOML: {error}", f"正しい TOML ではない：{error}"),
            where=str(path),
            do=both("Mend the line named above.", "上に示された行を直すこと。"),
        ) from error
    try:
        plan = Plan.model_validate(_tuples(values))
    except ValidationError as error:
        faults = joined("\n", (_fault(dict(item)) for item in error.errors()))
        raise ConfigError(
            faults,
            where=str(path),
            do=both(
                "See the top of docs/series.md for the keys there are.", "使えるキーは docs/series.md の初めにある。"
            ),
        ) from error
    kinds = [bool(plan.grid), bool(plan.list), plan.search is not None]
    if sum(kinds) != 1:
        raise ConfigError(
            both("a series is a grid, a list or a search", "シリーズは grid・list・search のどれか一つである"),
            where=str(path),
            do=both("Keep exactly one of them.", "一つだけ残すこと。"),
        )
    return plan


def trials(plan: Plan) -> Iterator[Trial]:
    """Every trial of a grid or a list, seed by seed, so that a short budget sees each setting once."""
    for seed in plan.seeds:
        for entry in plan.list:
            yield Trial(entry.name or ", ".join(entry.set) or "as it is", (*plan.set, *entry.set), seed)
        if plan.grid:
            for values in itertools.product(*plan.grid.values()):
                settings = tuple(f"{key}={_written_value(value)}" for key, value in zip(plan.grid, values, strict=True))
                yield Trial(", ".join(settings), (*plan.set, *settings), seed)


def check(plan: Plan, beside: Path) -> None:
    """Every key and value of the series against the config, before a minute is spent on the first trial."""
    config = catalog.find_experiment(_experiment(plan, beside), plan.set).config
    for trial in trials(plan):
        with_overrides(config, trial.settings)
    for key, space in (plan.search.space if plan.search else {}).items():
        if "choices" not in space and not {"low", "high"} <= set(space):
            raise ConfigError(
                both(f"'{key}' says neither choices nor low and high", f"'{key}' に choices も low と high もない"),
                where="[search.space]",
                do=both("{ low = 1e-4, high = 1e-2 }", "{ low = 1e-4, high = 1e-2 } のように書くこと。"),
            )
        with_overrides(config, [f"{key}={_written_value(space['choices'][0] if 'choices' in space else space['low'])}"])


def chosen(told: Sequence[Told]) -> str:
    """The setting whose dev figure, over its seeds, is the best mean. The exam has no say."""
    figures: dict[str, list[float]] = {}
    for one in told:
        if one.dev is not None:
            figures.setdefault(one.trial.name, []).append(one.dev)
    return max(figures, key=lambda name: sum(figures[name]) / len(figures[name]), default="")


class _Work:
    """Trials kept as TRIALS/KEY.json beside their runs; a trial is held by a lock while it is worked on."""

    def __init__(self, plan: Plan, beside: Path, folder: Path, tell: Listener) -> None:
        self.plan, self.beside, self.folder, self.tell = plan, beside, folder, tell

    def told(self, trial: Trial) -> Told:
        path = self._file(trial)
        if not path.is_file():
            return Told(trial, "open")
        values = gathered(read_json(path))
        return Told(trial, values["state"], values["run"], values["dev"], values["reason"])

    def teach(self, trial: Trial, deadline: float | None) -> Told:
        """Train this trial, or what is left of it; its exam stays closed."""
        known = self.told(trial)
        if known.state in ("taught", "done", "failed") or (deadline is not None and time.monotonic() > deadline):
            return known
        with self._held(trial) as mine:
            if not mine:
                return Told(trial, "held")
            self.tell.stage("trial", _named(trial))
            return self._run(trial, known, exam=False)

    def examine(self, trial: Trial) -> Told:
        known = self.told(trial)
        if known.state != "taught":
            return known
        with self._held(trial) as mine:
            if not mine:
                return known
            self.tell.stage("exam of", _named(trial))
            return self._run(trial, known, exam=True)

    def _run(self, trial: Trial, known: Told, *, exam: bool) -> Told:
        runs = self.folder / "runs" / trial.key
        begun = sorted(path.parent for path in runs.glob("*/manifest.json"))
        try:
            if begun:
                folder = pipeline.run(str(begun[-1]), exam=exam, listener=self.tell).folder
            else:
                settings = (*trial.settings, f"seed={trial.seed}")
                name = _experiment(self.plan, self.beside)
                folder = pipeline.run(name, overrides=settings, run_dir=runs, exam=exam, listener=self.tell).folder
        except Interrupted as stop:  # not a fault of the trial: its run goes on when the series does
            stop.do = both("Go on with the same command.", "続けるには同じコマンドをもう一度実行すること。")
            raise
        except TerakoyaError as error:
            return self._keep(Told(trial, "failed", known.run, None, both(str(error), error.words("ja"))))
        return self._keep(
            Told(trial, "done" if exam else "taught", str(folder.relative_to(self.folder)), dev_of(folder))
        )

    def _keep(self, told: Told) -> Told:
        values = {"name": told.trial.name, "settings": told.trial.settings, "seed": told.trial.seed}
        values |= {"state": told.state, "run": told.run, "dev": told.dev, "reason": told.reason}
        write_json(self._file(told.trial), values)
        return told

    def _file(self, trial: Trial) -> Path:
        return self.folder / "trials" / f"{trial.key}.json"

    @contextmanager
    def _held(self, trial: Trial) -> Iterator[bool]:
        place = self.folder / "trials"
        place.mkdir(parents=True, exist_ok=True)
        lock = Lock(place / f"{trial.key}.lock")
        try:
            lock.acquire()
        except LockedError:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def dev_of(run: Path) -> float | None:
    """The dev figure of the checkpoint that answers."""
    training = Run.open(run).manifest.get("training") or {}
    figures = {key: value for key, value in (training.get("best") or {}).items() if key not in ("loss", "unreadable")}
    return float(next(iter(figures.values()))) if figures else None


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
        told = work.teach(_trial(work.plan, settings), None)
        if told.state == "held":
            return  # another process is at it and will tell
        study.tell(asked, told.dev, state=None if told.dev is not None else optuna.trial.TrialState.FAIL)

    # What a killed process left running is taken up first: its settings were written down before it began.
    for left in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if "settings" in left.user_attrs:
            tried(left.number, tuple(json.loads(left.user_attrs["settings"])))
    while len(study.trials) < search.trials and (deadline is None or time.monotonic() < deadline):
        asked = study.ask()
        settings = tuple(
            f"{key}={_written_value(_suggested(asked, key, space))}" for key, space in search.space.items()
        )
        asked.set_user_attr("settings", json.dumps(settings))
        tried(asked, settings)
    seen = {tuple(json.loads(t.user_attrs["settings"])): None for t in study.trials if "settings" in t.user_attrs}
    return [work.told(_trial(work.plan, settings)) for settings in seen]


def _trial(plan: Plan, settings: tuple[str, ...]) -> Trial:
    return Trial(", ".join(settings), (*plan.set, *settings), plan.seeds[0])


def _suggested(asked: Any, key: str, space: Mapping[str, Any]) -> Any:
    if "choices" in space:
        return asked.suggest_categorical(key, list(space["choices"]))
    ask: Callable[..., Any] = asked.suggest_int if isinstance(space["low"], int) else asked.suggest_float
    return ask(key, space["low"], space["high"], log=bool(space.get("log", False)))


def _declared(plan: Plan, told: Sequence[Told], best: str) -> list[Told]:
    if plan.open == "none" or any(one.state in ("open", "held") for one in told):
        return []  # not before every trial is taught: who has seen the exam may not choose any more
    return [one for one in told if plan.open == "all" or one.trial.name == best]


def _written(work: _Work, told: Sequence[Told], best: str, lang: str) -> Series:
    folder, spoken = work.folder, language(lang)
    runs = [one for one in told if one.run]
    notes = tuple(_notes(work.plan, told, best))
    record = SeriesRecord(
        name=work.plan.name,
        runs=tuple(read_record(folder / one.run) for one in runs),
        keys=tuple(sorted({item.partition("=")[0] for one in told for item in one.trial.settings} | {"seed"})),
        notes=tuple(in_language(note, spoken) for note in notes),
        failed={
            in_language(_named(one.trial), spoken): in_language(one.reason, spoken)
            for one in told
            if one.state == "failed"
        },
    )
    pages = {"report.md": series_markdown(record, spoken), "report.html": series_page(record, spoken)}
    for name, text in pages.items():
        write_text(folder / name, text)
    return Series(work.plan.name, folder, tuple(told), best, tuple(folder / name for name in pages), notes)


def _fault(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"]))
    return both(f"{place}: {error['msg']}", f"{place}：{wanted(error)}")


def _named(trial: Trial) -> str:
    return both(f"{trial.name}, seed {trial.seed}", f"{trial.name}、シード{trial.seed}")


def _notes(plan: Plan, told: Sequence[Told], best: str) -> Iterator[str]:
    yield (
        both(f"Best on dev: {best}.", f"検証での最良：{best}。")
        if best
        else both("No trial has a dev figure yet.", "検証の値がある試行はまだない。")
    )
    yield both(f"Exam declared beforehand to be opened: {plan.open}.", f"試験を開くと前もって決めたもの：{plan.open}。")
    left = sum(one.state in ("open", "held") for one in told)
    if left:
        yield both(
            f"{left} trials are still to be done; the exam stays closed. Go on with the same command.",
            f"残りの試行は{left}件で、試験はまだ開かない。同じコマンドで続けること。",
        )


def _keep_plan(folder: Path, path: Path, changes: Changes) -> None:
    """The series' own copy of its file and of what was said beside it; another one under the same name is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "series.toml"
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    beside = [f"--set {one}" for one in changes.set] + [f"--grid {one}" for one in changes.grid]
    beside += [f"--seeds {','.join(map(str, changes.seeds))}"] if changes.seeds else []
    text += "".join(f"# {one}\n" for one in map(_one_line, beside)) if text else ""
    if own.is_file() and text and own.read_text(encoding="utf-8") != text:
        raise ConfigError(
            both(
                "another series of this name lies here, with other contents", "同じ名前で内容の違うシリーズがここにある"
            ),
            where=str(folder),
            do=both(
                "Give this one another name or another --run-dir, repeat what it began with (the end of its "
                "series.toml shows it), or remove the folder.",
                "別の名前か別の --run-dir にするか、始めたときと同じ指定にするか（その series.toml の末尾にある）、"
                "そのフォルダを消すこと。",
            ),
        )
    if text and not own.is_file():
        write_text(own, text)


def _one_line(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _experiment(plan: Plan, beside: Path) -> str:
    path = beside / plan.experiment
    return str(path) if plan.experiment.endswith(".toml") else plan.experiment


def _written_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, list, tuple)) else str(value)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
