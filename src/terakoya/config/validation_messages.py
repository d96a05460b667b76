"""Validation errors in words: the key, the most similar known key, what the value may be."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from terakoya.config.installed_name import InstalledName
from terakoya.config.schema import Config, PooledTeacher, known_keys
from terakoya.config.secret_values import SecretError, contains_key
from terakoya.errors import nearest
from terakoya.i18n import _, joined


def describe_fault(error: dict[str, Any], where: str) -> str:
    """One validation error in words.

    error  an item of pydantic's `ValidationError.errors()`
    where  the file, or "--set"
    """
    location = [str(part) for part in error["loc"]]
    section, key = "", location[0] if location else ""
    if location[:2] == ["teacher", "pool"] and len(location) > 2:
        section, key = ".".join(location[:-1][:3]), location[2:4][-1]
    elif len(location) > 1 and key in Config.model_fields:
        section, key = location[:2]
    spot = f"{where}[{section}]" if section else where
    if error["type"] == "extra_forbidden":
        unknown = _("{spot}: unknown key '{key}'\n", spot=spot, key=key)
        return joined("", (unknown, nearest(key, _keys_of(section))))
    got, wanted = error.get("input"), requirement(error)
    hidden = isinstance(error.get("ctx", {}).get("error"), SecretError) or contains_key(repr(got))
    value = _("this value") if hidden else repr(got)
    fault = _("{spot}: '{key}' cannot be {value}: {wanted}", spot=spot, key=key, value=value, wanted=wanted)
    choices = _choices_of(section, key)
    return joined("\n", (fault, nearest(got, choices))) if choices and isinstance(got, str) else fault


def requirement(error: Mapping[str, Any]) -> str:
    """What a value must be; in pydantic's own words where its type of error is rare.

    error  an item of pydantic's `ValidationError.errors()`
    """
    context = error.get("ctx", {})
    simple = _REQUIREMENTS.get(error["type"])
    if simple is not None:
        return simple
    if error["type"] == "literal_error":
        expected = str(context["expected"]).replace(" or ", ", ")
        return _("it must be one of {expected}", expected=expected)
    bound = next((context[name] for name in ("gt", "ge", "lt", "le") if name in context), None)
    bounds = {
        "greater_than": _("it must be greater than {bound}", bound=bound),
        "greater_than_equal": _("it must be at least {bound}", bound=bound),
        "less_than": _("it must be less than {bound}", bound=bound),
        "less_than_equal": _("it must be at most {bound}", bound=bound),
    }
    if error["type"] in bounds:
        return bounds[error["type"]]
    own = context.get("error")
    if isinstance(own, Exception) and own.args:
        own = own.args[0]
    message = str(error["msg"]).removeprefix("Value error, ")
    return own if isinstance(own, str) else message[:1].lower() + message[1:]


_INTEGER = _("it must be an integer")
_NUMBER = _("it must be a number")
_BOOLEAN = _("it must be true or false")
_TABLE = _("it must be a table")
_REQUIREMENTS = {
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "string_type": _("it must be text"),
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "tuple_type": _("it must be an array [ … ]"),
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "finite_number": _("it must be a finite number"),
}


def _keys_of(section: str) -> list[str]:
    if section.startswith("teacher.pool"):
        return list(PooledTeacher.model_fields)
    return [key for place, key, _ in known_keys() if place == section] + ([] if section else list(Config.model_fields))


def _choices_of(section: str, key: str) -> list[str]:
    pooled = section.startswith("teacher.pool")
    model: Any = PooledTeacher if pooled else Config.model_fields[section].annotation if section else Config
    field = model.model_fields.get(key) if model is not None else None
    if field is None:
        return []
    return [*_installed(field.metadata), *_literals(field.annotation)]


def _installed(metadata: Iterable[Any]) -> Iterator[str]:
    for mark in metadata:
        if isinstance(mark, InstalledName):
            yield from mark.choices()


def _literals(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from (str(choice) for choice in typing.get_args(annotation))
    elif typing.get_origin(annotation) is typing.Annotated:
        yield from _installed(annotation.__metadata__)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple):
        for part in typing.get_args(annotation):
            yield from _literals(part)
