"""Tasks, experiments and models by name, by file or by plug-in. The shipped ones are registered the same way.

Third parties can register entry points of the groups `terakoya.tasks` (name → `def task(**options) -> Task`) and
`terakoya.models` (name → a module with `build(…)` and `load(folder)`); metrics, codecs, losses and baselines are found
where they are used (docs/extending.md). Nothing is imported from tasks here.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from terakoya.config import Config, ModelConfig, TaskConfig, parse_config, read_config, with_overrides
from terakoya.config.reading import resolve_base
from terakoya.config.trust import fingerprint_code, is_trusted, read_code, trust_for_now
from terakoya.data.formats import TABLE_SUFFIXES, not_a_table
from terakoya.data.formats.encoding import refuse_archives
from terakoya.data.table import table_task
from terakoya.errors import ConfigError, DataError, PluginError, nearest
from terakoya.errors.third_party import broken_contract, check_call, load_plugin, plugin_faults
from terakoya.errors.third_party.entry_points import GROUPS, MODELS, TASKS, installed
from terakoya.errors.third_party.faults import is_ours, location_of, remember
from terakoya.i18n import _
from terakoya.task import Task, check_task, replace_parts

_announced: set[Path] = set()


class TaskCodeWarning(UserWarning):
    """A task file of somebody else runs, or was left out; `args[0]` is the message."""


@dataclass(frozen=True)
class Experiment:
    """A named config.

    name         of the run
    config       the config
    folder       the folder that its paths are relative to
    description  first comment of a shipped file: what it is for
    own          whether the user named the config himself; False for one that a run folder brings, whose task file
                 runs only where the user trusts it
    """

    name: str
    config: Config
    folder: Path
    description: str = ""
    own: bool = True


def names(group: str) -> list[str]:
    """All names of the entry-point `group` (TASKS or MODELS), shipped ones and those of installed packages."""
    return sorted({plugin.name for plugin in installed(group)})


def experiments() -> Iterator[Experiment]:
    """Every shipped experiment, by name."""
    for file in sorted(_shipped().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            yield _read_shipped(file.name.removesuffix(".toml"))


def experiment_names() -> list[str]:
    """Names of the shipped experiments, sorted."""
    return sorted(file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml"))


def find_experiment(name: str | Config, overrides: Sequence[str] = ()) -> Experiment:
    """The TOML file `name` where it exists, else the shipped experiment of that name; a `Config` is taken as it is.

    name       its paths are relative to the file, those of a `Config` to the working directory
    overrides  "section.key=value", applied in order
    Raises ConfigError where there is neither.
    """
    if isinstance(name, Config):
        return Experiment(name.name, with_overrides(name, overrides), Path.cwd())
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        _refuse_no_config(path)
        config = read_config(path, overrides, announce=True)
        own = config if config.name != "run" else config.model_copy(update={"name": path.stem})
        home = path.resolve().parent
        return Experiment(own.name, own, home, own=not (home / "manifest.json").is_file())
    if name not in experiment_names():
        if path.suffix.lower() in TABLE_SUFFIXES:
            raise DataError(
                _("there is no such file"),
                where=name,
                do=_("Check the path; it is relative to the folder you are in."),
            )
        known = nearest(name, experiment_names())
        raise ConfigError(
            _("there is no experiment '{name}'", name=name),
            do=_("{known} Or name a TOML file; `terakoya list` shows all.", known=known),
        )
    return _read_shipped(name, overrides)


def _refuse_no_config(path: Path) -> None:
    """Refuses a table, or another file that is no TOML, where a config belongs, saying what makes a config of it."""
    if path.suffix.lower() in TABLE_SUFFIXES:
        raise ConfigError(
            _("this is a table, and no config"),
            where=str(path),
            do=_("Make a config for it: terakoya new NAME --data {path}", path=path),
        )
    if path.suffix.lower() not in ("", ".toml"):
        if path.is_file():
            refuse_archives(path)
        raise ConfigError(
            _("'{suffix}' is neither a config (.toml) nor a table that Terakoya reads", suffix=path.suffix),
            where=str(path),
            do=not_a_table(path).do,
        )


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
            _("there is no series '{name}'", name=name),
            do=_("{known} Or name a TOML file; docs/series.md shows one.", known=known),
        )
    return Path(str(_shipped_series() / f"{name}.toml"))


def find_task(config: Config, folder: Path, *, own: bool = True) -> Task:
    """The task that `config` names: an entry point, a .py file, or a table; paths are relative to `folder`.

    own  whether the user named the config himself; else a .py file must be trusted (config/trust.py)
    Raises ConfigError for anything that is no task, and for a .py file that may not run.
    """
    wanted = config.task
    if bool(wanted.use) == bool(wanted.data):
        raise ConfigError(
            _("a config names either a task (task.use) or a table (task.data)"),
            where="[task]",
            do=_('Write for example: [task]\ndata = "moods.csv"'),
        )
    if wanted.data:
        return table_task(config, folder)
    task = _call_factory(_task_factory(wanted.use, folder, own), wanted, config)
    return replace_parts(
        task, codec=wanted.codec, first=wanted.metric, separator=wanted.separator, notation=wanted.notation
    )


def task_parameters(config: Config, folder: Path) -> frozenset[str]:
    """Names of what the function of a task can be given; nothing for a table.

    config  names a task that `find_task` has loaded
    folder  of the config
    """
    use = config.task.use
    if not use:
        return frozenset()
    if use.endswith(".py"):
        factory = getattr(sys.modules.get(_module_name(read_code(folder / use))), "task", None)
    else:
        factory = load_plugin("tasks", use, own=names(TASKS), unknown=use, where="[task]")
    return frozenset(inspect.signature(factory).parameters) if callable(factory) else frozenset()


def find_rule(config: Config) -> Callable[[str], str | None] | None:
    """The rule of an installed task, without its data: a saved skill says with it which predictions are confirmed.

    config  of the training
    Returns None for a table, for a task file, whose code is not run for this, and for a task whose module has no
    function `make_rule`, which takes the options of the task.
    """
    use = config.task.use
    if use not in names(TASKS):
        return None
    factory = load_plugin("tasks", use, own=names(TASKS), unknown=use, where="[task]")
    make = getattr(sys.modules.get(factory.__module__), "make_rule", None)
    return None if make is None else make(**config.task.options)


def find_model_maker(base: str, folder: Path | None = None) -> Callable[..., Any]:
    """The function that builds the model `base`: a built-in one or a plug-in by its name, else a pretrained one.

    base    `model.base` of the config that the function will be given
    folder  of that config, from which a relative path of a pretrained base is read; default: the working directory
    """
    build = _model_function(base, "build", ("config", "pairs", "labels"), ("seed",))
    key = "base_scores" if base in names(MODELS) else "base"
    return _with_resolved_base(build, folder or Path.cwd(), key)


def _with_resolved_base(function: Callable[..., Any], home: Path, key: str = "base") -> Callable[..., Any]:
    """The function, given a config in which the path that `key` names is a whole one; "" stays what it is."""

    def call(config: ModelConfig, *more: Any, **options: Any) -> Any:
        named = getattr(config, key)
        resolved = resolve_base(named, home, key) if named else ""
        return function(config.model_copy(update={key: resolved}), *more, **options)

    return call


def find_model_loader(base: str) -> Callable[[Path], Any]:
    """The function that loads a saved model `base` from its folder."""
    return _model_function(base, "load", ("folder",))


def _model_function(base: str, name: str, arguments: Sequence[str], keywords: Sequence[str] = ()) -> Callable[..., Any]:
    """`build` or `load` of the model `base`; those of a plug-in are given only what they take."""
    module = _model_module(base)
    if is_ours(location_of(module)):
        return getattr(module, name)  # type: ignore[no-any-return]
    what = _("the model '{base}'", base=base)
    function = getattr(module, name, None)
    if function is None:
        raise broken_contract(module, _("{what} has no function '{name}'", what=what, name=name))
    check_call(function, arguments, _("{what}, its function '{name}'", what=what, name=name), keywords)

    def call(*given: Any, **options: Any) -> Any:
        known = inspect.signature(function).parameters
        taken = {key: value for key, value in options.items() if key in known or key in keywords}
        with plugin_faults(function, what):
            return function(*given, **taken)

    return call


def find_reader(base: str, folder: Path | None = None) -> Callable[..., Any] | None:
    """The function that makes a tokenizer for auditing data with the pretrained model `base`, without loading weights.

    base, folder  as in `find_model_maker`
    None for built-in models, whose characters come from the data: `terakoya audit` needs no torch for them.
    """
    if base in names(MODELS):
        return None
    reader = getattr(_model_module(base), "reader", None)
    return reader and _with_resolved_base(reader, folder or Path.cwd())


def _model_module(base: str) -> Any:
    """An entry point of `terakoya.models` names a module with `build(…)` and `load(folder)`."""
    known = names(MODELS)
    name = base if base in known else "pretrained"
    return load_plugin("models", name, own=known, unknown=_("there is no model '{base}'", base=base))


def _task_factory(use: str, folder: Path, own: bool) -> Callable[..., Task]:
    if use.endswith(".py"):
        return _from_file(folder / use, own)
    unknown = _("there is no task '{use}'", use=use)
    return load_plugin("tasks", use, own=names(TASKS), unknown=unknown, where="[task]")  # type: ignore[no-any-return]


def _from_file(path: Path, own: bool) -> Callable[..., Task]:
    code = read_code(path)
    if own:
        _announce(path)
        trust_for_now(path)
    else:
        _refuse_untrusted(path, code)
    # Compiled from what was judged: the import system would take a .pyc that lies beside the file.
    module = ModuleType(_module_name(code))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look their module up
    remember(path)
    with plugin_faults():
        exec(compile(code, str(path), "exec"), module.__dict__)
    factory = getattr(module, "task", None)
    if not callable(factory):
        raise PluginError(
            _("this file defines no task"),
            where=str(path),
            do=_("Add a function: def task() -> Task."),
        )
    return factory  # type: ignore[no-any-return]


def _module_name(code: bytes) -> str:
    """The name under which a task file with this content is a module."""
    return f"terakoya_task_{fingerprint_code(code)[:12]}"


def require_trusted(experiment: Experiment) -> None:
    """Refuse somebody else's experiment whose task file may not run, before anything of it is begun.

    experiment  of which nothing was loaded yet
    Raises ConfigError, naming the file and the option that allows it.
    """
    use = experiment.config.task.use
    if use.endswith(".py") and not experiment.own:
        path = experiment.folder / use
        _refuse_untrusted(path, read_code(path))


def _refuse_untrusted(path: Path, code: bytes) -> None:
    if not is_trusted(code):
        raise untrusted(path, _("this folder wants to run a program, its task file"))


def untrusted(path: Path, what: str) -> ConfigError:
    """The refusal to run a task file that somebody else's folder brings, with the option that allows it.

    path  the file
    what  why it would have to run
    """
    shown = Path(os.path.relpath(path))
    return ConfigError(
        what,
        where=str(shown),
        do=_(
            "Read the file. If you trust it, add: --trust {file} (remembered until the file changes)",
            file=shlex.quote(str(shown)),
        ),
    )


def _announce(path: Path) -> None:
    """Say once that a program runs where it may be somebody else's: another owner, or outside the working directory."""
    file = path.resolve()
    owner = getattr(os, "getuid", lambda: file.stat().st_uid)()
    if file in _announced or (file.is_relative_to(Path.cwd()) and file.stat().st_uid == owner):
        return
    _announced.add(file)
    warnings.warn(TaskCodeWarning(_("this config runs the Python code in {file}", file=str(path))), stacklevel=2)


def _call_factory(factory: Callable[..., Task], wanted: TaskConfig, config: Config) -> Task:
    """Call the factory with the options that it knows; an unknown one is refused with the most similar name."""
    what = _("the task '{name}'", name=wanted.use)
    if not callable(factory):
        raise broken_contract(factory, _("{what} must be a function that returns a Task", what=what))
    known = inspect.signature(factory).parameters
    any_key = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for key in wanted.options:
        if key not in known and not any_key:
            raise ConfigError(_("unknown key '{key}'", key=key), where="[task.options]", do=nearest(key, known))
    if is_ours(location_of(factory)):
        _check_option_types(factory, wanted.options)
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
    given = {**wanted.options, **extra}
    check_call(factory, (), what, tuple(given))
    with plugin_faults(factory, what):
        return check_task(factory(**given), what, factory)


def _check_option_types(factory: Callable[..., Task], options: Mapping[str, Any]) -> None:
    """Refuse options of another type than the parameters of a shipped task; a saved skill may bring any."""
    hints = get_type_hints(factory)
    for key, value in options.items():
        if key not in hints:
            continue
        hint: Any = list[str] | str if hints[key] == Iterable[str] else hints[key]
        try:
            # As JSON: TOML has arrays only, and a parameter may be a tuple.
            TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
        except ValidationError as error:
            raise ConfigError(
                _("'{name}' cannot be {value!r}", name=key, value=value),
                where="[task.options]",
                do=_("The default is {default!r}.", default=inspect.signature(factory).parameters[key].default),
            ) from error


def installed_parts() -> dict[str, list[tuple[str, str]]]:
    """What entry points bring: kind ("tasks", "metrics" …) → (name, package with its version), ours included."""
    return {
        kind: [(one.name, f"{one.package} {one.version}") for one in installed(group)] for kind, group in GROUPS.items()
    }


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
