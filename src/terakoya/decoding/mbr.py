"""Minimum Bayes risk (MBR) decoding: of several sampled sequences the one with the largest expected metric.

The most probable sequence of a model that is unsure is the safest one, the same for every query. A sequence selected by
its expected metric need not be (Kumar & Byrne 2004; for sampled candidates Eikema & Aziz 2020, arXiv:2005.10283).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from terakoya import decoding
from terakoya.codec import Codec
from terakoya.config import DecodeConfig
from terakoya.decoding import DecodedSequence
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.protocol import Model, Query
from terakoya.scoring.metrics import METRICS, Metric, exact


def decode_mbr(
    model: Model, queries: Sequence[Query], codec: Codec, decode: DecodeConfig, max_tokens: int, seed: int = 0
) -> list[DecodedSequence]:
    """For each query the best of `decode.samples` samples and the greedy sequence, by the mean metric over the samples.

    model, queries, codec, max_tokens, seed  as for `decoding.generate`
    decode                                   number of samples, objective, and the settings of sampling
    Returns the sequences in the order of `queries`; `probability` is the expected metric. Raises ConfigError where
    `decode.objective` is a metric that targets of this codec do not have.
    """
    metric = _metric(decode, codec)
    repeated = [query for query in queries for _ in range(decode.samples)]
    sampled = decoding.generate(model, repeated, codec, _with_method(decode, "sample"), max_tokens, seed)
    greedy = decoding.generate(model, queries, codec, _with_method(decode, "greedy"), max_tokens, seed)
    selected = []
    for number, first in enumerate(greedy):
        samples = sampled[number * decode.samples : (number + 1) * decode.samples]
        selected.append(highest_expected_metric([first, *samples], samples, codec, metric))
    return selected


def highest_expected_metric(
    candidates: Sequence[DecodedSequence], samples: Sequence[DecodedSequence], codec: Codec, metric: Metric
) -> DecodedSequence:
    """The candidate with the largest mean metric over the samples; the first one where several are equal.

    candidates  one at least
    samples     drawn from the model: they stand for the distribution of the true target; unreadable ones count as 0
    codec       reads candidates and samples
    metric      scores a candidate with a sample in the place of the target
    Returns the candidate with that mean as its probability, or the first one unchanged where nothing is readable.
    """
    readable = [text for sample in samples if (text := decoding.read(sample, codec)) is not None]
    best, value = candidates[0], -1.0
    expected: dict[str, float] = {}
    for candidate in candidates:
        text = decoding.read(candidate, codec)
        if text is None or not readable:
            continue
        if text not in expected:
            expected[text] = sum(metric.score(text, (other,)) for other in readable) / len(samples)
        if expected[text] > value:
            best, value = candidate, expected[text]
    return replace(best, probability=value) if value >= 0 else best


def _with_method(decode: DecodeConfig, method: str) -> DecodeConfig:
    return decode.model_copy(update={"method": method})


def _metric(decode: DecodeConfig, codec: Codec) -> Metric:
    """The metric of `decode.objective`; "auto" is the Jaccard index of label sets, and exact match of anything else."""
    labels = bool(getattr(codec, "labels", ()))
    if decode.objective == "auto":
        return METRICS["jaccard"] if labels else exact
    if decode.objective == "probability":
        return exact
    if not labels:
        objective = decode.objective
        raise ConfigError(
            _("the objective '{objective}' is for sets of labels", objective=objective),
            where="decode.objective",
            do=_("Take 'auto' or 'probability'."),
        )
    return METRICS[decode.objective]
