"""A taught model is asked, and what it may not say is withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from terakoya import decoding
from terakoya.config import DecodeConfig
from terakoya.decoding import mbr, sets
from terakoya.errors import DataError
from terakoya.models.protocol import Model, Pair, Query
from terakoya.records import Example, Prediction
from terakoya.task import Task

SLACK = 8  # tokens more than the longest answer known, so that a slightly longer one can still end


def predictions(
    model: Model, asks: Sequence[Query], task: Task, decode: DecodeConfig, *, max_tokens: int, seed: int = 0
) -> list[Prediction]:
    """One prediction for each ask, in order. A model with a set head answers with sets, whatever the method."""
    if model.head == "set":
        found = sets.predictions(model, asks, decode)
    else:
        ask_all = mbr.agreed if decode.method == "best-expected" else decoding.answers
        answers = ask_all(model, asks, task.codec, decode, max_tokens=max_tokens, seed=seed)
        found = [
            Prediction(ask.source, answer.raw, decoding.read(answer, task.codec), answer.probability)
            for ask, answer in zip(asks, answers, strict=True)
        ]
    return [withheld(prediction, task, decode) for prediction in found]


def withheld(prediction: Prediction, task: Task, decode: DecodeConfig) -> Prediction:
    """The prediction, or the reason why it is not given: too unsure, or it cannot have produced its source."""
    if prediction.text is None:
        return prediction
    if prediction.probability is not None and prediction.probability < decode.abstain_below:
        return replace(prediction, text=None, withheld="probability")
    if decode.verify and task.reverse is not None and not task.reverse(prediction.source, prediction.text):
        return replace(prediction, text=None, withheld="verification")
    return prediction


def query_of(example: Example) -> Query:
    return Query(example.source, example.turns)


def longest_answer(model: Model, pairs: Sequence[Pair]) -> int:
    """Tokens of the longest answer among these pairs, with room for a slightly longer one."""
    if model.head == "set":
        return 0
    return max((_length(model, row) for row in pairs), default=0) + SLACK


def _length(model: Model, row: Pair) -> int:
    try:
        return model.length(row) - model.length(Pair(row.ask, ""))
    except DataError:  # a row that cannot be taught; preflight names all of them together
        return 0


def described(decode: DecodeConfig, *, verify: bool = True, head: str = "sequence") -> str:
    """How answers were asked for, as it stands in a score's signature: only what may change an answer."""
    if head == "set":
        return sets.described(decode)
    parts: list[str] = [decode.method]
    if decode.method == "beam":
        parts.append(f"beams={decode.beams}")
    if decode.method in ("sample", "best-expected"):
        parts += [f"temperature={decode.temperature:g}", f"top_k={decode.top_k}", f"top_p={decode.top_p:g}"]
    if decode.method == "best-expected":
        parts += [f"samples={decode.samples}", f"objective={decode.objective}"]
    plain = DecodeConfig()
    for key in ("repetition_penalty", "logit_adjustment", "abstain_below"):
        if getattr(decode, key) != getattr(plain, key):
            parts.append(f"{key}={getattr(decode, key):g}")
    parts += ["verified"] if decode.verify and verify else []
    return " ".join([*parts, "constrained" if decode.constrained else "free"])
