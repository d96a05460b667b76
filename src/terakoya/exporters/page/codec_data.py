"""Codecs as data for the page: their values, and the patterns that JavaScript cannot derive from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from terakoya.codec import number, quantity, recipe_numbers
from terakoya.codec.as_data import codec_values
from terakoya.codec.base import Codec
from terakoya.exporters.page.patterns import is_portable, javascript_pattern, partial_pattern
from terakoya.i18n import _


def codec_obstacle(codec: Codec, *, constrained: bool, head: str) -> str | None:
    """Why a codec cannot go into a page; None where it can.

    codec        of the skill's task
    constrained  whether decoding is constrained by its grammar
    head         of the model; a set head needs no codec
    """
    if head == "set":
        return None
    values = codec_values(codec)
    if values is None:
        return _("the codec of this skill is a program, and an export carries data alone")
    if values["kind"] == "labels" and not constrained:
        return _("sets of labels that are decoded without the grammar (decode.constrained = false) are not read here")
    if not is_portable(values.get("tail", "")):
        return _("the pattern '{tail}' of this codec has no equal in JavaScript", tail=values["tail"])
    return None


def codec_data(codec: Codec) -> dict[str, Any]:
    """What codecs.js needs of a codec.

    codec  for which `codec_obstacle` is None
    """
    values = codec_values(codec) or {}
    return _MORE.get(values["kind"], dict)(values)


def _number(values: Mapping[str, Any]) -> dict[str, Any]:
    how = number._NOTATIONS[values["notation"]]
    found = {**values, "shape": how.pattern, "partial": partial_pattern(how.pattern)}
    terms = {"pds": number._PDS, "exponent": number._EXPONENT}.get(values["notation"])
    if terms is not None:
        names = ("between", "opening", "offset", "lowest")
        found["terms"] = {name: getattr(terms, name) for name in names} | {"digits": number.MAX_DIGITS}
    return found


def _quantity(values: Mapping[str, Any]) -> dict[str, Any]:
    patterns = {
        "product": quantity._PRODUCT,
        "open_partial": partial_pattern(quantity._PRODUCT),
        "half_behind": quantity._HALF_BEHIND.pattern,
        "half_parts": f"^(?:{recipe_numbers._HALF_PARTS.pattern})$",
        "quantity": quantity._QUANTITY.pattern,
        "number": quantity._NUMBER.pattern,
        "amount": recipe_numbers.OUTSIDE + quantity._ANY_AMOUNT,
    }
    return {
        **values,
        "patterns": {name: javascript_pattern(pattern) for name, pattern in patterns.items()},
        "metric": list(recipe_numbers.METRIC),
        "vulgar": {char: str(value) for char, value in recipe_numbers.VULGAR.items()},
        "native": dict(recipe_numbers.NATIVE),
        "promoted": {unit: list(larger) for unit, larger in quantity._PROMOTED.items()},
    }


_MORE: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"number": _number, "quantity": _quantity}
