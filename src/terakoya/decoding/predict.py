"""Predictions of a trained model, less those that are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from terakoya import decoding
from terakoya.config import DecodeConfig
from terakoya.decoding import mbr, sets
from terakoya.decoding.confidence import Confidence
from terakoya.decoding.withholding import unknown_characters, withhold
from terakoya.errors import DataError
from terakoya.models.protocol import Model, Pair, Query
from terakoya.records import Example, Prediction
from terakoya.task import Task

SLACK = 8  # tokens more than the longest known target, so that a slightly longer one can still end


def predict_queries(
    model: Model,
    queries: Sequence[Query],
    task: Task,
    decode: DecodeConfig,
    *,
    max_tokens: int,
    seed: int = 0,
    confidence: Confidence | None = None,
) -> list[Prediction]:
    """One prediction for each query.

    model       with a sequence head or a set head; a set head predicts sets, whatever the method
    queries     the inputs
    task        its codec reads what the model generates; its reverse function verifies predictions
    decode      how to decode, and which predictions to withhold
    max_tokens  largest number of tokens of a sequence, the end token not counted
    seed        of sampling
    confidence  calibrates the probabilities; None leaves them as the model has them
    Returns the predictions in the order of `queries`; the text of an unreadable or withheld one is None.
    """
    if model.head == "set":
        predictions = sets.predict_sets(model, queries, decode)
    else:
        generate = mbr.decode_mbr if decode.method == "expected-metric" else decoding.generate
        sequences = generate(model, queries, task.codec, decode, max_tokens=max_tokens, seed=seed)
        predictions = [
            Prediction(query.source, sequence.raw, decoding.read(sequence, task.codec), sequence.probability)
            for query, sequence in zip(queries, sequences, strict=True)
        ]
    named = [
        replace(prediction, unknown=unknown_characters(model, query))
        for prediction, query in zip(predictions, queries, strict=True)
    ]
    calibrated = [confidence.applied(prediction) for prediction in named] if confidence is not None else named
    return [withhold(prediction, task, decode) for prediction in calibrated]


def query_of(example: Example) -> Query:
    """The input of `example`: its source with the conversation before it."""
    return Query(example.source, example.turns)


def generation_limit(model: Model, pairs: Sequence[Pair]) -> int:
    """Tokens that a generated sequence may have: those of the longest target of `pairs` in `model`, and 8 more."""
    if model.head == "set":
        return 0
    return max((_target_length(model, pair) for pair in pairs), default=0) + SLACK


def _target_length(model: Model, pair: Pair) -> int:
    try:
        return model.length(pair) - model.length(Pair(pair.query, ""))
    except DataError:  # a row that cannot be trained on; preflight names all of them together
        return 0


def describe_decoding(decode: DecodeConfig, *, verify: bool = True, head: str = "sequence") -> str:
    """How predictions were decoded, as it stands in the signature of a score: only what may change a prediction.

    decode  the settings
    verify  whether the task can verify predictions at all
    head    of the model, "sequence" or "set"
    """
    if head == "set":
        return sets.describe_set_decoding(decode)
    expected_metric = decode.method == "expected-metric"
    parts: list[str] = [sets.SIGNATURE_NAME if expected_metric else decode.method]
    if decode.method == "beam":
        parts.append(f"beams={decode.beams}")
    if decode.method == "sample" or expected_metric:
        parts += [f"temperature={decode.temperature:g}", f"top_k={decode.top_k}", f"top_p={decode.top_p:g}"]
    if expected_metric:
        parts += [f"samples={decode.samples}", f"objective={decode.objective}"]
    defaults = DecodeConfig()
    for key in ("repetition_penalty", "logit_adjustment", "abstain_below"):
        if getattr(decode, key) != getattr(defaults, key):
            parts.append(f"{key}={getattr(decode, key):g}")
    parts += ["rejecting"] if decode.reject else []
    parts += ["verified"] if decode.verify and verify else []
    return " ".join([*parts, "constrained" if decode.constrained else "free"])
