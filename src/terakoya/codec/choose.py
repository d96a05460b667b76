"""The codec that a config names."""

from __future__ import annotations

from collections.abc import Sequence

from terakoya.codec.base import Codec, TextCodec
from terakoya.errors import ConfigError
from terakoya.i18n import both


def choose_codec(kind: str, targets: Sequence[str], *, notation: str = "", separator: str = "", most: int = 0) -> Codec:
    """The codec that a config names.

    kind       "text" or "", "number", "labels", "quantity"
    targets    of the data; they tell a codec of labels which labels there are
    notation   of numbers, for "number" only; "" is plain
    separator  between labels; "" is white space
    most       the largest number of labels in a prediction; 0 is that of the targets
    Raises ConfigError for a notation without numbers or an unknown one, DataError for targets that make no codec.
    """
    if notation and kind != "number":
        kind = kind or "text"
        raise ConfigError(
            both(
                f"'notation' says how numbers are written, but the codec is '{kind}'",
                f"'notation' は数の書き方を決めるものだが、コーデックは '{kind}' である",
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
