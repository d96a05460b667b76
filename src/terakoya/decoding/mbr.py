"""Minimum Bayes risk: of several sampled answers the one that agrees best with all of them.

The most probable answer of a model that is unsure is the safest one, the same for everything. An answer chosen by
expected metric need not be (Kumar & Byrne 2004; for sampled candidates Eikema & Aziz 2020, arXiv:2005.10283).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from terakoya import decoding
from terakoya.codec import Codec
from terakoya.config import DecodeConfig
from terakoya.decoding import Answer
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.models.protocol import Model, Query
from terakoya.scoring.metrics import METRICS, Metric, exact


def agreed(
    model: Model, asks: Sequence[Query], codec: Codec, decode: DecodeConfig, max_tokens: int, seed: int = 0
) -> list[Answer]:
    """For each ask the best of `decode.samples` samples and the greedy answer, by the mean metric against the samples.

    Raises ConfigError where `decode.objective` is no metric that answers of this codec have.
    """
    metric = _metric(decode, codec)
    sampled = replace_method(decode, "sample")
    many = decoding.answers(
        model, [ask for ask in asks for _ in range(decode.samples)], codec, sampled, max_tokens, seed
    )
    greedy = decoding.answers(model, asks, codec, replace_method(decode, "greedy"), max_tokens, seed)
    chosen = []
    for number, first in enumerate(greedy):
        samples = many[number * decode.samples : (number + 1) * decode.samples]
        chosen.append(most_agreed([first, *samples], samples, codec, metric))
    return chosen


def most_agreed(candidates: Sequence[Answer], samples: Sequence[Answer], codec: Codec, metric: Metric) -> Answer:
    """The candidate with the largest mean metric against the samples; the first where several are equal.

    The probability told is that mean: what the answer may expect, by the model's own account.
    """
    readable = [text for answer in samples if (text := decoding.read(answer, codec)) is not None]
    best, value = candidates[0], -1.0
    judged: dict[str, float] = {}
    for candidate in candidates:
        text = decoding.read(candidate, codec)
        if text is None or not readable:
            continue
        if text not in judged:
            judged[text] = sum(metric.judge(text, (other,)) for other in readable) / len(samples)
        if judged[text] > value:
            best, value = candidate, judged[text]
    return replace(best, probability=value) if value >= 0 else best


def replace_method(decode: DecodeConfig, method: str) -> DecodeConfig:
    return decode.model_copy(update={"method": method})


def _metric(decode: DecodeConfig, codec: Codec) -> Metric:
    labels = bool(getattr(codec, "labels", ()))
    if decode.objective == "auto":
        return METRICS["jaccard"] if labels else exact
    if decode.objective == "probability":
        return exact
    if not labels:
        raise ConfigError(
            both(
                f"the objective '{decode.objective}' is for sets of labels",
                f"目的 '{decode.objective}' はラベルの集合のためのものである",
            ),
            where="decode.objective",
            do=both("Take 'auto' or 'probability'.", "'auto' か 'probability' とすること。"),
        )
    return METRICS[decode.objective]
