"""What a sweep is to do: its TOML file, the overrides beside it, and the trials that follow from both."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from terakoya import registry
from terakoya.config import requirement, with_overrides
from terakoya.errors import ConfigError
from terakoya.errors.files import parse_toml, read_text
from terakoya.i18n import _, joined
from terakoya.records import fingerprint
from terakoya.runs import write_text
from terakoya.runs.progress import TrialState
from terakoya.sweeps.schema import SweepConfig


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: its settings and its seed. Known by both, never by its position."""

    name: str
    settings: tuple[str, ...]
    seed: int

    @property
    def key(self) -> str:
        """Fingerprint of settings and seed."""
        return fingerprint(*sorted(self.settings), f"seed={self.seed}")


@dataclass(frozen=True)
class TrialResult:
    """What a trial came to.

    trial   its settings and seed
    state   "open", "trained" (its exam is closed), "done", "failed", "held" by another process
    run     folder of its run, relative to the sweep's
    dev     dev value of its chosen checkpoint
    reason  why it failed
    """

    trial: Trial
    state: TrialState
    run: str = ""
    dev: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class SweepOverrides:
    """What the command line adds to a sweep's file.

    set    KEY=VALUE settings for all trials
    grid   axes in place of the file's own: KEY=VALUE,VALUE …, or KEY=[a TOML array]
    seeds  in place of the file's own
    """

    set: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    def apply(self, config: SweepConfig) -> SweepConfig:
        """The sweep with these overrides.

        config  as its file describes it
        Raises ConfigError for an axis without values, or beside a list or search.
        """
        if self.grid and not config.grid:
            raise ConfigError(
                _("this sweep is no grid"),
                where="--grid",
                do=_("Use --set; or describe a grid of your own."),
            )
        return config.model_copy(
            update={
                "set": (*config.set, *self.set),
                "grid": config.grid | dict(map(_axis, self.grid)),
                "seeds": self.seeds or config.seeds,
            }
        )


NO_OVERRIDES = SweepOverrides()


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from the command line.

    text  "0,1,2"; "" is none
    Raises ConfigError for anything else.
    """
    try:
        return tuple(int(seed) for seed in text.split(",")) if text else ()
    except ValueError as error:
        raise ConfigError(
            _("'{text}' is no list of seeds", text=text),
            where="--seeds",
            do=_("Whole numbers with commas: 0,1,2."),
        ) from error


def _axis(text: str) -> tuple[str, tuple[Any, ...]]:
    key, _equals, listed = text.partition("=")
    try:
        values = tomllib.loads(f"values = {listed}")["values"] if listed.startswith("[") else listed.split(",")
    except tomllib.TOMLDecodeError:
        values = []
    if not key or not values or "" in values:
        raise ConfigError(
            _("'{text}' names no key and values", text=text),
            where="--grid",
            do=_('KEY=VALUE,VALUE or KEY=["VALUE", …].'),
        )
    return key, _tuples(values)


def read_sweep(path: Path) -> SweepConfig:
    """The sweep that a TOML file describes.

    path  the file
    Raises ConfigError, which names unknown keys and impossible values.
    """
    text = read_text(
        path,
        missing=_("there is no such sweep"),
        do=_("Name a TOML file; docs/series.md shows one."),
    )
    values = parse_toml(text, str(path))
    try:
        config = SweepConfig.model_validate(_tuples(values))
    except ValidationError as error:
        faults = joined("\n", (_fault(dict(item)) for item in error.errors()))
        raise ConfigError(
            faults,
            where=str(path),
            do=_("See the top of docs/series.md for the keys there are."),
        ) from error
    kinds = [bool(config.grid), bool(config.list), config.search is not None]
    if sum(kinds) != 1:
        raise ConfigError(
            _("a sweep is a grid, a list or a search"),
            where=str(path),
            do=_("Keep exactly one of them."),
        )
    return config


def trials(config: SweepConfig) -> Iterator[Trial]:
    """Every trial of a grid or a list, seed by seed, so that a short budget covers each setting once.

    config  the sweep
    """
    for seed in config.seeds:
        for entry in config.list:
            yield Trial(entry.name or ", ".join(entry.set) or "as it is", (*config.set, *entry.set), seed)
        if config.grid:
            for values in itertools.product(*config.grid.values()):
                settings = tuple(f"{key}={toml_value(value)}" for key, value in zip(config.grid, values, strict=True))
                yield Trial(", ".join(settings), (*config.set, *settings), seed)


def check(config: SweepConfig, beside: Path) -> None:
    """Validate every key and value of the sweep before the first trial starts.

    config  the sweep
    beside  the folder of its file
    Raises ConfigError.
    """
    experiment = registry.find_experiment(experiment_reference(config, beside), config.set)
    registry.require_trusted(experiment)
    base = experiment.config
    for trial in trials(config):
        with_overrides(base, trial.settings)
    for key, space in (config.search.space if config.search else {}).items():
        if "choices" not in space and not {"low", "high"} <= set(space):
            raise ConfigError(
                _("'{key}' has neither choices nor low and high", key=key),
                where="[search.space]",
                do=_("{ low = 1e-4, high = 1e-2 }"),
            )
        with_overrides(base, [f"{key}={toml_value(space['choices'][0] if 'choices' in space else space['low'])}"])


def searched_trial(config: SweepConfig, settings: tuple[str, ...]) -> Trial:
    """The trial of settings that a search has sampled; it takes the first seed.

    config    the sweep
    settings  KEY=VALUE
    """
    return Trial(", ".join(settings), (*config.set, *settings), config.seeds[0])


def _fault(error: Mapping[str, Any]) -> str:
    key, wanted = ".".join(map(str, error["loc"])), requirement(error)
    return _("{key}: {wanted}", key=key, wanted=wanted)


def store_sweep(folder: Path, path: Path, overrides: SweepOverrides) -> None:
    """Write the sweep's own copy of its file and overrides; another sweep under the same name is refused.

    folder     of the sweep
    path       its TOML file
    overrides  beside it
    Raises ConfigError where the folder holds another sweep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    own = folder / "series.toml"
    text = read_text(path) if path.is_file() else ""
    beside = [f"--set {one}" for one in overrides.set] + [f"--grid {one}" for one in overrides.grid]
    beside += [f"--seeds {','.join(map(str, overrides.seeds))}"] if overrides.seeds else []
    text += "".join(f"# {one}\n" for one in map(_one_line, beside)) if text else ""
    if own.is_file() and text and own.read_text(encoding="utf-8") != text:
        raise ConfigError(
            _("another sweep of this name lies here, with other contents"),
            where=str(folder),
            do=_(
                "Give this one another name or another --run-dir, repeat what it started with (the end of its "
                "series.toml shows it), or remove the folder."
            ),
        )
    if text and not own.is_file():
        write_text(own, text)


def _one_line(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def experiment_reference(config: SweepConfig, beside: Path) -> str:
    """What `run` takes: a shipped experiment's name, or the path of a TOML file beside the sweep's.

    config  the sweep
    beside  the folder of its file
    """
    path = beside / config.experiment
    return str(path) if config.experiment.endswith(".toml") else config.experiment


def toml_value(value: Any) -> str:
    """A value as a KEY=VALUE setting has it.

    value  from the sweep's file
    """
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, list, tuple)) else str(value)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
