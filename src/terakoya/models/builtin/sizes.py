"""The shape of a built-in model: from a named size and what the data needs, or from the folder of a saved one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, CorruptError
from terakoya.i18n import _
from terakoya.models.builtin.characters import CharacterVocabulary
from terakoya.models.builtin.shape import Shape

_MOST_WEIGHTS = 64_000_000  # a description that needs more is corrupt or malicious
_LARGEST_DIMENSION = 1 << 20


@dataclass(frozen=True)
class Size:
    """A named size. The feed-forward network of "small" is half as wide as usual: at equal CPU time that was as good
    or better on numerals.

    width    of hidden vectors
    encoder  number of encoder layers
    decoder  number of decoder layers
    heads    attention heads
    feed     inner width of the feed-forward network, in multiples of the width
    dropout  probability
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
    config: ModelConfig, size: Size, characters: CharacterVocabulary, source: int, target: int, dropout: float | None
) -> Shape:
    """The shape of the named size, changed as the config says. Raises ConfigError where heads do not divide the width.

    config      whose settings take precedence over the size
    size        the named size
    characters  the vocabulary
    source      largest number of characters of a source, where the config names none
    target      largest number of characters of a target, where the config names none
    dropout     probability; None for that of the config, or of the size
    """
    width = config.width or size.width
    heads = config.attention_heads or (size.heads if width % size.heads == 0 else 1)
    if width % heads:
        raise ConfigError(
            _("a width of {width} cannot be divided among {heads} heads", width=width, heads=heads),
            where="model.attention_heads",
            do=_("Take a divisor of the width."),
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


def read_shape(about: Mapping[str, Any], characters: CharacterVocabulary, folder: Path) -> Shape:
    """The shape that a saved model describes. Raises CorruptError where it is impossible or contradicts the vocabulary.

    about       content of config.json
    characters  vocabulary of the model
    folder      of the model, for the error
    """
    try:
        shape = Shape(**about["shape"])
        dimensions = [shape.width, shape.decoder, shape.heads, shape.feed, shape.max_source, shape.max_target]
        possible = all(type(one) is int and 0 < one < _LARGEST_DIMENSION for one in dimensions)
        possible = possible and shape.width % shape.heads == 0
        weights = (shape.encoder + 2 * shape.decoder) * shape.width * (4 * shape.width + 2 * shape.feed)
        weights += (shape.max_source + shape.max_target + shape.vocabulary) * shape.width
    except (KeyError, TypeError) as error:
        raise CorruptError(
            _("the shape of the model cannot be read ({error})", error=error),
            where=str(folder),
        ) from error
    if not possible or not 0 <= shape.encoder < _LARGEST_DIMENSION or weights > _MOST_WEIGHTS:
        raise CorruptError(_("the shape of the model is impossible"), where=str(folder / "config.json"))
    if (shape.vocabulary, shape.outputs) != (characters.size, characters.outputs):
        raise CorruptError(_("vocabulary and weights do not belong together"), where=str(folder))
    return shape
