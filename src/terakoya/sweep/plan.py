"""What a series is to do: its file, what is said beside it, and the trials that follow from both."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from terakoya import registry
from terakoya.config import Section, wanted, with_overrides
from terakoya.errors import ConfigError
from terakoya.file_errors import parse_toml, read_text
from terakoya.i18n import both, joined
from terakoya.progress import TrialState
from terakoya.records import fingerprint
from terakoya.runs import write_text

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
    state: TrialState
    run: str = ""
    dev: float | None = None
    reason: str = ""


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


AS_IT_IS = Changes()


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


def read_plan(path: Path) -> Plan:
    """The series in a TOML file. Unknown keys and impossible values are refused by name."""
    text = read_text(
        path,
        missing=both("there is no such series", "そのシリーズはない"),
        do=both(
            "Name a TOML file; docs/series.md shows one.", "TOML ファイルを指定すること。例は docs/series.md にある。"
        ),
    )
    values = parse_toml(text, str(path))
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
                settings = tuple(f"{key}={written_value(value)}" for key, value in zip(plan.grid, values, strict=True))
                yield Trial(", ".join(settings), (*plan.set, *settings), seed)


def check(plan: Plan, beside: Path) -> None:
    """Every key and value of the series against the config, before a minute is spent on the first trial."""
    config = registry.find_experiment(experiment_of(plan, beside), plan.set).config
    for trial in trials(plan):
        with_overrides(config, trial.settings)
    for key, space in (plan.search.space if plan.search else {}).items():
        if "choices" not in space and not {"low", "high"} <= set(space):
            raise ConfigError(
                both(f"'{key}' says neither choices nor low and high", f"'{key}' に choices も low と high もない"),
                where="[search.space]",
                do=both("{ low = 1e-4, high = 1e-2 }", "{ low = 1e-4, high = 1e-2 } のように書くこと。"),
            )
        with_overrides(config, [f"{key}={written_value(space['choices'][0] if 'choices' in space else space['low'])}"])


def trial_of(plan: Plan, settings: tuple[str, ...]) -> Trial:
    return Trial(", ".join(settings), (*plan.set, *settings), plan.seeds[0])


def _fault(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"]))
    return both(f"{place}: {error['msg']}", f"{place}：{wanted(error)}")


def keep_plan(folder: Path, path: Path, changes: Changes) -> None:
    """The series' own copy of its file and of what was said beside it; another one under the same name is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "series.toml"
    text = read_text(path) if path.is_file() else ""
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


def experiment_of(plan: Plan, beside: Path) -> str:
    path = beside / plan.experiment
    return str(path) if plan.experiment.endswith(".toml") else plan.experiment


def written_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, list, tuple)) else str(value)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
