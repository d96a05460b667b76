"""What is wrong with a value, in words: the key, its nearest neighbour, what it may be."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from terakoya.config.schema import Config, known_keys
from terakoya.errors import nearest
from terakoya.i18n import both, japanese


def fault(error: dict[str, Any], where: str) -> str:
    place = [str(part) for part in error["loc"]]
    section, key = (
        (place[0], place[1]) if len(place) > 1 and place[0] in Config.model_fields else ("", place[0] if place else "")
    )
    spot = f"{where}[{section}]" if section else where
    if error["type"] == "extra_forbidden":
        unknown = both(f"{spot}: unknown key '{key}'\n", f"{spot}: 知らないキー '{key}'\n")
        return unknown + nearest(key, _keys_of(section))
    got = error.get("input")
    message = str(error["msg"]).removeprefix("Value error, ")
    choices = _choices_of(section, key)
    hint = "\n" + nearest(str(got), choices) if choices and isinstance(got, str) else ""
    return both(
        f"{spot}: '{key}' cannot be {got!r}: {message[:1].lower()}{message[1:]}{hint}",
        f"{spot}: '{key}' を {got!r} にはできない：{wanted(error)}{japanese(hint)}",
    )


# What pydantic asks for, by its type of error; `{…}` is filled from the error's own facts.
_WANTED = {
    "literal_error": "{expected} のいずれかでなければならない",
    "int_type": "整数でなければならない",
    "int_parsing": "整数でなければならない",
    "int_from_float": "整数でなければならない",
    "float_type": "数でなければならない",
    "float_parsing": "数でなければならない",
    "string_type": "文字列でなければならない",
    "bool_type": "true か false でなければならない",
    "bool_parsing": "true か false でなければならない",
    "tuple_type": "並び [ … ] でなければならない",
    "dict_type": "表でなければならない",
    "model_type": "表でなければならない",
    "greater_than": "{gt} より大きくなければならない",
    "greater_than_equal": "{ge} 以上でなければならない",
    "less_than": "{lt} より小さくなければならない",
    "less_than_equal": "{le} 以下でなければならない",
    "finite_number": "有限の数でなければならない",
}


def wanted(error: Mapping[str, Any]) -> str:
    """What is asked for, in Japanese; in pydantic's own words where it is rare."""
    context = {
        name: str(value).replace(" or ", "、").replace(", ", "、") for name, value in error.get("ctx", {}).items()
    }
    said = japanese(str(error.get("ctx", {}).get("error", error["msg"])))
    return _WANTED[error["type"]].format(**context) if error["type"] in _WANTED else said


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
