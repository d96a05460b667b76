"""Sequences for many queries: sorted by length, in batches, by the method of the config."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from terakoya.codec import Codec
from terakoya.config import DecodeConfig
from terakoya.decoding.adaptive_batching import in_batches
from terakoya.decoding.autoregressive import generate_batch
from terakoya.decoding.beam import beam_search
from terakoya.decoding.constraints import grammar_constraints
from terakoya.decoding.decoded_sequence import DecodedSequence, evaluation_mode
from terakoya.decoding.sampling import GreedySelector, SamplingSelector, rngs_for
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.protocol import Model, Pair, Query


def generate(
    model: Model, queries: Sequence[Query], codec: Codec, decode: DecodeConfig, max_tokens: int, seed: int = 0
) -> list[DecodedSequence]:
    """One sequence for each query.

    model       with a sequence head
    queries     the inputs; a query that the model cannot take gets an unfinished sequence without text
    codec       whose grammar constrains the output where `decode.constrained`
    decode      method "greedy", "beam" or "sample" with its settings; batch size
    max_tokens  largest number of tokens, the end token not counted
    seed        of sampling; a sample depends on it, on the query and on how often the query came before
    Returns the sequences in the order of `queries`. Raises ConfigError for the method "expected-metric" (see `mbr`).
    """
    if decode.method == "expected-metric":
        raise ConfigError(
            _("this model has a sequence head, not a set head"),
            where="decode.method",
            do=_("Set decode.method = 'greedy'."),
        )
    sequences = [DecodedSequence("", 0.0, finished=False)] * len(queries)
    lengths = {number: model.length(Pair(query, "")) for number, query in enumerate(queries) if model.fits(query)}
    order = sorted(lengths, key=lengths.__getitem__)
    sources = [query.source for query in queries]
    constraints = (
        grammar_constraints(codec, sources, model.token_texts(), model.end, reject=decode.reject)
        if decode.constrained
        else None
    )
    limit = min(max_tokens + 1, model.max_target_length)
    rngs = rngs_for(queries, seed) if decode.method == "sample" else []

    def decode_batch(indices: Sequence[int]) -> list[DecodedSequence]:
        batch = [queries[index] for index in indices]
        batch_constraints = [constraints[index] for index in indices] if constraints else None
        if decode.method == "beam":
            return beam_search(model, batch, batch_constraints, limit, decode.beams)
        # Copies: a batch that runs out of memory is decoded again in halves and must draw the same.
        selector = SamplingSelector(decode, [copy(rngs[index]) for index in indices]) if rngs else GreedySelector()
        return generate_batch(model, batch, batch_constraints, limit, selector)

    with evaluation_mode(model), prepacked_weights(model.module, len(order)):
        for index, sequence in in_batches(order, decode.batch_size, decode_batch):
            sequences[index] = sequence
    return sequences
