"""Configs from TOML and from `--set`. All faults are reported at once, each with its place."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from terakoya.config.renamed import with_current_names
from terakoya.config.schema import Config, PooledTeacher, Section
from terakoya.config.validation_messages import describe_fault
from terakoya.errors import ConfigError
from terakoya.errors.files import parse_toml, read_text
from terakoya.i18n import _, joined


def read_config(path: Path, overrides: Sequence[str] = (), *, announce: bool = False) -> Config:
    """The config in the TOML file `path`.

    overrides  "section.key=value", applied in order
    announce   warn about old names of values in the file (renamed.py); old names in overrides are always announced
    Raises ConfigError with all faults.
    """
    text = read_text(
        path,
        missing=_("there is no such config"),
        do=_("Check the path; `terakoya list` shows the experiments that ship."),
    )
    return parse_config(text, where=str(path), overrides=overrides, announce=announce)


def parse_config(text: str, *, where: str = "config", overrides: Sequence[str] = (), announce: bool = False) -> Config:
    """The config in the TOML `text`; `where` names it in errors, `overrides` and `announce` as in `read_config`."""
    values = with_current_names(parse_toml(text, where), announce=announce)
    for override in overrides:
        values = _apply(values, override)
    return make_config(values, where=where)


def make_config(values: Mapping[str, Any], *, where: str = "config") -> Config:
    """A Config from plain `values` by section. Raises ConfigError with all faults, each naming `where`."""
    values = with_current_names(values)
    if isinstance(values.get("task"), str):
        values["task"] = {"use": values["task"]}
    try:
        # TOML has arrays only; strict tuples need lists converted, which JSON mode does and Python mode does not.
        return Config.model_validate(_tuples(values))
    except ValidationError as error:
        faults = sorted({describe_fault(dict(item), where) for item in error.errors()})
        raise ConfigError(
            joined("\n", faults),
            do=_("docs/settings.md lists every setting."),
        ) from error


def resolve_base(base: str, home: Path, key: str = "base") -> str:
    """A model base as it can be opened: a folder or GGUF file by its whole path, all else (a name on the Hub) as it is.

    base  `model.base`
    home  the folder of the config that names it; where there is no such folder, the working directory counts
    key   of the section `model` that names it, for the error
    Raises ConfigError for a path that leads nowhere.
    """
    path = Path(base).expanduser()
    for start in (home, Path.cwd()):
        if (start / path).is_dir() or (_is_gguf(base) and (start / path).exists()):
            return str((start / path).resolve())
    if is_path(base):
        raise ConfigError(
            _("there is no such file") if _is_gguf(base) else _("there is no such folder"),
            where=base,
            do=_(
                "Check model.{key}: a relative path is read from the folder of the config, {home}.",
                key=key,
                home=str(home),
            ),
        )
    return base


def is_path(base: str) -> bool:
    """Whether a model base can only be a path: a name on the Hub has one slash at most, and names no GGUF file.

    base  `model.base`
    """
    return (
        _is_gguf(base) or base.startswith((".", "~")) or Path(base).is_absolute() or base.count("/") > 1 or "\\" in base
    )


def _is_gguf(base: str) -> bool:
    return base.lower().endswith(".gguf")


def rebase_base(base: str, here: Path, there: Path) -> str:
    """The same model base for a config in another folder: relative paths of folders change, all else stays.

    base   `model.base`
    here   the folder of the config
    there  the folder that the result is relative to
    """
    path = Path(base).expanduser()
    if path.is_absolute() or not (is_path(base) or (here / path).is_dir()):
        return base
    moved = Path(os.path.relpath(here / path, there)).as_posix()
    return moved if moved.startswith(".") else f"./{moved}"


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """`config` with `overrides` ("section.key=value") applied in order. Raises ConfigError."""
    values: dict[str, Any] = config.model_dump()
    for override in overrides:
        values = _apply(values, override)
    return make_config(values, where="--set")


def override_texts(settings: Mapping[str, Any]) -> list[str]:
    """Overrides as `--set` takes them, from a dictionary, so that a notebook and a command line mean the same.

    settings  {"train.steps": 500} or {"train": {"steps": 500}}; values as TOML knows them
    Returns "section.key=value" texts. Raises ConfigError where a value has no spelling in TOML, such as None.
    """
    return [f"{'.'.join(path)}={_toml_text(value, path)}" for path, value in _leaves(settings, ())]


def grid_axes(grid: Mapping[str, Sequence[Any]] | Sequence[str]) -> list[str]:
    """The axes of a grid as `--grid` takes them.

    grid  {"train.steps": [500, 1000]}, or the texts themselves
    """
    if not isinstance(grid, Mapping):
        return list(grid)
    return [f"{key}=[{', '.join(_toml_text(value, ()) for value in values)}]" for key, values in grid.items()]


def _leaves(settings: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in settings.items():
        path = (*above, *str(key).split("."))
        if isinstance(value, Mapping):
            yield from _leaves(value, path)
        else:
            yield path, value


def _toml_text(value: Any, path: Sequence[str]) -> str:
    if isinstance(value, PathLike):
        value = str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_text(item, ()) for item in value)}]"
    raise ConfigError(
        _("{key} cannot be set to {value!r}", key=".".join(path) or "overrides", value=value),
        where="overrides",
        do=_("Give a text, a number, true or false, or a list of these; leave the key out for its default."),
    )


_POOL = ("teacher", "pool")  # tables of it are named by the user
# Tables whose content is passed on as it is.
_OPEN_TABLES = ("options", "extra", "headers")


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if key in _OPEN_TABLES else _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _apply(values: Mapping[str, Any], override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path) or len(path) > (4 if path[:2] == list(_POOL) else 3):
        raise ConfigError(
            _("'{override}' is not a setting", override=override),
            where="--set",
            do=_("Write --set section.key=value, as in --set train.steps=100."),
        )
    merged = {name: dict(item) if isinstance(item, dict) else item for name, item in values.items()}
    if isinstance(merged.get("task"), str):
        merged["task"] = {"use": merged["task"]}
    keys: dict[str, Any] = merged
    for name in path[:-1]:
        inner = keys.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                _("'{name}' is not a section", name=name),
                where="--set",
                do=_("Write --set section.key=value."),
            )
        keys[name] = keys = dict(inner)
    keys[path[-1]] = _value(text, path)
    return with_current_names(merged, announce=True)


def _value(text: str, path: Sequence[str]) -> Any:
    """A value as TOML reads it; text stays text where the key takes text (`--set model.revision=007`)."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    is_text = _takes_text_only(path)
    if is_text and not is_quoted:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:  # a path with backslashes in quotes is no string of TOML, and is meant as it stands
        return text[1:-1] if is_text else text


def _takes_text_only(path: Sequence[str]) -> bool:
    model: Any = Config
    if len(path) == 4 and tuple(path[:2]) == _POOL:
        model, path = PooledTeacher, path[3:]
    for name in path[:-1]:
        field = model.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return False
        model = field.annotation
    field = model.model_fields.get(path[-1])
    return field is not None and field.annotation is str
