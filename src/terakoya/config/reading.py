"""Configs from TOML and from `--set`. All faults are reported at once, each with its place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from terakoya.config.renamed import with_current_names
from terakoya.config.schema import Config, Section
from terakoya.config.validation_messages import describe_fault
from terakoya.errors import ConfigError
from terakoya.file_errors import parse_toml, read_text
from terakoya.i18n import both, joined


def read_config(path: Path, overrides: Sequence[str] = (), *, announce: bool = False) -> Config:
    """The config in the TOML file `path`.

    overrides  "section.key=value", applied in order
    announce   warn about old names of values in the file (renamed.py); old names in overrides are always announced
    Raises ConfigError with all faults.
    """
    text = read_text(
        path,
        missing=both("there is no such config", "設定ファイルが存在しない"),
        do=both(
            "Check the path; `terakoya list` shows the experiments that ship.",
            "パスを確かめること。同梱の実験は `terakoya list` で見られる。",
        ),
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
            do=both("docs/settings.md lists every setting.", "設定の一覧は docs/settings.md にある。"),
        ) from error


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """`config` with `overrides` ("section.key=value") applied in order. Raises ConfigError."""
    values: dict[str, Any] = config.model_dump()
    for override in overrides:
        values = _apply(values, override)
    return make_config(values, where="--set")


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if key == "options" else _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _apply(values: Mapping[str, Any], override: str) -> dict[str, Any]:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path) or len(path) > 3:
        raise ConfigError(
            both(f"'{override}' is not a setting", f"'{override}' は設定ではない"),
            where="--set",
            do=both(
                "Write --set section.key=value, as in --set train.steps=100.",
                "--set section.key=value の形で書くこと。例：--set train.steps=100。",
            ),
        )
    merged = {name: dict(item) if isinstance(item, dict) else item for name, item in values.items()}
    if isinstance(merged.get("task"), str):
        merged["task"] = {"use": merged["task"]}
    keys: dict[str, Any] = merged
    for name in path[:-1]:
        inner = keys.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                both(f"'{name}' is not a section", f"'{name}' というセクションはない"),
                where="--set",
                do=both("Write --set section.key=value.", "--set section.key=value の形で書くこと。"),
            )
        keys[name] = keys = dict(inner)
    keys[path[-1]] = _value(text, path)
    return with_current_names(merged, announce=True)


def _value(text: str, path: Sequence[str]) -> Any:
    """A value as TOML reads it; text stays text where the key takes text (`--set model.revision=007`)."""
    if _takes_text_only(path):
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _takes_text_only(path: Sequence[str]) -> bool:
    model: Any = Config
    for name in path[:-1]:
        field = model.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return False
        model = field.annotation
    field = model.model_fields.get(path[-1])
    return field is not None and field.annotation is str
