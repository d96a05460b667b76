"""Probabilities made to mean what they say: a monotone map from a model's probability to the share that is right.

Logistic recalibration (Cox 1958; Platt 1999): the log-odds of a prediction are stretched and shifted. A temperature
(Guo et al. 2017) stretches only; the shift is needed because a sequence's probability is a product over its tokens and
may lie on one side of the share that is right. Two numbers are fitted, so that some dozen dev rows are enough, and a
map never turns the order of two predictions around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FOLDS = 5
LARGEST_LOGIT = 14.0  # |log-odds|: beyond, float32 cannot tell probabilities from 1
FEWEST = 10  # predictions, below which nothing is fitted
_PENALTY = 0.05  # on the squared distance from the identity, beside the log-loss of all predictions
_STEPS = 100


@dataclass(frozen=True, slots=True)
class ProbabilityMap:
    """Calibrated log-odds = slope · log-odds + intercept.

    slope      at least 0; below 1 for a model that is too sure of itself
    intercept  in nats
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probability: float) -> float:
        """The calibrated probability.

        probability  of a model, in [0, 1]; 0 stays 0: such a prediction was never finished
        """
        if probability <= 0:
            return 0.0
        return 1.0 / (1.0 + math.exp(-(self.slope * logit(probability) + self.intercept)))


def logit(probability: float) -> float:
    """Log-odds, clipped to ±LARGEST_LOGIT.

    probability  in [0, 1]
    """
    least = 1.0 / (1.0 + math.exp(LARGEST_LOGIT))
    clipped = min(max(probability, least), 1.0 - least)
    return math.log(clipped) - math.log1p(-clipped)


def fit_probability_map(probabilities: Sequence[float], right: Sequence[bool]) -> ProbabilityMap:
    """The map that fits held-out predictions best by log-loss, slightly drawn to the identity.

    probabilities  of held-out predictions; those of 0 are left out
    right          whether each prediction is right
    Targets are smoothed as Platt (1999) does, so that predictions that are all right give no certainty.
    """
    import numpy as np

    pairs = [(logit(p), bool(r)) for p, r in zip(probabilities, right, strict=True) if p > 0]
    if len(pairs) < FEWEST:
        return ProbabilityMap()
    x = np.array([one for one, _ in pairs])
    hits = sum(r for _, r in pairs)
    high, low = (hits + 1) / (hits + 2), 1 / (len(pairs) - hits + 2)
    y = np.array([high if r else low for _, r in pairs])
    slope, intercept = _least_log_loss(np.stack([x, np.ones_like(x)], axis=1), y)
    if slope >= 0:
        return ProbabilityMap(slope, intercept)
    share = float(y.mean())  # the surer, the more often wrong: the probability says nothing
    return ProbabilityMap(0.0, math.log(share / (1 - share)))


def _least_log_loss(features: Floats, targets: Floats) -> tuple[float, float]:
    """Slope and intercept, by Newton's method with halved steps: the function is convex."""
    import numpy as np

    identity = np.array([1.0, 0.0])

    def loss(weights: Floats) -> float:
        z = features @ weights
        return float((np.logaddexp(0, z) - targets * z).sum() + _PENALTY / 2 * ((weights - identity) ** 2).sum())

    weights = identity
    for _ in range(_STEPS):
        found = 1 / (1 + np.exp(-np.clip(features @ weights, -40, 40)))
        gradient = features.T @ (found - targets) + _PENALTY * (weights - identity)
        curve = (features * (found * (1 - found))[:, None]).T @ features + _PENALTY * np.eye(2)
        step = np.linalg.solve(curve, gradient)
        before, size = loss(weights), 1.0
        while loss(weights - size * step) > before and size > 1e-9:
            size /= 2
        weights = weights - size * step
        if float(np.abs(size * step).max()) < 1e-10:
            break
    return float(weights[0]), float(weights[1])


def out_of_fold_probabilities(probabilities: Sequence[float], right: Sequence[bool]) -> list[float]:
    """Calibrated probabilities of predictions that the map was not fitted on (Stone 1974), to judge the map by.

    probabilities  of held-out predictions, in an order that has nothing to do with whether they are right
    right          whether each prediction is right
    """
    found = [0.0] * len(probabilities)
    for fold in range(FOLDS):
        kept = [at for at in range(len(probabilities)) if at % FOLDS != fold]
        fitted = fit_probability_map([probabilities[at] for at in kept], [right[at] for at in kept])
        for at in range(fold, len(probabilities), FOLDS):
            found[at] = fitted(probabilities[at])
    return found
