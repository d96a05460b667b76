"""Asking a taught model: greedy, beam and sampled answers, held to the codec's written language where wanted.

    answers(model, asks, codec, config.decode, max_tokens=40, seed=0) -> list[Answer]      # in the order of `asks`
    read(answer, codec) -> str | None                                                      # None: unreadable

Asks are sorted by length and answered in batches, smaller ones where memory runs out; rows that have ended leave.
`max_tokens` counts the tokens of an answer without its end. An answer that did not come to its end within them, or
whose source the model cannot take, has `finished=False` and reads as unreadable, even where the piece that was written
happens to look like an answer. With `decode.constrained` no illegal answer is ever finished: the most probable legal
token is taken at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from terakoya.codec import Codec
from terakoya.config import DecodeConfig
from terakoya.decoding.adaptive_batching import in_parts
from terakoya.decoding.answer import Answer, asking, placed, read
from terakoya.decoding.autoregressive import write
from terakoya.decoding.beam import beam
from terakoya.decoding.constraints import languages
from terakoya.decoding.sampling import Greedy, Sampler, chances_for
from terakoya.decoding.set_scores import scored
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.models.prepacked import packed
from terakoya.models.protocol import Model, Pair, Query

__all__ = ["Answer", "answers", "asking", "placed", "read", "scored"]


def answers(
    model: Model, asks: Sequence[Query], codec: Codec, decode: DecodeConfig, max_tokens: int, seed: int = 0
) -> list[Answer]:
    """One answer for each ask, in order. A sampled answer depends on seed, source and how often it was asked before."""
    if decode.method == "best-expected":
        raise ConfigError(
            both("this model writes sequences and scores no sets", "このモデルは系列を書くもので、集合を採点しない"),
            where="decode.method",
            do=both("Take greedy.", "greedy とすること。"),
        )
    out = [Answer("", 0.0, finished=False)] * len(asks)
    lengths = {place: model.length(Pair(ask, "")) for place, ask in enumerate(asks) if model.fits(ask)}
    order = sorted(lengths, key=lengths.__getitem__)
    spoken = languages(codec, [ask.source for ask in asks], model.pieces(), model.end) if decode.constrained else None
    limit = min(max_tokens + 1, model.longest_answer)
    chances = chances_for(asks, seed) if decode.method == "sample" else []

    def write_some(places: Sequence[int]) -> list[Answer]:
        batch = [asks[place] for place in places]
        held = [spoken[place] for place in places] if spoken else None
        if decode.method == "beam":
            return beam(model, batch, held, limit, decode.beams)
        # Copies, for a part that finds no room is asked again and draws the same.
        chooser = Sampler(decode, [copy(chances[place]) for place in places]) if chances else Greedy()
        return write(model, batch, held, limit, chooser)

    with asking(model), packed(model.module, len(order)):
        for place, answer in in_parts(order, decode.batch_size, write_some):
            out[place] = answer
    return out
