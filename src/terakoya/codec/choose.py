"""The codec that a config names: one of CODECS, or one that an installed package brings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from terakoya.codec.base import Codec, TextCodec
from terakoya.errors import ConfigError
from terakoya.errors.third_party import broken_contract, check_call, load_plugin, plugin_faults
from terakoya.i18n import _

CodecFactory = Callable[..., Codec]
# What every codec must have → what it is called with.
_METHODS = {
    "write": ("target",),
    "read": ("raw",),
    "canonical": ("target",),
    "viable": ("prefix",),
    "complete": ("written",),
}


# Each codec is imported only where it is used: a number needs no emoji tables, labels no grammar.


def _text() -> Codec:
    return TextCodec()


def _number(*, notation: str) -> Codec:
    from terakoya.codec.number import number_codec

    return number_codec(notation or "plain")


def _labels(*, targets: Sequence[str], separator: str, most: int) -> Codec:
    from terakoya.codec.labels import labels_codec

    return labels_codec(targets, separator=separator, most=most)


def _quantity() -> Codec:
    from terakoya.codec.quantity import quantity_codec

    return quantity_codec()


# Name in a config → function that makes the codec; each takes those options of `choose_codec` that it needs.
CODECS: Mapping[str, CodecFactory] = MappingProxyType(
    {"text": _text, "number": _number, "quantity": _quantity, "labels": _labels}
)


def choose_codec(kind: str, targets: Sequence[str], *, notation: str = "", separator: str = "", most: int = 0) -> Codec:
    """The codec that a config names.

    kind       one of CODECS, the name of an entry point of the group "terakoya.codecs", or "" for text
    targets    of the data; they tell a codec of labels which labels there are
    notation   of numbers, for "number" and installed codecs that take it; "" is plain
    separator  between labels; "" is white space
    most       the largest number of labels in a prediction; 0 is that of the targets
    Raises ConfigError for an unknown kind, for a notation without numbers or an unknown one, DataError for targets that
    make no codec, PluginError where an installed codec cannot be loaded or lacks a method.
    """
    name = kind or "text"
    factory = CODECS.get(name) or _installed(name)
    known = _parameters(factory)
    if notation and "notation" not in known:
        raise ConfigError(
            _("'notation' says how numbers are written, but the codec is '{kind}'", kind=name),
            where="[task]",
            do=_('Set codec = "number", or leave notation out.'),
        )
    options: dict[str, Any] = {"targets": targets, "notation": notation, "separator": separator, "most": most}
    given = {key: value for key, value in options.items() if key in known}
    if name in CODECS:
        return factory(**given)
    what = _("the codec '{name}'", name=name)
    check_call(factory, (), what, tuple(given))
    with plugin_faults(factory, what):
        made = factory(**given)
    return check_codec(made, what, factory)


def check_codec(codec: Any, what: str, maker: Any = None) -> Codec:
    """The codec itself, if it has all that a codec must have (codec/base.py).

    codec  of third-party code
    what   what it is, in words
    maker  the function that returned it, which is named where it is no codec at all
    Raises PluginError, naming its file and line, where a method is missing or takes other arguments.
    """
    missing = [name for name in ("name", *_METHODS) if not hasattr(codec, name)]
    if missing:
        members, kind = ", ".join(missing), type(codec).__name__
        raise broken_contract(
            codec,
            _("{what} is of type {kind}, which has no {members}", what=what, kind=kind, members=members),
            maker=maker,
        )
    if not isinstance(codec.name, str):
        raise broken_contract(codec, _("the name of {what} must be text", what=what))
    for name, arguments in _METHODS.items():
        check_call(getattr(codec, name), arguments, _("{what}, its method '{name}'", what=what, name=name))
    return codec  # type: ignore[no-any-return]


def _installed(name: str) -> CodecFactory:
    """The factory of an installed codec; a codec that is an object already is returned by one."""
    unknown = _("there is no codec '{name}'", name=name)
    found = load_plugin("codecs", name, own=CODECS, unknown=unknown, where="[task]")
    if not isinstance(found, type) and hasattr(found, "write"):
        return lambda: found
    check_call(found, (), _("the codec '{name}'", name=name), _parameters(found))
    return found  # type: ignore[no-any-return]


def _parameters(factory: Any) -> tuple[str, ...]:
    """Those options of `choose_codec` that a factory takes; none where it does not say what it takes."""
    try:
        known = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return ()
    return tuple(key for key in ("targets", "notation", "separator", "most") if key in known)


def refuse_other_codec(codec: Codec, wanted: str, command: str) -> None:
    """Refuses targets that a model was not trained on.

    codec    of the model
    wanted   the codec that the user names; "" is none
    command  for the message
    Raises ConfigError where they differ.
    """
    own = codec.name.partition(":")[0].partition("+")[0]
    if wanted and wanted != own:
        raise ConfigError(
            _("this model's targets are '{own}', not '{wanted}'", own=own, wanted=wanted),
            where="--codec",
            do=_("Leave --codec out: terakoya {command} takes the model's own.", command=command),
        )
