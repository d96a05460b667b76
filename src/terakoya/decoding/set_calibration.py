"""Calibration of a set head on dev: its temperature, and the penalties that keep label shares within bounds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from terakoya.config import DecodeConfig
from terakoya.decoding import scored
from terakoya.decoding.expected_metric import Rows
from terakoya.decoding.sets import objective, rows_of
from terakoya.models.protocol import LabelPenalty, Model, Query, SetScores

_WATCHED = 0.03  # share of all labels in training from which a label's share among the answers is watched


_FEWEST = 50  # asks from which shares can be told


_ROUNDS = 10  # halvings of the interval in which a price lies


_DEAREST = 0.5


_DOUBT = 1.4  # logits are multiplied by at most e to this, or divided


def settle(model: Model, asks: Sequence[Query], truths: Sequence[Collection[str]], decode: DecodeConfig) -> None:
    """What is settled on dev once the weights stand, and travels with the model: how sure to be, then what labels cost.

    truths  the true set of each ask; () leaves the model as sure as it is
    """
    known = [place for place, ask in enumerate(asks) if model.fits(ask)]
    model.scale, model.tolls = 1.0, ()  # type: ignore[attr-defined]
    if len(known) < _FEWEST:
        return
    told = [asks[place] for place in known]
    if truths:
        _be_as_sure(model, told, [truths[place] for place in known], decode.batch_size)
    if decode.share_cap:
        counts = np.asarray(model.counts, dtype=np.float64)  # type: ignore[attr-defined]
        rows = rows_of(model, scored(model, told, decode.batch_size), decode)
        model.tolls = _prices(rows, counts / counts.sum(), decode)  # type: ignore[attr-defined]


def _be_as_sure(model: Model, asks: Sequence[Query], truths: Sequence[Collection[str]], at_once: int) -> None:
    """Set the model's `scale` (and its `blend`, where it is made of members) so that the true sets are most probable.

    Temperature scaling (Guo et al., 2017, arXiv:1706.04599), with the likelihood of whole sets that decoding believes
    in. A model of few rows is surer on them than it may be elsewhere, and decoding for an expectation acts on that.
    """
    from scipy.optimize import minimize_scalar

    place = {label: number for number, label in enumerate(model.labels)}
    sets = [[place[label] for label in truth if label in place] for truth in truths]
    settled = []
    for blend in getattr(model, "blends", (None,)):
        if blend is not None:
            model.blend = blend  # type: ignore[attr-defined]
        scores = scored(model, asks, at_once)

        def cost(log_scale: float, scores: SetScores = scores) -> float:
            scaled = SetScores(scores.labels * float(np.exp(log_scale)), scores.sizes)
            return -float(np.mean(Rows(scaled).log_probabilities(sets)))

        found = minimize_scalar(cost, bounds=(-_DOUBT, _DOUBT), method="bounded", options={"xatol": 0.03})
        settled.append((float(found.fun), float(np.exp(found.x)), blend))
    _, model.scale, best = min(settled, key=lambda one: one[0])  # type: ignore[attr-defined]
    if best is not None:
        model.blend = best  # type: ignore[attr-defined]


def _prices(
    rows: Rows, share: np.ndarray[tuple[int], np.dtype[np.float64]], decode: DecodeConfig
) -> tuple[LabelPenalty, ...]:
    """No frequent label may take more than `decode.share_cap` times its share in the training data: find its price.

    Where one label stands in half of the data, the set with the best expectation holds it nearly always, because
    it is the safest guess. A price on it (a Lagrange multiplier: in units of the metric) is paid for every answer that
    holds it, and answers are those of largest expectation less price; the smallest price that keeps the share is
    found on these asks, of which the targets are not looked at. Watched are labels of at least 3% of the training
    data: shares of rarer ones cannot be told from a few hundred answers.
    """
    watched = [int(label) for label in np.flatnonzero(share >= _WATCHED)]
    prices: dict[int, float] = {}
    limits = {label: float(decode.share_cap * share[label]) for label in watched}
    while len(prices) < 3:  # each label with a price doubles the sets to be tried
        taken = _shares(rows, _tolls(prices, limits), decode, len(share))
        over = [label for label in watched if label not in prices and taken[label] > limits[label]]
        if not over:
            break
        prices[max(over, key=lambda one: taken[one] / share[one])] = 0.0
        for label in prices:  # a new price moves the share of those that had one
            prices[label] = _cheapest(rows, label, prices, limits, decode)
    return _tolls(prices, limits)


def _cheapest(
    rows: Rows, label: int, prices: dict[int, float], limits: dict[int, float], decode: DecodeConfig
) -> float:
    """The smallest price at which the label keeps to its limit, the other prices being what they are."""
    low, high = 0.0, _DEAREST
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        taken = _shares(rows, _tolls(prices | {label: middle}, limits), decode, rows.odds.shape[1])
        low, high = (low, middle) if taken[label] <= limits[label] else (middle, high)
    return high


def _tolls(prices: dict[int, float], limits: dict[int, float]) -> tuple[LabelPenalty, ...]:
    return tuple(LabelPenalty(label, price, limits[label]) for label, price in prices.items())


def _shares(
    rows: Rows, tolls: tuple[LabelPenalty, ...], decode: DecodeConfig, labels: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    answered = [label for members, _ in rows.best(objective(decode), tolls) for label in members]
    return np.bincount(answered, minlength=labels) / max(1, len(answered))
