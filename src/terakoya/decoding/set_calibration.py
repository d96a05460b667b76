"""Calibration of a set head on dev data: its temperature, the weight of a pretrained base's scores beside it, and the
penalties that keep label shares within bounds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from terakoya.config import DecodeConfig
from terakoya.decoding import score_sets
from terakoya.decoding.base_weight import fit_base_weight, known_indices
from terakoya.decoding.expected_metric import SetDistributions
from terakoya.decoding.sets import resolve_objective, set_distributions
from terakoya.models.protocol import LabelPenalty, Model, Query, SetScores

_FREQUENT = 0.03  # share of all labels in training from which the share of a label among predictions is capped
_LEAST_QUERIES = 50  # from which shares can be estimated
_BISECTIONS = 10  # of the interval in which a multiplier lies
_LARGEST_WEIGHT = 0.5  # of a penalty, in units of the metric
_MOST_PENALTIES = 3  # each one doubles the number of candidate sets
_LOG_TEMPERATURE_BOUND = 1.4  # logits are multiplied by at most e to this, or divided


def calibrate(
    model: Model,
    queries: Sequence[Query],
    target_sets: Sequence[Collection[str]],
    decode: DecodeConfig,
    *,
    fit_base: bool = False,
) -> None:
    """Set what a trained set model takes from dev data and saves with its weights: temperature, then penalties.

    model        with a set head; its `inverse_temperature`, `penalties` and, for an ensemble, `mixing_weight` are set
    queries      dev inputs; with fewer than 50 that the model can take, it stays uncalibrated
    target_sets  the labels of each query; () leaves temperature and mixing weight as they are
    decode       objective, and `share_cap`: how many times its share in training a label may take; 0 for no cap
    fit_base     whether the weight of a pretrained base's scores is fitted too, which takes some seconds
    """
    fitting = [index for index, query in enumerate(queries) if model.fits(query)]
    model.inverse_temperature, model.penalties = 1.0, ()  # type: ignore[attr-defined]
    if len(fitting) < _LEAST_QUERIES:
        return
    inputs = [queries[index] for index in fitting]
    if target_sets:
        targets = [target_sets[index] for index in fitting]
        _fit_temperature(model, inputs, targets, decode.batch_size)
        if fit_base and getattr(model, "evidence", None) is not None:
            fit_base_weight(model, inputs, targets, decode.batch_size)
            _fit_temperature(model, inputs, targets, decode.batch_size)
    if decode.share_cap:
        counts = np.asarray(model.counts, dtype=np.float64)  # type: ignore[attr-defined]
        distributions = set_distributions(model, score_sets(model, inputs, decode.batch_size), decode)
        model.penalties = _fit_penalties(distributions, counts / counts.sum(), decode)  # type: ignore[attr-defined]


def _fit_temperature(
    model: Model, queries: Sequence[Query], target_sets: Sequence[Collection[str]], batch_size: int
) -> None:
    """Set the inverse temperature (and the mixing weight of an ensemble) that make the true sets most probable.

    Temperature scaling (Guo et al., 2017, arXiv:1706.04599), with the likelihood of whole sets that decoding assumes.
    A model trained on few rows is overconfident elsewhere, and expected-metric decoding acts on that confidence.
    """
    from scipy.optimize import minimize_scalar

    sets = known_indices(target_sets, model.labels)
    candidates = []
    for mixing_weight in getattr(model, "mixing_weights", (None,)):
        if mixing_weight is not None:
            model.mixing_weight = mixing_weight  # type: ignore[attr-defined]
        model.inverse_temperature = 1.0  # type: ignore[attr-defined]
        scores = score_sets(model, queries, batch_size)

        def negative_log_likelihood(log_scale: float, scores: SetScores = scores) -> float:
            scaled = SetScores(scores.labels * float(np.exp(log_scale)), scores.sizes)
            return -float(np.mean(SetDistributions(scaled).log_probabilities(sets)))

        bounds = (-_LOG_TEMPERATURE_BOUND, _LOG_TEMPERATURE_BOUND)
        found = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 0.03})
        candidates.append((float(found.fun), float(np.exp(found.x)), mixing_weight))
    _, model.inverse_temperature, best = min(candidates, key=lambda one: one[0])  # type: ignore[attr-defined]
    if best is not None:
        model.mixing_weight = best  # type: ignore[attr-defined]


def _fit_penalties(
    distributions: SetDistributions, training_shares: np.ndarray[tuple[int], np.dtype[np.float64]], decode: DecodeConfig
) -> tuple[LabelPenalty, ...]:
    """Penalties under which no frequent label takes more than `decode.share_cap` times its share in training.

    Where one label stands in half of the data, the set with the best expectation holds it nearly always, because
    it is the safest guess. A Lagrange multiplier on it (in units of the metric) is subtracted from every set that holds
    it; the smallest one that keeps the cap is found on these queries, whose targets are not looked at. Capped are
    labels of at least 3% of the training data: shares of rarer ones cannot be estimated from a few hundred predictions.
    """
    frequent = [int(label) for label in np.flatnonzero(training_shares >= _FREQUENT)]
    weights: dict[int, float] = {}
    caps = {label: float(decode.share_cap * training_shares[label]) for label in frequent}
    while len(weights) < _MOST_PENALTIES:
        shares = _predicted_shares(distributions, _penalties(weights, caps), decode, len(training_shares))
        exceeding = [label for label in frequent if label not in weights and shares[label] > caps[label]]
        if not exceeding:
            break
        weights[max(exceeding, key=lambda label: shares[label] / training_shares[label])] = 0.0
        for label in weights:  # a new penalty moves the shares of the labels that had one
            weights[label] = _smallest_weight(distributions, label, weights, caps, decode)
    return _penalties(weights, caps)


def _smallest_weight(
    distributions: SetDistributions, label: int, weights: dict[int, float], caps: dict[int, float], decode: DecodeConfig
) -> float:
    """The smallest multiplier under which the label keeps its cap, the other multipliers being fixed, by bisection."""
    low, high = 0.0, _LARGEST_WEIGHT
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        penalties = _penalties(weights | {label: middle}, caps)
        shares = _predicted_shares(distributions, penalties, decode, distributions.odds.shape[1])
        low, high = (low, middle) if shares[label] <= caps[label] else (middle, high)
    return high


def _penalties(weights: dict[int, float], caps: dict[int, float]) -> tuple[LabelPenalty, ...]:
    return tuple(LabelPenalty(label, weight, caps[label]) for label, weight in weights.items())


def _predicted_shares(
    distributions: SetDistributions, penalties: tuple[LabelPenalty, ...], decode: DecodeConfig, labels: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(L,) the share of each label among all labels that are predicted under these penalties."""
    best_sets = distributions.best_sets(resolve_objective(decode), penalties)
    predicted = [label for members, _ in best_sets for label in members]
    return np.bincount(predicted, minlength=labels) / max(1, len(predicted))
