"""Predictions that are withheld: too unsure, not verified, or for sources that the model cannot read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from terakoya.config import DecodeConfig
from terakoya.records import Prediction
from terakoya.task import Task

if TYPE_CHECKING:
    from terakoya.models.protocol import Query


def unknown_characters(model: Any, query: Query) -> str:
    """The characters of a query that a model cannot read, each once; "" where it reads all, or cannot say.

    model  one that has the optional method `unknown_characters(query)`, else nothing is said
    query  the input
    """
    method = getattr(model, "unknown_characters", None)
    return str(method(query)) if method is not None else ""


def withhold_unknown(prediction: Prediction, decode: DecodeConfig) -> Prediction:
    """The prediction itself, or one without text where the source held characters that the model does not know.

    prediction  of a model
    decode      `unknown` says what is done with it
    """
    if prediction.unknown and decode.unknown == "withhold":
        return replace(prediction, text=None, withheld="characters", labels=())
    return prediction


def withhold(prediction: Prediction, task: Task, decode: DecodeConfig) -> Prediction:
    """The prediction itself, or one without text and with the reason.

    prediction  of a model
    task        its `reverse` says whether a prediction can have produced the source
    decode      `abstain_below` is the smallest probability, `verify` whether `reverse` is applied
    """
    if prediction.text is None:
        return prediction
    if prediction.probability is not None and prediction.probability < decode.abstain_below:
        return replace(prediction, text=None, withheld="probability")
    if decode.verify and task.reverse is not None and not task.reverse(prediction.source, prediction.text):
        return replace(prediction, text=None, withheld="verification")
    return prediction
