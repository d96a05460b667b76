"""What the trained model's probabilities are worth, measured on dev: calibration, promises, novelty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from terakoya.config import Config, DecodeConfig
from terakoya.data.split import group_of
from terakoya.decoding.confidence import Confidence, decoding_settings, score_of
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.decoding.source_profile import count_sources
from terakoya.decoding.withholding import unkept_finding
from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.records import Example, Finding, Prediction
from terakoya.scoring.baselines.standard import evenly_spaced
from terakoya.scoring.score_predictions import score_predictions
from terakoya.scoring.statistics.calibration import calibration
from terakoya.scoring.statistics.recalibration import FEWEST, fit_probability_map, out_of_fold_probabilities
from terakoya.training.prepare import TrainingSetup, sample_pairs

DEV_ITEMS = 2_000  # that are predicted
UNSURE = 0.1  # expected calibration error from which on the map is not to be trusted


@dataclass(frozen=True)
class DevPredictions:
    """Predictions of the trained model for dev rows that it was not trained on.

    examples     the rows
    predictions  for them, in order, nothing withheld
    scores       of these under the deciding metric
    """

    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    scores: Sequence[float]


def predict_dev(setup: TrainingSetup, model: Model, *, max_tokens: int) -> DevPredictions | None:
    """Predict dev once more with the chosen weights; None without a dev split.

    setup       task, split and resolved config
    model       trained, not on dev
    max_tokens  tokens that a prediction may have at most
    """
    held_out = [item for item in setup.split.dev if item.subset == "" and not setup.task.is_memorised(item)]
    examples = evenly_spaced(held_out, DEV_ITEMS)
    if not examples:
        return None
    config, task = setup.config, setup.task
    plain = config.decode.model_copy(update={"abstain_below": 0.0, "verify": False})
    found = predict_queries(
        model, [query_of(item) for item in examples], task, plain, max_tokens=max_tokens, seed=config.seed
    )
    scored = score_predictions("model", examples, found, task.codec, {task.metric: task.metrics[task.metric]})
    return DevPredictions(examples, found, scored.item_scores(task.metric))


def measure_confidence(setup: TrainingSetup, dev: DevPredictions, *, choices: int) -> Confidence:
    """What the probabilities of these predictions are worth.

    setup    task, split and resolved config
    dev      predictions for dev
    choices  sets of weights among which dev chose; promises are corrected for them
    """
    config, task, examples, found = setup.config, setup.task, dev.examples, dev.predictions
    right = [value >= 1 for value in dev.scores]
    profile = count_sources(pair.query.source for pair in sample_pairs(task, setup.split, config.seed))
    alone = _one_of_each_group(examples)
    measured = Confidence(
        fit_probability_map([one.probability or 0.0 for one in found], right),
        right=tuple(right[at] for at in alone),
        choices=choices if _is_chosen(config) else 1,
        settings=decoding_settings(config.decode),
        profile=profile,
        limit=profile.limit([item.source for item in examples]),
    )
    return replace(measured, scores=tuple(_score(found[at], measured) for at in alone))


def confidence_findings(confidence: Confidence | None, decode: DecodeConfig) -> list[Finding]:
    """What was found of the probabilities, and whether the share that `decode.promise` wants can be promised.

    confidence  as measured; None without a dev split
    decode      the settings
    """
    found = [] if confidence is None else [calibration_finding(confidence)]
    if decode.promise and confidence is not None:
        promise = confidence.promise(decode.promise)
        if not promise.kept:
            found.append(unkept_finding(confidence, promise))
    return [one for one in found if one is not None]


def calibration_finding(confidence: Confidence) -> Finding | None:
    """How far calibrated probabilities can be trusted, on dev rows that the map was not fitted on; None where they can.

    confidence  as measured
    """
    known = [(score, right) for score, right in zip(confidence.scores, confidence.right, strict=True) if score > 0]
    if len(known) < FEWEST:
        return Finding(
            "calibration",
            "note",
            _("{n} dev rows are too few to calibrate probabilities: they are the model's own", n=len(known)),
            where="dev",
            do=_("Hold out more rows: split.dev."),
            values={"items": float(len(known))},
        )
    rights = [right for _score, right in known]
    reached = calibration(out_of_fold_probabilities([score for score, _right in known], rights), rights)
    if reached is None or reached.error < UNSURE:
        return None
    return Finding(
        "calibration",
        "warn",
        _(
            "probabilities are off by {error:.2f} on average, calibrated on {n} dev rows and judged out of fold",
            error=reached.error,
            n=reached.n,
        ),
        where="dev",
        do=_("Hold out more rows (split.dev), and do not act on single probabilities."),
        values={"items": float(reached.n), "error": reached.error},
    )


def _score(prediction: Prediction, confidence: Confidence) -> float:
    """What a promise ranks the prediction by; -1 where it is never covered."""
    if prediction.text is None or prediction.probability is None or confidence.is_novel(prediction.source):
        return -1.0
    return score_of(prediction.probability)


def _is_chosen(config: Config) -> bool:
    return config.train.select != "last"


def _one_of_each_group(examples: Sequence[Example]) -> list[int]:
    """The number of one example of each group: only these are independent of each other."""
    first: dict[str, int] = {}
    for at, example in sorted(enumerate(examples), key=lambda pair: pair[1].fingerprint):
        first.setdefault(group_of(example), at)
    return sorted(first.values())
