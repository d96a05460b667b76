"""What the settings mean, for people and for editors: one source for `terakoya explain`, docs/settings.md and the JSON
schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from terakoya.config.installed_name import InstalledName
from terakoya.config.schema import Config, Section
from terakoya.config.writing import toml_value
from terakoya.errors import ConfigError, nearest
from terakoya.i18n import _, in_language, joined

SCHEMA_FILE = "terakoya.schema.json"
SCHEMA_COMMENT = f"#:schema ./{SCHEMA_FILE}"

_TYPES = {
    str: _("text"),
    int: _("integer"),
    float: _("number"),
    bool: _("true or false"),
    dict: _("table"),
}
_OR = _(" or ")
_INSTALLED = _("the name of an installed one")
_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


@dataclass(frozen=True)
class Setting:
    """One key of a config.

    section      "train", or "" for the top level
    key          its name in the section
    default      as TOML text
    type         what it may be, in words, with its bounds
    choices      the permitted words, () where any value of the type is
    description  what it does, its unit, and what 0, -1, "" or auto mean
    """

    section: str
    key: str
    default: str
    type: str
    choices: tuple[str, ...]
    description: str

    @property
    def name(self) -> str:
        """As in --set: "train.steps", or "seed"."""
        return f"{self.section}.{self.key}" if self.section else self.key


def settings() -> tuple[Setting, ...]:
    """Every setting, the top level first, then the sections in their order."""
    sections: list[tuple[str, type[Section]]] = [
        ("", Config),
        *((name, type(field.default)) for name, field in _sections()),
    ]
    return tuple(
        _setting(section, key, field)
        for section, model in sections
        for key, field in model.model_fields.items()
        if not isinstance(field.default, Section)
    )


def explain(key: str = "") -> tuple[Setting, ...]:
    """The settings that `key` names: "train.steps", a key alone ("steps"), a section ("train"), or all ("").

    Raises ConfigError with the most similar name where there is none.
    """
    known = settings()
    found = tuple(one for one in known if key in ("", one.name, one.section, one.key))
    exact = tuple(one for one in found if one.name == key)
    if not found:
        names = {name for one in known for name in (one.name, one.section, one.key) if name}
        raise ConfigError(_("there is no setting '{key}'", key=key), do=nearest(key, names))
    return exact or found


def settings_page(lang: str) -> str:
    """The page docs/settings.md (or its translation) in the language `lang`, as Markdown."""
    head = _(
        "# Settings\n\nMade from `src/terakoya/config/` by `python docs/make.py`. A config holds what differs from the "
        "defaults; `--set section.key=value` overrides it; the run folder keeps all values. `terakoya explain KEY` "
        "shows one setting. `auto` is resolved when a run starts and recorded with it.\n"
    )
    top, columns = (
        _("top level"),
        _("| key | default | type | meaning |"),
    )
    parts = [in_language(head, lang)]
    for section, about in (("", top), *((name, field.description or "") for name, field in _sections())):
        title = f"[{section}]" if section else in_language(top, lang)
        lines = [f"## {title}\n", *([f"{in_language(about, lang)}\n"] if section else [])]
        lines += [in_language(columns, lang), "|---|---|---|---|"]
        lines += [_row(one, lang) for one in settings() if one.section == section]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def json_schema(lang: str = "en") -> dict[str, Any]:
    """JSON Schema (draft 7) of a config file, for editors that complete and check TOML.

    lang  language of the descriptions
    """
    properties = {key: _property(field, lang) for key, field in Config.model_fields.items()}
    # `task = "numerals"` is short for a table with `use`.
    properties["task"] = {
        "description": properties["task"].pop("description"),
        "anyOf": [{"type": "string"}, properties["task"]],
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Terakoya",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _sections() -> Iterator[tuple[str, Any]]:
    for name, field in Config.model_fields.items():
        if isinstance(field.default, Section):
            yield name, field


def _setting(section: str, key: str, field: Any) -> Setting:
    kind, choices = _type(field.annotation, field.metadata), (*_marked(field.metadata), *_choices(field.annotation))
    limits = _limits(field.metadata)
    return Setting(
        section,
        key,
        toml_value(field.get_default(call_default_factory=True)),
        joined(" ", (kind, limits)) if limits else kind,
        choices,
        field.description or "",
    )


def _row(one: Setting, lang: str) -> str:
    cells = (f"`{one.key}`", f"`{one.default}`", in_language(one.type, lang), in_language(one.description, lang))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _parts(annotation: Any) -> Sequence[Any]:
    """Members of a union; bounds that stand inside one (`Annotated`) are left to the caller."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A type in words: "integer or auto", "text, comma …" is a list of text."""
    for mark in metadata:
        if isinstance(mark, InstalledName):
            own = ", ".join(f'"{choice}"' for choice in mark.built_in)
            return joined("", (own, _OR, _INSTALLED)) if own else _INSTALLED
    words: list[str] = []
    for part in _parts(annotation):
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is typing.Annotated:
            bounds = getattr(arguments[1], "metadata", ())
            words.append(joined(" ", filter(None, (_type(arguments[0], part.__metadata__), _limits(bounds)))))
        elif origin is Literal:
            words.append(", ".join(f'"{choice}"' for choice in arguments))
        elif origin is tuple and arguments[-1] is Ellipsis:
            words.append(joined("", (_("list of "), _type(arguments[0]))))
        elif origin is tuple:
            words.append(joined("", ("[", joined(", ", map(_type, arguments)), "]")))
        else:
            words.append(_TYPES[origin or part])
    return (
        words[0] if len(words) == 1 else joined("", [words[0], *(piece for word in words[1:] for piece in (_OR, word))])
    )


def _limits(metadata: Sequence[Any]) -> str:
    limits = [
        f"{sign} {getattr(bound, name):g}"
        for bound in metadata
        for name, sign in _BOUNDS
        if getattr(bound, name, None) is not None
    ]
    return ", ".join(limits)


def _choices(annotation: Any) -> Iterator[str]:
    for part in _parts(annotation):
        origin = typing.get_origin(part)
        if origin is Literal:
            yield from (str(choice) for choice in typing.get_args(part))
        elif origin is typing.Annotated:
            yield from _marked(part.__metadata__)
        elif origin is tuple:
            yield from (choice for one in typing.get_args(part) if one is not Ellipsis for choice in _choices(one))


def _marked(metadata: Sequence[Any]) -> Iterator[str]:
    for mark in metadata:
        if isinstance(mark, InstalledName):
            yield from mark.choices()


def _property(field: Any, lang: str) -> dict[str, Any]:
    about: dict[str, Any] = {"description": in_language(field.description or "", lang)}
    if isinstance(field.default, Section):
        inner = {key: _property(one, lang) for key, one in type(field.default).model_fields.items()}
        return about | {"type": "object", "additionalProperties": False, "properties": inner}
    default = field.get_default(call_default_factory=True)
    about["default"] = list(default) if isinstance(default, tuple) else default
    kinds = [_json_type(part, field.metadata, lang) for part in _parts(field.annotation)]
    return about | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _json_type(part: Any, metadata: Sequence[Any], lang: str) -> dict[str, Any]:
    origin, arguments = typing.get_origin(part), typing.get_args(part)
    if marked := list(_marked(metadata)):
        return {"type": "string", "enum": marked}
    if origin is typing.Annotated:
        return _json_type(arguments[0], getattr(arguments[1], "metadata", part.__metadata__), lang)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is dict and isinstance(arguments[1], type) and issubclass(arguments[1], Section):
        inner = {key: _property(one, lang) for key, one in arguments[1].model_fields.items()}
        table = {"type": "object", "additionalProperties": False, "properties": inner}
        return {"type": "object", "additionalProperties": table}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _json_type(arguments[0], (), lang)}
    if origin is tuple:
        size = len(arguments)
        return {
            "type": "array",
            "items": [_json_type(one, (), lang) for one in arguments],
            "minItems": size,
            "maxItems": size,
        }
    names = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}
    keywords = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    bounds = {
        keywords[name]: getattr(bound, name)
        for bound in metadata
        for name in keywords
        if getattr(bound, name, None) is not None
    }
    return {"type": names[origin or part], **bounds}
