"""Expected-metric decoding of a set head: each prediction is the set whose expected metric is largest.

    calibrate(model, dev_queries, dev_sets, config.decode)          # set_calibration.py, after training
    predict_sets(model, queries, config.decode) -> list[Prediction]  # in the order of `queries`

A prediction holds known labels only, each once. A text without any known feature gets the set that suits the training
data best, a text without a visible character gets no prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from terakoya.config import DecodeConfig
from terakoya.decoding.expected_metric import BestSet, Objective, SetDistributions
from terakoya.models.protocol import Model, Query, SetScores
from terakoya.records import Prediction

# The method's name in signatures of scores: those of earlier runs must stay comparable with new ones.
SIGNATURE_NAME = "best-expected"
_REPORTED_LABELS = 20  # labels whose probabilities a prediction reports, beyond those in the set


def resolve_objective(decode: DecodeConfig) -> Objective:
    """The metric whose expectation `decode` maximises: "f1" where it says so, else "jaccard"."""
    return "f1" if decode.objective == "f1" else "jaccard"


def predict_sets(model: Model, queries: Sequence[Query], decode: DecodeConfig) -> list[Prediction]:
    """One prediction for each query: the set, the probability of exactly this set, and label probabilities.

    model    with a set head
    queries  the inputs; one that the model cannot take gets a prediction without text
    decode   objective, logit adjustment and batch size
    """
    fitting = [query for query in queries if model.fits(query)]
    best_sets = _best_sets(model, fitting, decode)
    return [
        prediction_of_set(query, next(best_sets), model.labels)
        if model.fits(query)
        else Prediction(query.source, "", None)
        for query in queries
    ]


def _best_sets(model: Model, queries: Sequence[Query], decode: DecodeConfig) -> Iterator[BestSet]:
    if queries:
        from terakoya.decoding.set_scores import score_sets

        scores, size = score_sets(model, queries, decode.batch_size), decode.batch_size
        for first in range(0, len(queries), size):  # sums over sets need much more memory than scores do
            rows = slice(first, first + size)
            batch = SetScores(scores.labels[rows], scores.sizes[rows], scores.penalties)
            yield from set_distributions(model, batch, decode).decode(resolve_objective(decode))


def describe_set_decoding(decode: DecodeConfig) -> str:
    """The settings of `decode` that may change a predicted set, as they stand in the signature of a score."""
    parts = [SIGNATURE_NAME, f"objective={resolve_objective(decode)}"]
    parts += [f"share_cap={decode.share_cap:g}"] if decode.share_cap else []
    parts += [f"logit_adjustment={decode.logit_adjustment:g}"] if decode.logit_adjustment else []
    return " ".join(parts)


def set_distributions(model: Model, scores: SetScores, decode: DecodeConfig) -> SetDistributions:
    """The distributions over sets that `scores` of `model` define, with the logit adjustment of `decode`."""
    prior = model.log_prior if decode.logit_adjustment else None  # type: ignore[attr-defined]
    return SetDistributions(scores, tau=decode.logit_adjustment, prior=prior)


def prediction_of_set(query: Query, best: BestSet, labels: Sequence[str]) -> Prediction:
    """The set as text, and the probabilities of its labels and of the most probable other ones, highest first.

    query   the input
    best    the set
    labels  of the model, in the order of its logits
    """
    probabilities = best.label_probabilities
    order = np.argsort(-probabilities, kind="stable")[: max(_REPORTED_LABELS, len(best.labels))].tolist()
    reported = sorted(dict.fromkeys([*order, *best.labels]), key=lambda index: -probabilities[index])
    label_probabilities = tuple((labels[index], float(probabilities[index])) for index in reported)
    raw = " ".join(labels[index] for index in best.labels)
    text = " ".join(sorted(labels[index] for index in best.labels))
    return Prediction(query.source, raw, text, best.probability, label_probabilities)
