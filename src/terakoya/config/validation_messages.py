"""Validation errors in words: the key, the most similar known key, what the value may be."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from terakoya.config.schema import Config, known_keys
from terakoya.errors import nearest
from terakoya.i18n import both, japanese, joined


def describe_fault(error: dict[str, Any], where: str) -> str:
    """One validation error in words.

    error  an item of pydantic's `ValidationError.errors()`
    where  the file, or "--set"
    """
    location = [str(part) for part in error["loc"]]
    section, key = "", location[0] if location else ""
    if len(location) > 1 and key in Config.model_fields:
        section, key = location[:2]
    spot = f"{where}[{section}]" if section else where
    if error["type"] == "extra_forbidden":
        unknown = both(f"{spot}: unknown key '{key}'\n", f"{spot}: 知らないキー '{key}'\n")
        return joined("", (unknown, nearest(key, _keys_of(section))))
    got, wanted = error.get("input"), requirement(error)
    value = repr(got)
    fault = both(
        f"{spot}: '{key}' cannot be {value}: {wanted}", f"{spot}: '{key}' を {value} にはできない：{japanese(wanted)}"
    )
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
        return both(f"it must be one of {expected}", f"{expected} のいずれかでなければならない")
    bound = next((context[name] for name in ("gt", "ge", "lt", "le") if name in context), None)
    bounds = {
        "greater_than": both(f"it must be greater than {bound}", f"{bound} より大きくなければならない"),
        "greater_than_equal": both(f"it must be at least {bound}", f"{bound} 以上でなければならない"),
        "less_than": both(f"it must be less than {bound}", f"{bound} より小さくなければならない"),
        "less_than_equal": both(f"it must be at most {bound}", f"{bound} 以下でなければならない"),
    }
    if error["type"] in bounds:
        return bounds[error["type"]]
    own = context.get("error")
    if isinstance(own, Exception) and own.args:
        own = own.args[0]
    message = str(error["msg"]).removeprefix("Value error, ")
    return own if isinstance(own, str) else message[:1].lower() + message[1:]


_INTEGER = both("it must be an integer", "整数でなければならない")
_NUMBER = both("it must be a number", "数でなければならない")
_BOOLEAN = both("it must be true or false", "true か false でなければならない")
_TABLE = both("it must be a table", "表でなければならない")
_REQUIREMENTS = {
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "string_type": both("it must be text", "文字列でなければならない"),
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "tuple_type": both("it must be an array [ … ]", "配列 [ … ] でなければならない"),
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "finite_number": both("it must be a finite number", "有限の数でなければならない"),
}


def _keys_of(section: str) -> list[str]:
    return [key for place, key, _ in known_keys() if place == section] + ([] if section else list(Config.model_fields))


def _choices_of(section: str, key: str) -> list[str]:
    model: Any = Config.model_fields[section].annotation if section else Config
    field = model.model_fields.get(key) if model is not None else None
    return list(_literals(field.annotation)) if field is not None else []


def _literals(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from (str(choice) for choice in typing.get_args(annotation))
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple):
        for part in typing.get_args(annotation):
            yield from _literals(part)
