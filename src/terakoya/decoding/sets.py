"""Asking a model that scores sets: each answer is the set whose expected metric is largest.

    settle(model, dev_asks, dev_sets, config.decode)             # once the weights stand
    predictions(model, asks, config.decode) -> list[Prediction]  # in the order of `asks`

An answer holds legal labels only, each once; a text in which nothing is known gets the set that suits the data best,
a text without a visible character gets no answer. How answers were asked for: `described(decode)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from terakoya.config import DecodeConfig
from terakoya.decoding import scored
from terakoya.decoding.expected_metric import Found, Objective, Rows
from terakoya.models.protocol import Model, Query, SetScores
from terakoya.records import Prediction

_SHOWN = 20  # labels told with their probabilities, beyond those answered


def objective(decode: DecodeConfig) -> Objective:
    return "f1" if decode.objective == "f1" else "jaccard"


def predictions(model: Model, asks: Sequence[Query], decode: DecodeConfig) -> list[Prediction]:
    """One prediction for each ask: the set, how probable exactly this set is, and the labels' own probabilities."""
    known = [ask for ask in asks if model.fits(ask)]
    answers = _found(model, known, decode)
    return [
        _told(ask, next(answers), model.labels) if model.fits(ask) else Prediction(ask.source, "", None) for ask in asks
    ]


def _found(model: Model, asks: Sequence[Query], decode: DecodeConfig) -> Iterator[Found]:
    if asks:
        scores, size = scored(model, asks, decode.batch_size), decode.batch_size
        for first in range(0, len(asks), size):  # sums over sets take much more room than scores do
            part = slice(first, first + size)
            some = SetScores(scores.labels[part], scores.sizes[part], scores.tolls)
            yield from rows_of(model, some, decode).found(objective(decode))


def described(decode: DecodeConfig) -> str:
    """How sets are asked for, as it stands in a score's signature."""
    parts = ["best-expected", f"objective={objective(decode)}"]
    parts += [f"share_cap={decode.share_cap:g}"] if decode.share_cap else []
    parts += [f"logit_adjustment={decode.logit_adjustment:g}"] if decode.logit_adjustment else []
    return " ".join(parts)


def rows_of(model: Model, scores: SetScores, decode: DecodeConfig) -> Rows:
    prior = model.log_prior if decode.logit_adjustment else None  # type: ignore[attr-defined]
    return Rows(scores, tau=decode.logit_adjustment, prior=prior)


def _told(ask: Query, found: Found, labels: Sequence[str]) -> Prediction:
    order = np.argsort(-found.chances, kind="stable")[: max(_SHOWN, len(found.labels))].tolist()
    shown = list(dict.fromkeys([*order, *found.labels]))
    told = tuple((labels[one], float(found.chances[one])) for one in sorted(shown, key=lambda n: -found.chances[n]))
    raw = " ".join(labels[one] for one in found.labels)
    text = " ".join(sorted(labels[one] for one in found.labels))
    return Prediction(ask.source, raw, text, found.probability, told)
