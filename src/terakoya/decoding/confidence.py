"""What a trained model's probabilities are worth: measured on dev after training, kept as data beside the model.

A `Confidence` maps the model's probability of a prediction to one that is calibrated, marks sources unlike those of
training, and says from which probability on a promised share of the predictions is right. PyTorch is not needed: both
ways of opening a model use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from terakoya.config import DecodeConfig
from terakoya.decoding.source_profile import SourceProfile
from terakoya.records import Prediction
from terakoya.scoring.statistics.promise import Promise, highest_promise, promise_threshold
from terakoya.scoring.statistics.recalibration import ProbabilityMap

_DIGITS = 7  # of probabilities that are compared: float32 knows no more
# The settings that change what is predicted, and with it what a probability is worth.
_SETTINGS = (
    "method",
    "beams",
    "samples",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "constrained",
    "objective",
    "logit_adjustment",
)
# What came later → its value in what was measured before.
_LATER = {"reject": False}


@dataclass(frozen=True)
class Confidence:
    """Calibration, promises and novelty of one trained model.

    calibrate  model's probability → calibrated one
    scores     the model's probability of each independent dev item, -1 where it is never covered
    right      whether each of them is right
    choices    models among which dev chose this one
    settings   of decoding, with which dev was predicted
    profile    of the training sources
    limit      novelty above which a source is unlike them; infinity: none is
    """

    calibrate: ProbabilityMap
    scores: tuple[float, ...] = ()
    right: tuple[bool, ...] = ()
    choices: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    profile: SourceProfile = field(default_factory=lambda: SourceProfile({}))
    limit: float = math.inf

    def applied(self, prediction: Prediction) -> Prediction:
        """The prediction with its calibrated probability, and whether its source is unlike those of training.

        prediction  of the model that this was measured for
        """
        novel = self.is_novel(prediction.source)
        if prediction.probability is None:
            return replace(prediction, novel=novel)
        calibrated = self.calibrate(prediction.probability)
        return replace(prediction, probability=calibrated, uncalibrated=prediction.probability, novel=novel)

    def is_novel(self, source: str) -> bool:
        """Whether a source is unlike those of training.

        source  an input
        """
        return self.limit < math.inf and self.profile.novelty(source) > self.limit

    def promise(self, share: float) -> Promise:
        """The threshold above which this share of the predictions is right, or that it cannot be promised.

        share  promised, between 0 and 1
        """
        return promise_threshold(self._ranked(), self.right, share, choices=self.choices)

    def highest_promise(self) -> float:
        """The highest share that can be promised, of a short list; 0 where none can."""
        return highest_promise(self._ranked(), self.right, choices=self.choices)

    def _ranked(self) -> list[float]:
        return [score if score >= 0 else -math.inf for score in self.scores]

    def fits(self, decode: DecodeConfig) -> bool:
        """Whether predictions are decoded as those of dev were, so that its promises hold for them.

        decode  the settings
        """
        return {**_LATER, **self.settings} == decoding_settings(decode)


def is_covered(prediction: Prediction, promise: Promise) -> bool:
    """Whether a prediction is among the predictions that a promise is about.

    prediction  with what `Confidence.applied` found
    promise     that is kept
    """
    if promise.threshold is None or prediction.text is None or prediction.novel or prediction.uncalibrated is None:
        return False
    return score_of(prediction.uncalibrated) > promise.threshold


def score_of(probability: float) -> float:
    """A model's probability as promises compare it: the same whether PyTorch or numpy computed it.

    probability  of the whole output under the model
    """
    return round(probability, _DIGITS)


def decoding_settings(decode: DecodeConfig) -> dict[str, Any]:
    """The settings of decoding that change what is predicted.

    decode  all settings
    """
    return {key: getattr(decode, key) for key in (*_SETTINGS, *_LATER)}


def confidence_to_json(confidence: Confidence) -> dict[str, Any]:
    """What a saved model keeps of it; long lists are one string each, so that the file stays readable.

    confidence  as measured
    """
    grams: dict[str, list[str]] = {}
    counts: dict[str, list[str]] = {}
    # Sorted: in the order in which they were counted they spell the first training sources.
    for gram, count in sorted(confidence.profile.counts.items()):
        grams.setdefault(str(len(gram)), []).append(gram)
        counts.setdefault(str(len(gram)), []).append(str(count))
    return {
        "slope": confidence.calibrate.slope,
        "intercept": confidence.calibrate.intercept,
        "scores": " ".join(map(repr, confidence.scores)),
        "right": "".join(str(int(right)) for right in confidence.right),
        "choices": confidence.choices,
        "decoding": dict(confidence.settings),
        "novelty_limit": None if confidence.limit == math.inf else confidence.limit,
        "ngrams": {size: "".join(found) for size, found in grams.items()},
        "ngram_counts": {size: " ".join(found) for size, found in counts.items()},
    }


def confidence_from_json(values: Mapping[str, Any]) -> Confidence:
    """The confidence that a saved model keeps.

    values  as `confidence_to_json` made them
    Raises KeyError, TypeError, ValueError or AttributeError where they are not.
    """
    limit = values["novelty_limit"]
    scores, right = _finite(values["scores"].split()), tuple(bool(int(one)) for one in values["right"])
    slope, intercept = _finite((values["slope"], values["intercept"]))
    choices = int(values["choices"])
    if len(scores) != len(right) or choices < 1 or slope < 0:
        raise ValueError(len(scores))
    counts: dict[str, int] = {}
    for size, joined in values["ngrams"].items():
        grams = [joined[at : at + int(size)] for at in range(0, len(joined), int(size))]
        counts |= zip(grams, map(int, values["ngram_counts"][size].split()), strict=True)
    if any(count < 1 for count in counts.values()):
        raise ValueError(min(counts.values()))
    return Confidence(
        ProbabilityMap(slope, intercept),
        scores,
        right,
        choices,
        dict(values["decoding"]),
        SourceProfile(counts),
        math.inf if limit is None else _finite([limit])[0],
    )


def _finite(values: Sequence[Any]) -> tuple[float, ...]:
    found = tuple(float(one) for one in values)
    if not all(map(math.isfinite, found)):
        raise ValueError(found)
    return found
