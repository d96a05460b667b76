"""What the exam says of the model's confidence: calibration, the promised rate, sources unlike those of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from terakoya.config import DecodeConfig
from terakoya.decoding.confidence import Confidence, is_covered
from terakoya.i18n import _
from terakoya.records import Finding, Prediction
from terakoya.scoring.score_predictions import ScoredPredictions
from terakoya.scoring.statistics.calibration import Calibration, calibration, spiegelhalter_p
from terakoya.scoring.statistics.intervals import Interval, mean_interval
from terakoya.scoring.statistics.wording import p_text

SURE = 0.9  # calibrated probability from which on a prediction is taken for right
MISCALIBRATED = 0.05  # expected calibration error from which on it matters
SIGNIFICANT = 0.01  # p of the test of calibration
NOVEL_SHARE = 0.02  # of the exam's items, from which on novel sources are a warning


@dataclass(frozen=True)
class ConfidenceOnExam:
    """How confidence did on the exam's main subset.

    calibration  of the calibrated probabilities
    p            of the test that they are calibrated (Spiegelhalter 1986)
    sure         share right among predictions with a probability of at least SURE, with its interval; None without any
    expected     mean probability of these
    novel        items whose source is unlike those of training
    items        in all
    promised     the share that was promised; 0: none was, or it could not be
    covered     share of the items that are covered under the promise, with its interval; None without one
    right        share right among these, with its interval; None where none is covered
    """

    calibration: Calibration
    p: float
    sure: Interval | None
    expected: float
    novel: int
    items: int
    promised: float = 0.0
    covered: Interval | None = None
    right: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """All values, for scores.json."""
        return asdict(self)

    def findings(self) -> Iterator[Finding]:
        """What is worth knowing before the model is used."""
        if self.calibration.error >= MISCALIBRATED and self.p < SIGNIFICANT:
            yield _miscalibrated(self)
        elif self.sure is not None and self.sure.high < min(SURE, self.expected):
            yield _too_sure(self, self.sure)
        if self.covered is not None:
            yield _promise_finding(self, self.covered)
        if self.novel:
            yield _novel_finding(self)


def confidence_on_exam(
    model: ScoredPredictions, metric: str, confidence: Confidence | None, decode: DecodeConfig
) -> ConfidenceOnExam | None:
    """How the model's confidence did; None where it was not measured, or nothing has a probability.

    model       its scored predictions of the main subset
    metric      name of the deciding one: a prediction is right where its score is 1
    confidence  of the model
    decode      the settings; `promise` is reported on this exam
    """
    judged = [JudgedPrediction(item.prediction, item.scores[metric] >= 1, item.group) for item in model.items]
    return confidence_of_predictions(judged, confidence, decode)


@dataclass(frozen=True, slots=True)
class JudgedPrediction:
    """A prediction for an exam item, whether it is right, and the item's group."""

    prediction: Prediction
    right: bool
    group: str


def confidence_of_predictions(
    judged: Sequence[JudgedPrediction], confidence: Confidence | None, decode: DecodeConfig
) -> ConfidenceOnExam | None:
    """How the model's confidence did; None where it was not measured, or nothing has a probability.

    judged      predictions for the items of the main subset, with calibrated probabilities
    confidence  of the model
    decode      the settings; `promise` is reported on this exam
    """
    items = [one for one in judged if one.prediction.probability is not None]
    if confidence is None or not items:
        return None
    rights = [item.right for item in items]
    groups = [item.group for item in items]
    probabilities = [float(item.prediction.probability or 0) for item in items]
    reached = calibration(probabilities, rights)
    assert reached is not None
    at = [number for number, probability in enumerate(probabilities) if probability >= SURE]
    measured = ConfidenceOnExam(
        reached,
        spiegelhalter_p(probabilities, rights),
        _share([rights[one] for one in at], [groups[one] for one in at]),
        sum(probabilities[one] for one in at) / len(at) if at else 0.0,
        sum(item.prediction.novel for item in items),
        len(items),
    )
    if not decode.promise or not confidence.fits(decode):
        return measured
    promise = confidence.promise(decode.promise)
    if not promise.kept:
        return measured
    covered = [is_covered(item.prediction, promise) for item in items]
    given = [number for number, is_given in enumerate(covered) if is_given]
    right = _share([rights[one] for one in given], [groups[one] for one in given])
    return replace(measured, promised=decode.promise, covered=_share(covered, groups), right=right)


def _share(values: Sequence[bool], groups: Sequence[str]) -> Interval | None:
    return mean_interval([float(value) for value in values], groups=groups) if values else None


def _miscalibrated(measured: ConfidenceOnExam) -> Finding:
    return Finding(
        "calibration",
        "warn",
        _(
            "calibrated probabilities are off by {error:.2f} on average on the exam ({n} items, {p})",
            error=measured.calibration.error,
            n=measured.items,
            p=p_text(measured.p),
        ),
        where="exam",
        do=_("Do not act on single probabilities; bring dev rows like those that the model will meet."),
        values={"error": measured.calibration.error, "items": float(measured.items), "p": measured.p},
    )


def _too_sure(measured: ConfidenceOnExam, sure: Interval) -> Finding:
    return Finding(
        "calibration",
        "warn",
        _(
            "of {n} predictions with a probability of {sure:g} or more, {share:.3f} [{low:.3f}, {high:.3f}] are right",
            n=sure.n,
            sure=SURE,
            share=sure.value,
            low=sure.low,
            high=sure.high,
        ),
        where="exam",
        do=_("Do not act on single probabilities; bring dev rows like those that the model will meet."),
        values={"items": float(sure.n), "right": sure.value, "expected": measured.expected},
    )


def _promise_finding(measured: ConfidenceOnExam, covered: Interval) -> Finding:
    """Note where the exam agrees with the promise, a warning where even the interval's upper end lies below it."""
    share, right = measured.promised, measured.right
    if right is None:
        said = _("under the promise of {share:g} right predictions, no exam item is covered", share=share)
        return Finding("promise", "warn", said, where="exam", values={"covered": 0.0})
    said = _(
        "under the promise of {share:g} right predictions, {covered:.3f} [{low:.3f}, {high:.3f}] of {n} exam items are "
        "covered, and {right:.3f} [{right_low:.3f}, {right_high:.3f}] of these {given} are right",
        share=share,
        covered=covered.value,
        low=covered.low,
        high=covered.high,
        n=covered.n,
        right=right.value,
        right_low=right.low,
        right_high=right.high,
        given=right.n,
    )
    broken = right.high < share
    do = _("Dev is unlike the exam: bring dev rows like those that the model will meet.") if broken else ""
    values = {"promised": share, "covered": covered.value, "right": right.value}
    return Finding("promise", "warn" if broken else "note", said, where="exam", do=do, values=values)


def _novel_finding(measured: ConfidenceOnExam) -> Finding:
    count, items = measured.novel, measured.items
    return Finding(
        "novel-sources",
        "warn" if count >= NOVEL_SHARE * items else "note",
        _("{count} of {items} exam items are unlike the training sources", count=count, items=items),
        where="exam",
        do=_(
            "`terakoya predict` withholds such predictions. Bring training rows like them, or predict with "
            "--set decode.novel=predict."
        ),
        values={"items": float(count)},
    )
