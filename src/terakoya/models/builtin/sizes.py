"""The shape of a built-in model: from a named size and what the data needs, or from the folder of a taught one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, CorruptError
from terakoya.i18n import both
from terakoya.models.builtin.characters import Characters
from terakoya.models.builtin.network import Shape

_LARGEST = 64_000_000  # weights; a config that asks for more is torn or hostile


@dataclass(frozen=True)
class Size:
    """A named size: encoder and decoder layers, heads, and the inner width of the feed-forward part (× width).

    The feed-forward part of "small" is half as wide as usual: at equal CPU time that was as good or better on numerals.
    """

    width: int
    encoder: int
    decoder: int
    heads: int
    feed: int
    dropout: float = 0.0


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "tiny": Size(width=48, encoder=1, decoder=1, heads=4, feed=4),
        "small": Size(width=64, encoder=2, decoder=2, heads=4, feed=2),
        "base": Size(width=256, encoder=4, decoder=4, heads=8, feed=4, dropout=0.1),
    }
)


def shape_for(
    config: ModelConfig, size: Size, characters: Characters, source: int, target: int, dropout: float | None
) -> Shape:
    """The named size with what the config says otherwise. Raises ConfigError where heads do not divide the width.

    source, target  characters of the longest of each, with room
    dropout         None: the config's own, or the size's
    """
    width = config.width or size.width
    heads = config.attention_heads or (size.heads if width % size.heads == 0 else 1)
    if width % heads:
        raise ConfigError(
            both(
                f"a width of {width} cannot be parted among {heads} heads",
                f"幅 {width} を{heads}個のヘッドに分けられない",
            ),
            where="model.attention_heads",
            do=both("Take a divisor of the width.", "幅の約数にすること。"),
        )
    decoder_only = config.family == "decoder"
    encoder, decoder = (config.layers, config.layers) if config.layers else (size.encoder, size.decoder)
    chosen = dropout if dropout is not None else config.dropout
    return Shape(
        family="decoder" if decoder_only else "encoder-decoder",
        width=width,
        encoder=0 if decoder_only else encoder,
        decoder=(config.layers or encoder + decoder) if decoder_only else decoder,
        heads=heads,
        feed=size.feed * width,
        dropout=size.dropout if chosen < 0 else chosen,
        max_source=config.max_source or source,
        max_target=(config.max_target or target) + 1,
        vocabulary=characters.size,
        outputs=characters.outputs,
    )


def read_shape(about: Mapping[str, Any], characters: Characters, folder: Path) -> Shape:
    """What a folder says of its shape. Raises CorruptError where that makes no sense or does not fit its vocabulary."""
    try:
        shape = Shape(**about["shape"])
        numbers = [shape.width, shape.decoder, shape.heads, shape.feed, shape.max_source, shape.max_target]
        sound = (
            all(type(number) is int and 0 < number < 1 << 20 for number in numbers) and shape.width % shape.heads == 0
        )
        weights = (shape.encoder + 2 * shape.decoder) * shape.width * (4 * shape.width + 2 * shape.feed)
        weights += (shape.max_source + shape.max_target + shape.vocabulary) * shape.width
    except (KeyError, TypeError) as error:
        raise CorruptError(
            both(f"the shape of the model cannot be read ({error})", f"モデルの形を読めない（{error}）"),
            where=str(folder),
        ) from error
    if not sound or not 0 <= shape.encoder < 1 << 20 or weights > _LARGEST:
        raise CorruptError(
            both("the shape of the model makes no sense", "モデルの形が意味をなさない"),
            where=str(folder / "config.json"),
        )
    if (shape.vocabulary, shape.outputs) != (characters.size, characters.outputs):
        raise CorruptError(
            both("vocabulary and weights do not belong together", "語彙と重みが別のものである"), where=str(folder)
        )
    return shape
