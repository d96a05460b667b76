"""Predictions that are withheld: too unsure, not verified, not promised, or for sources the model does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from terakoya.config import DecodeConfig
from terakoya.decoding.confidence import Confidence, is_covered
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.records import Finding, Prediction
from terakoya.scoring.statistics.promise import Promise, items_for_promise
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


def withhold_novel(prediction: Prediction, decode: DecodeConfig) -> Prediction:
    """The prediction itself, or one without text where the source is unlike those of training.

    prediction  of a model
    decode      `novel` says what is done with it
    """
    if prediction.text is not None and prediction.novel and decode.novel == "withhold":
        return replace(prediction, text=None, withheld="novelty", labels=())
    return prediction


def withhold_unpromised(prediction: Prediction, promise: Promise | None) -> Prediction:
    """The prediction itself, or one without text where it is not among those that the promise is about.

    prediction  of a model
    promise     that is kept; None: nothing was promised
    """
    if promise is None or prediction.text is None or is_covered(prediction, promise):
        return prediction
    return replace(prediction, text=None, withheld="promise", labels=())


def promise_of(decode: DecodeConfig, confidence: Confidence | None) -> Promise | None:
    """The promise that predictions are made under; None where `decode.promise` is 0.

    decode      the settings
    confidence  of the model; None where it was not measured
    Raises ConfigError where the share cannot be promised, or was not measured for these settings of decoding.
    """
    if not decode.promise:
        return None
    share = decode.promise
    if confidence is None or not confidence.scores:
        raise ConfigError(
            _(
                "a share of {share:g} right predictions cannot be promised: the model was not measured on dev",
                share=share,
            ),
            where="decode.promise",
            do=_("Train it again with a dev split, or predict with --set decode.promise=0."),
        )
    if not confidence.fits(decode):
        raise ConfigError(
            _("nothing can be promised with these settings of decoding: dev was predicted with other ones"),
            where="decode.promise",
            do=_("Leave the other decode settings as they were trained with, or add --set decode.promise=0."),
        )
    promise = confidence.promise(share)
    if promise.kept:
        return promise
    raise ConfigError(unkept_message(promise), where="decode.promise", do=unkept_advice(confidence, promise))


def unkept_finding(confidence: Confidence, promise: Promise) -> Finding:
    """That a share cannot be promised, as a finding of the training.

    confidence  of the model
    promise     that is not kept
    """
    return Finding(
        "promise",
        "warn",
        unkept_message(promise),
        where="decode.promise",
        do=unkept_advice(confidence, promise),
    )


def unkept_message(promise: Promise) -> str:
    """That a share cannot be promised, as a message.

    promise  that is not kept
    """
    return _(
        "a share of {share:g} right predictions cannot be promised with this dev set ({n} independent rows)",
        share=promise.share,
        n=promise.n,
    )


def unkept_advice(confidence: Confidence, promise: Promise) -> str:
    """What to do where a share cannot be promised, as a message.

    confidence  of the model
    promise     that is not kept
    """
    highest, least = confidence.highest_promise(), items_for_promise(promise.share, choices=promise.choices)
    if not highest:
        return _(
            "Bring more dev rows: at least {least}, and all predictions among them right. Without a promise: "
            "--set decode.promise=0.",
            least=least,
        )
    return _(
        "Promise less: --set decode.promise={highest:g} can be kept. Or bring more dev rows: at least {least}, and all "
        "predictions among them right.",
        highest=highest,
        least=least,
    )


def withhold(prediction: Prediction, task: Task, decode: DecodeConfig) -> Prediction:
    """The prediction itself, or one without text and with the reason.

    prediction  of a model
    task        its `reverse` says whether a prediction can have produced the source
    decode      `abstain_below` is the smallest (calibrated) probability, `verify` whether `reverse` is applied,
                `reject` whether an empty output is the model's rejection of the source
    """
    if decode.reject and not prediction.raw and prediction.probability:
        return replace(prediction, text=None, withheld="rejected")
    if prediction.text is None:
        return prediction
    if prediction.probability is not None and prediction.probability < decode.abstain_below:
        return replace(prediction, text=None, withheld="probability")
    if decode.verify and task.reverse is not None and not task.reverse(prediction.source, prediction.text):
        return replace(prediction, text=None, withheld="verification")
    return prediction
