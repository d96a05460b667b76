"""A promised share of right answers is kept, or it is not promised; probabilities mean what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from terakoya.config import DecodeConfig
from terakoya.decoding.confidence import Confidence
from terakoya.scoring.statistics.calibration import calibration, spiegelhalter_p
from terakoya.scoring.statistics.promise import highest_promise, items_for_promise, promise_threshold
from terakoya.scoring.statistics.recalibration import ProbabilityMap, fit_probability_map, out_of_fold_probabilities
from terakoya.training.confidence import confidence_findings


def _answers(seed: int, n: int, *, hard: float = 0.3) -> tuple[list[float], list[bool]]:
    """Scores, and whether each answer is right: easy ones nearly always, hard ones as often as their score says."""
    rng = np.random.default_rng(seed)
    is_hard = rng.random(n) < hard
    scores = np.where(is_hard, rng.beta(2, 2, n), 1 - rng.beta(1, 20, n))
    right = rng.random(n) < np.where(is_hard, scores, 0.999)
    return scores.tolist(), right.tolist()


def test_what_is_promised_is_kept_on_fresh_answers() -> None:
    """Taken at the lowest threshold that looks good on dev, the promise breaks in more than a quarter of cases."""
    fresh_scores, fresh_right = (np.array(one) for one in _answers(10_000, 100_000))
    kept, broken = 0, 0
    for seed in range(200):
        promise = promise_threshold(*_answers(seed, 800), 0.98)
        if promise.threshold is not None:
            kept += 1
            broken += fresh_right[fresh_scores > promise.threshold].mean() < 0.98
    assert kept > 150
    assert broken <= 0.05 * kept + 3 * math.sqrt(0.05 * 0.95 * kept)


def test_a_dev_set_that_is_too_small_promises_nothing() -> None:
    assert items_for_promise(0.98) == 149
    assert promise_threshold([0.9] * 149, [True] * 149, 0.98).kept
    few = promise_threshold([0.9] * 148, [True] * 148, 0.98)
    assert (few.kept, few.n) == (False, 148)
    assert highest_promise([0.9] * 148, [True] * 148) == 0.97
    assert highest_promise([0.9] * 3, [True] * 3) == 0


def test_a_promise_is_corrected_for_the_models_that_dev_chose_among() -> None:
    assert items_for_promise(0.98, choices=10) == 263
    assert not promise_threshold([0.9] * 200, [True] * 200, 0.98, choices=10).kept
    assert promise_threshold([0.9] * 263, [True] * 263, 0.98, choices=10).kept


def test_as_much_is_answered_as_the_promise_allows_and_ties_stay_together() -> None:
    scores = [0.9] * 500 + [0.5] * 500
    promise = promise_threshold(scores, [True] * 500 + [False] * 500, 0.98)
    assert (promise.threshold, promise.covered) == (0.5, 500)
    every = promise_threshold(scores, [True] * 1000, 0.98)
    assert (every.threshold, every.covered) == (-math.inf, 1000)


def test_what_is_never_answered_is_not_part_of_a_promise() -> None:
    scores = [0.9] * 500 + [-math.inf] * 500
    promise = promise_threshold(scores, [True] * 500 + [False] * 500, 0.98)
    assert promise.covered == 500
    assert promise.kept


@pytest.mark.parametrize("sureness", [0.5, 3.0])
def test_calibrated_probabilities_are_right_as_often_as_they_say(sureness: float) -> None:
    """The model's log-odds are half or three times what they should be."""
    rng = np.random.default_rng(3)
    true = rng.normal(1, 2, 3000)
    right = (rng.random(3000) < 1 / (1 + np.exp(-true))).tolist()
    said = (1 / (1 + np.exp(-sureness * true))).tolist()
    fitted = fit_probability_map(said[:300], right[:300])
    assert fitted.slope == pytest.approx(1 / sureness, rel=0.35)
    before, after = (calibration(p[300:], right[300:]) for p in (said, [fitted(p) for p in said]))
    assert before is not None
    assert after is not None
    assert after.error < 0.04 < before.error
    assert spiegelhalter_p(said[300:], right[300:]) < 1e-6


def test_calibrated_probabilities_pass_the_test_and_the_map_keeps_their_order() -> None:
    rng = np.random.default_rng(4)
    said = rng.random(2000)
    right = (rng.random(2000) < said).tolist()
    assert spiegelhalter_p(said.tolist(), right) > 0.01
    out_of_fold = out_of_fold_probabilities(said.tolist(), right)
    assert abs(np.mean(out_of_fold) - np.mean(right)) < 0.02
    reversed_map = fit_probability_map(said.tolist(), [not one for one in right])
    assert reversed_map.slope == 0


def test_a_small_dev_set_that_was_all_right_gives_no_certainty() -> None:
    fitted = fit_probability_map([0.999] * 20, [True] * 20)
    assert 0.9 < fitted(0.999) < 0.99
    assert fit_probability_map([0.999] * 5, [True] * 5) == ProbabilityMap()
    assert fitted(0.0) == 0


def test_training_reports_what_dev_cannot_promise_and_probabilities_that_stay_bad() -> None:
    few = Confidence(ProbabilityMap(), (0.9,) * 8, (True,) * 8)
    checks = [finding.check for finding in confidence_findings(few, DecodeConfig(promise=0.98))]
    assert checks == ["calibration", "promise"]
    rng = np.random.default_rng(2)
    scores = rng.uniform(0.02, 0.98, 600)
    good = Confidence(ProbabilityMap(), tuple(scores.tolist()), tuple((rng.random(600) < scores).tolist()))
    assert confidence_findings(good, DecodeConfig()) == []
    middling = np.abs(scores - 0.5) < 0.25  # right in the middle alone: no monotone map can say so
    bad = Confidence(ProbabilityMap(), good.scores, tuple(middling.tolist()))
    (finding,) = confidence_findings(bad, DecodeConfig())
    assert (finding.check, finding.level) == ("calibration", "warn")
    assert confidence_findings(None, DecodeConfig(promise=0.98)) == []
