"""Greedy and set decoding of built-in models in numpy alone: the same predictions, without the seconds of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from terakoya.codec import Codec
from terakoya.config import DecodeConfig
from terakoya.decoding.confidence import Confidence
from terakoya.decoding.constraints import GrammarConstraint, grammar_constraints
from terakoya.decoding.expected_metric import SetDistributions
from terakoya.decoding.sets import prediction_of_set, resolve_objective
from terakoya.decoding.withholding import unknown_characters, withhold
from terakoya.errors.third_party import broken_contract
from terakoya.i18n import _
from terakoya.models.builtin.numpy_model import NumpyModel, NumpySetModel
from terakoya.models.protocol import Query
from terakoya.records import Prediction
from terakoya.task import Task


def can_decode(decode: DecodeConfig, head: str) -> bool:
    """Whether predictions with these settings can be made here: greedily, or of sets.

    decode  the settings
    head    of the model, "sequence" or "set"
    """
    return head == "set" or decode.method == "greedy"


def predict_without_torch(
    model: NumpyModel | NumpySetModel,
    queries: Sequence[Query],
    task: Task,
    decode: DecodeConfig,
    *,
    max_tokens: int,
    confidence: Confidence | None = None,
) -> list[Prediction]:
    """One prediction for each query, as `decoding.predict.predict_queries` makes them.

    model       a built-in model
    queries     the inputs
    task        its codec reads what the model generates
    decode      settings for which `can_decode` is true
    max_tokens  largest number of tokens of a sequence, the end token not counted
    confidence  calibrates the probabilities; None leaves them as the model has them
    """
    if isinstance(model, NumpySetModel):
        predictions = _sets(model, queries, decode)
    else:
        predictions = _sequences(model, queries, task.codec, decode, max_tokens)
    named = [
        replace(prediction, unknown=unknown_characters(model, query))
        for prediction, query in zip(predictions, queries, strict=True)
    ]
    calibrated = [confidence.applied(prediction) for prediction in named] if confidence is not None else named
    return [withhold(prediction, task, decode) for prediction in calibrated]


def _sets(model: NumpySetModel, queries: Sequence[Query], decode: DecodeConfig) -> list[Prediction]:
    found = [Prediction(query.source, "", None) for query in queries]
    fitting = [index for index, query in enumerate(queries) if model.fits(query)]
    for first in range(0, len(fitting), decode.batch_size):
        batch = fitting[first : first + decode.batch_size]
        scores = model.set_scores([queries[index] for index in batch])
        prior = model.log_prior if decode.logit_adjustment else None
        distributions = SetDistributions(scores, tau=decode.logit_adjustment, prior=prior)
        for index, best in zip(batch, distributions.decode(resolve_objective(decode)), strict=True):
            found[index] = prediction_of_set(queries[index], best, model.labels)
    return found


def _sequences(
    model: NumpyModel, queries: Sequence[Query], codec: Codec, decode: DecodeConfig, max_tokens: int
) -> list[Prediction]:
    found = [Prediction(query.source, "", None, 0.0) for query in queries]
    order = sorted((index for index, query in enumerate(queries) if model.fits(query)),
                   key=lambda index: model.length(queries[index]))  # fmt: skip
    sources = [query.source for query in queries]
    constraints = (
        grammar_constraints(codec, sources, model.token_texts(), model.end, reject=decode.reject)
        if decode.constrained
        else None
    )
    limit = min(max_tokens + 1, model.max_target_length)
    for first in range(0, len(order), decode.batch_size):
        batch = order[first : first + decode.batch_size]
        bound = [constraints[index] for index in batch] if constraints else None
        rows = _generate(model, [queries[index] for index in batch], bound, limit)
        for index, (raw, probability) in zip(batch, rows, strict=True):
            text = codec.read(raw) if probability is not None else None
            if text is not None and not isinstance(text, str):
                raise broken_contract(
                    codec.read, _("a codec must read text or None, and read {given}", given=repr(text))
                )
            found[index] = Prediction(queries[index].source, raw, text, probability or 0.0)
    return found


def _generate(
    model: NumpyModel, queries: Sequence[Query], constraints: Sequence[GrammarConstraint] | None, limit: int
) -> list[tuple[str, float | None]]:
    """(text, probability) for each query; the probability of a sequence that did not end is None."""
    state, texts = model.start(queries), model.token_texts()
    rows = list(range(len(queries)))  # still unfinished
    raw, scores = [""] * len(queries), [0.0] * len(queries)
    found: list[tuple[str, float | None]] = [("", None)] * len(queries)
    for step in range(limit):
        logits = state.logits
        tokens = logits.argmax(axis=1)
        log_sums = _log_sums(logits)
        kept = []
        for at, row in enumerate(rows):
            token = int(tokens[at])
            if constraints is not None and not constraints[row].allows(raw[row], token):
                legal = list(constraints[row].legal(raw[row]))
                if not legal:
                    found[row] = (raw[row], None)
                    continue
                token = legal[int(logits[at][legal].argmax())]
                tokens[at] = token
            scores[row] += float(logits[at, token] - log_sums[at])
            if token == model.end:
                found[row] = (raw[row], float(np.exp(scores[row])))
                continue
            found[row] = (raw[row], None)  # for when this was the last step; the text lacks its last token
            raw[row] += texts[token]
            kept.append(at)
        if not kept or step + 1 == limit:
            break
        rows = [rows[at] for at in kept]
        if len(kept) < len(tokens):
            state.select(np.asarray(kept))
        state.advance(tokens[kept])
    return found


def _log_sums(
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    top = logits.max(axis=1, keepdims=True)
    result: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return result
