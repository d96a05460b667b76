"""A taught model is told right answers, and how much each surprised it is counted (teacher forcing)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch.nn.functional import cross_entropy

from terakoya.decoding.answer import asking
from terakoya.errors import DataError
from terakoya.models.prepacked import packed
from terakoya.models.protocol import Model, Pair
from terakoya.scoring.perplexity import Surprise, escaped


def writes_characters(model: Model) -> bool:
    """Whether each token of the model is one character at most: then there are characters that it cannot write."""
    return all(len(piece) <= 1 for piece in model.pieces())


def surprises(model: Model, pairs: Sequence[Pair], novelty: float = 0.0) -> list[Surprise | None]:
    """One for each pair, in order; None where the model cannot take the row.

    With `novelty` a model of characters has an escape for those it cannot write (see scoring/likelihood.py); it is
    told the answer without them.
    """
    with asking(model), packed(model.module, len(pairs)):
        if not novelty or not writes_characters(model):
            return [_surprise(model, pair) for pair in pairs]
        known = set(model.pieces())
        found = []
        for pair in pairs:
            kept = "".join(char for char in pair.written if char in known)
            told = _surprise(model, replace(pair, written=kept))
            found.append(told and escaped(told, len(pair.written) - len(kept), novelty))
        return found


def _surprise(model: Model, pair: Pair) -> Surprise | None:
    """One row at a time: rows filled up to one length would have to be told apart again."""
    try:
        batch = model.collate([pair]).to(next(model.module.parameters()).device)
    except DataError:
        return None
    told = model.outputs(batch)
    nats = float(cross_entropy(told.logits.float(), told.targets, reduction="sum"))
    return Surprise(nats, batch.targets, len(pair.written))
