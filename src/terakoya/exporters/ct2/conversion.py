"""A checkpoint converted for CTranslate2, its output limited to the tokens that the skill may generate.

A skill whose vocabulary was trimmed chooses among some thousand tokens; over all of Gemma's 262,144 the last product
costs more than the network before it. So the rows of kept tokens come first in the embeddings, and the output
projection has those alone. Any prompt can still be read: its tokens have their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from terakoya.errors import IncompatibleError, need
from terakoya.i18n import _


def convert(checkpoint: Path, folder: Path, quantisation: str | None, kept: Sequence[int] | None) -> None:
    """Convert a checkpoint.

    checkpoint    a folder that transformers opens
    folder        that is written
    quantisation  CTranslate2's name of a number format; None leaves float32
    kept          ids of the tokens that a causal model may generate; None: all
    Raises ConfigError without CTranslate2, IncompatibleError where its converter refuses the checkpoint.
    """
    converters = need("ctranslate2.converters", extra="ct2")

    class Converter(converters.TransformersConverter):  # type: ignore[misc,name-defined]
        def _load(self) -> Any:
            return _trimmed(super()._load(), kept)

    try:
        Converter(str(checkpoint)).convert(str(folder), quantization=quantisation)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise IncompatibleError(
            _("CTranslate2's converter refuses this checkpoint ({error})", error=error),
            do=_("Export to gguf or hub."),
        ) from error


def _trimmed(spec: Any, kept: Sequence[int] | None) -> Any:
    """The specification with kept tokens first, and an output of kept tokens alone."""
    if kept is None or not hasattr(spec, "register_vocabulary"):  # an encoder-decoder has two vocabularies
        return spec
    tokens, first = spec._vocabulary, set(kept)
    order = [*kept, *(number for number in range(len(tokens)) if number not in first)]
    embeddings, projection = spec.decoder.embeddings, spec.decoder.projection
    projection.weight = projection.weight[list(kept)]
    if hasattr(projection.bias, "shape"):
        projection.bias = projection.bias[list(kept)]
    embeddings.weight = embeddings.weight[order]
    spec.register_vocabulary([tokens[number] for number in order])
    return spec
