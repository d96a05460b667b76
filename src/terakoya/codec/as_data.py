"""Codecs as data: what a model folder keeps of its codec, so that it opens without any code of its task.

    values = codec_values(NumberCodec("groups"))     # {"kind": "number", "notation": "groups"}
    codec_of_values(values)                          # the same codec again

The values may have been written by somebody else: each is checked before a codec is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from terakoya.codec.base import Codec, TextCodec
from terakoya.errors import CorruptError, TerakoyaError
from terakoya.i18n import _

_MOST_LABELS = 1_000_000
_LONGEST_PATTERN = 1000  # characters


def codec_values(codec: Codec) -> dict[str, Any] | None:
    """Kind and parameters of a codec, for JSON; None for a codec of the author's own class, which is code.

    codec  of a task
    """
    from terakoya.codec.labels import LabelsCodec
    from terakoya.codec.number import NumberCodec
    from terakoya.codec.quantity import QuantityCodec

    if type(codec) is TextCodec:
        return {"kind": "text"}
    if type(codec) is NumberCodec:
        return {"kind": "number", "notation": codec.notation}
    if type(codec) is QuantityCodec:
        return {"kind": "quantity", "promote": codec.promote, "tail": codec.tail}
    if type(codec) is LabelsCodec:
        names = ("emoji", "most", "separator", "counted")
        return {"kind": "labels", "labels": list(codec.labels)} | {name: getattr(codec, name) for name in names}
    return None


def codec_of_values(values: Mapping[str, Any]) -> Codec:
    """The codec with the kind and parameters that `codec_values` wrote.

    values  as read from a file
    Raises CorruptError where they describe no codec.
    """
    make = _MAKERS.get(str(values.get("kind")))
    if make is None:
        raise _refused("kind")
    return make(values)


def _text(_values: Mapping[str, Any]) -> Codec:
    return TextCodec()


def _number(values: Mapping[str, Any]) -> Codec:
    from terakoya.codec.number import number_codec

    try:
        return number_codec(_typed(values, "notation", str))
    except TerakoyaError as error:
        raise _refused("notation") from error


def _quantity(values: Mapping[str, Any]) -> Codec:
    import regex

    from terakoya.codec.quantity import quantity_codec

    tail = _typed(values, "tail", str)
    try:
        if len(tail) > _LONGEST_PATTERN:
            raise _refused("tail")
        regex.compile(tail)
    except regex.error as error:
        raise _refused("tail") from error
    return quantity_codec(promote=_typed(values, "promote", bool), tail=tail)


def _labels(values: Mapping[str, Any]) -> Codec:
    from terakoya.codec.labels import LabelsCodec

    labels, most = values.get("labels"), _typed(values, "most", int)
    if not isinstance(labels, list) or not 0 < len(labels) <= _MOST_LABELS:
        raise _refused("labels")
    # One space stands between labels, so that none may hold one.
    whole = all(isinstance(label, str) and label.split() == [label] for label in labels)
    if not whole or len(set(labels)) < len(labels):
        raise _refused("labels")
    if not 0 < most <= _MOST_LABELS:
        raise _refused("most")
    separator, counted = _typed(values, "separator", str), _typed(values, "counted", bool)
    return LabelsCodec(tuple(labels), _typed(values, "emoji", bool), most, separator, counted)


_MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Codec]] = {
    "text": _text,
    "number": _number,
    "quantity": _quantity,
    "labels": _labels,
}


def _typed(values: Mapping[str, Any], name: str, kind: type) -> Any:
    value = values.get(name)
    if type(value) is not kind:
        raise _refused(name)
    return value


def _refused(name: str) -> CorruptError:
    return CorruptError(_("the codec that it describes has no valid '{name}'", name=name))
