"""The codec that a config names."""

from __future__ import annotations

from collections.abc import Sequence

from terakoya.codec.base import Codec, TextCodec
from terakoya.errors import ConfigError
from terakoya.i18n import both


def choose_codec(kind: str, targets: Sequence[str], *, notation: str = "", separator: str = "", most: int = 0) -> Codec:
    """The codec of that kind. `targets` tell a codec of labels which labels there are; `most` bounds its answers."""
    if notation and kind != "number":
        raise ConfigError(
            both(
                f"'notation' says how numbers are written, but the codec is '{kind or 'text'}'",
                f"'notation' は数の書き方を決めるものだが、コーデックは '{kind or 'text'}' である",
            ),
            where="[task]",
            do=both('Set codec = "number", or leave notation out.', 'codec = "number" とするか、notation を外すこと。'),
        )
    # Each codec is imported only where it is used: a number needs no emoji tables, labels no grammar.
    if kind == "number":
        from terakoya.codec.number import number_codec

        return number_codec(notation or "plain")
    if kind == "labels":
        from terakoya.codec.labels import labels_codec

        return labels_codec(targets, separator=separator, most=most)
    if kind == "quantity":
        from terakoya.codec.quantity import quantity_codec

        return quantity_codec()
    return TextCodec()
