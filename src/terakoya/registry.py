"""Tasks, experiments and models by name, by file or by plug-in. The shipped ones are registered the same way.

Third parties can register entry points of the groups `terakoya.tasks` (name → `def task(**options) -> Task`) and
`terakoya.models` (name → a module with `build(…)` and `load(folder)`). Nothing is imported from tasks here.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from terakoya.config import Config, TaskConfig, parse_config, read_config
from terakoya.data.table import table_task
from terakoya.errors import ConfigError, nearest
from terakoya.i18n import both, japanese
from terakoya.task import Task

TASKS, MODELS = "terakoya.tasks", "terakoya.models"


@dataclass(frozen=True)
class Experiment:
    """A named config.

    name         of the run
    config       the config
    folder       the folder that its paths are relative to
    description  first comment of a shipped file: what it is for
    """

    name: str
    config: Config
    folder: Path
    description: str = ""


def names(group: str) -> list[str]:
    """All names of the entry-point `group` (TASKS or MODELS), shipped ones and those of installed packages."""
    return sorted({point.name for point in metadata.entry_points(group=group)})


def experiments() -> Iterator[Experiment]:
    """Every shipped experiment, by name."""
    for file in sorted(_shipped().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            yield _read_shipped(file.name.removesuffix(".toml"))


def experiment_names() -> list[str]:
    """Names of the shipped experiments, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml"))


def find_experiment(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """The TOML file `name` where it exists, else the shipped experiment of that name.

    overrides  "section.key=value", applied in order
    Raises ConfigError where there is neither.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        config = read_config(path, overrides, announce=True)
        own = config if config.name != "run" else config.model_copy(update={"name": path.stem})
        return Experiment(own.name, own, path.resolve().parent)
    if name not in experiment_names():
        known = nearest(name, experiment_names())
        raise ConfigError(
            both(f"there is no experiment '{name}'", f"「{name}」という実験はない"),
            do=both(
                f"{known} Or name a TOML file; `terakoya list` shows all.",
                f"{japanese(known)}TOML ファイルを指定してもよい。一覧は `terakoya list`。",
            ),
        )
    return _read_shipped(name, overrides)


def series() -> Iterator[tuple[str, str]]:
    """(name, first comment) of every shipped sweep file."""
    for file in sorted(_shipped_series().iterdir(), key=lambda file: file.name):
        says = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
        yield file.name.removesuffix(".toml"), says


def find_series(name: str) -> Path:
    """The sweep file `name` where it exists, else the shipped one of that name. Raises ConfigError."""
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = [found for found, _ in series()]
    if name not in shipped:
        known = nearest(name, shipped)
        raise ConfigError(
            both(f"there is no series '{name}'", f"「{name}」というシリーズはない"),
            do=both(
                f"{known} Or name a TOML file; docs/series.md shows one.",
                f"{japanese(known)}TOML ファイルを指定してもよい。例は docs/series.md にある。",
            ),
        )
    return Path(str(_shipped_series() / f"{name}.toml"))


def find_task(config: Config, folder: Path) -> Task:
    """The task that `config` names: an entry point, a .py file, or a table; paths are relative to `folder`.

    Raises ConfigError for anything that is no task.
    """
    wanted = config.task
    if bool(wanted.use) == bool(wanted.data):
        raise ConfigError(
            both(
                "a config names either a task (task.use) or a table (task.data)",
                "設定はタスク（task.use）か表（task.data）のどちらか一方を指定する",
            ),
            where="[task]",
            do=both(
                'Write for example: [task]\ndata = "moods.csv"',
                'たとえば次のように書くこと：[task]\ndata = "moods.csv"',
            ),
        )
    if wanted.data:
        return table_task(config, folder)
    return _call_factory(_task_factory(wanted.use, folder), wanted, config)


def find_model_maker(base: str) -> Callable[..., Any]:
    """The function that builds the model `base`: a built-in one or a plug-in by its name, else a pretrained one."""
    return _model_module(base).build  # type: ignore[no-any-return]


def find_model_loader(base: str) -> Callable[[Path], Any]:
    """The function that loads a saved model `base` from its folder."""
    return _model_module(base).load  # type: ignore[no-any-return]


def find_reader(base: str) -> Callable[..., Any] | None:
    """The function that makes a tokenizer for auditing data with the pretrained model `base`, without loading weights.

    None for built-in models, whose characters come from the data: `terakoya audit` needs no torch for them.
    """
    registered = {point.name for point in metadata.entry_points(group=MODELS)}
    return None if base in registered else getattr(_model_module(base), "reader", None)


def _model_module(base: str) -> Any:
    """An entry point of `terakoya.models` names a module with `build(…)` and `load(folder)`."""
    points = {point.name: point for point in metadata.entry_points(group=MODELS)}
    point = points.get(base) or points.get("pretrained")
    if point is None:
        raise ConfigError(
            both(f"there is no model '{base}'", f"「{base}」というモデルはない"), do=nearest(base, points)
        )
    return point.load()


def _task_factory(use: str, folder: Path) -> Callable[..., Task]:
    if use.endswith(".py"):
        return _from_file(folder / use)
    for point in metadata.entry_points(group=TASKS):
        if point.name == use:
            return point.load()  # type: ignore[no-any-return]
    raise ConfigError(
        both(f"there is no task '{use}'", f"「{use}」というタスクはない"), where="[task]", do=nearest(use, names(TASKS))
    )


def _from_file(path: Path) -> Callable[..., Task]:
    if not path.is_file():
        raise ConfigError(
            both("there is no such task file", "タスクのファイルがない"),
            where=str(path),
            do=both(
                "Check task.use; it is relative to the config.",
                "task.use を確かめること。設定ファイルからの相対パスである。",
            ),
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    factory = getattr(module, "task", None)
    if not callable(factory):
        raise ConfigError(
            both("this file defines no task", "このファイルはタスクを定義していない"),
            where=str(path),
            do=both("Add a function: def task() -> Task.", "次の関数を加えること：def task() -> Task。"),
        )
    return factory  # type: ignore[no-any-return]


def _call_factory(factory: Callable[..., Task], wanted: TaskConfig, config: Config) -> Task:
    """Call the factory with the options that it knows; an unknown one is refused with the most similar name."""
    known = inspect.signature(factory).parameters
    for key in wanted.options:
        if key not in known:
            raise ConfigError(
                both(f"unknown key '{key}'", f"知らないキー '{key}'"), where="[task.options]", do=nearest(key, known)
            )
    # What every factory may take as a parameter without an option of its own.
    general: Mapping[str, Any] = {
        "seed": config.seed,
        "notation": wanted.notation,
        "items": config.score.exam_items,
        "split": config.split,
    }
    extra = {key: value for key, value in general.items() if key in known and key not in wanted.options and value}
    if "seed" in known and "seed" not in wanted.options:
        extra["seed"] = config.seed
    return factory(**wanted.options, **extra)


def _shipped() -> Any:
    return resources.files("terakoya") / "experiments"


def _shipped_series() -> Any:
    return _shipped() / "series"


def _read_shipped(name: str, overrides: Sequence[str] = ()) -> Experiment:
    text = (_shipped() / f"{name}.toml").read_text(encoding="utf-8")
    says = text.splitlines()[0].removeprefix("#").strip() if text.startswith("#") else ""
    config = parse_config(text, where=f"{name}.toml", overrides=overrides)
    named = config if config.name != "run" else config.model_copy(update={"name": name})
    return Experiment(name, named, Path.cwd(), says)
