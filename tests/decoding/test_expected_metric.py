"""Expected-metric decoding of sets is exact: compared with every possible set."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest
import torch

from terakoya.decoding.expected_metric import Objective, SetDistributions
from terakoya.models.protocol import LabelPenalty, SetScores

LABELS, LARGEST = 6, 4


def _scores(seed: int, rows: int = 3, spread: float = 2.0) -> SetScores:
    rng = torch.Generator().manual_seed(seed)
    return SetScores(spread * torch.randn(rows, LABELS, generator=rng), torch.randn(rows, LARGEST, generator=rng))


def _distribution(scores: SetScores, row: int) -> dict[frozenset[int], float]:
    odds = scores.labels[row].double().exp().numpy()
    sizes = torch.softmax(scores.sizes[row].double(), 0).numpy()
    found: dict[frozenset[int], float] = {}
    for size in range(1, LARGEST + 1):
        members = [frozenset(one) for one in combinations(range(LABELS), size)]
        weights = np.array([odds[list(one)].prod() for one in members])
        found |= dict(zip(members, sizes[size - 1] * weights / weights.sum(), strict=True))
    return found


def _value(predicted: frozenset[int], true: frozenset[int], objective: Objective) -> float:
    shared = len(predicted & true)
    if objective == "jaccard":
        return shared / len(predicted | true)
    return 2 * shared / (len(predicted) + len(true))


@pytest.mark.parametrize("objective", ["jaccard", "f1"])
@pytest.mark.parametrize("seed", range(12))
def test_the_prediction_has_the_largest_expected_metric_of_all_sets(objective: Objective, seed: int) -> None:
    """A set that is only nearly the best would be blamed on the model."""
    scores = _scores(seed)
    for row, found in enumerate(SetDistributions(scores).decode(objective)):
        probabilities = _distribution(scores, row)
        expected = {
            one: sum(p * _value(one, true, objective) for true, p in probabilities.items()) for one in probabilities
        }
        assert found.expected == pytest.approx(max(expected.values()), abs=1e-9)
        assert expected[frozenset(found.labels)] == pytest.approx(found.expected, abs=1e-9)
        assert found.probability == pytest.approx(probabilities[frozenset(found.labels)], abs=1e-9)
        marginal = [sum(p for true, p in probabilities.items() if label in true) for label in range(LABELS)]
        assert found.label_probabilities == pytest.approx(marginal, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_penalties_are_weighed_exactly_too(seed: int) -> None:
    """With a penalty on labels the best set need not consist of the most probable ones."""
    random = Random(seed)
    penalties = tuple(LabelPenalty(label, random.uniform(0, 0.4), 0.2) for label in random.sample(range(LABELS), 2))
    plain = _scores(seed)
    scores = SetScores(plain.labels, plain.sizes, penalties)
    weights = {penalty.label: penalty.weight for penalty in penalties}
    refund = sum(penalty.weight * penalty.cap for penalty in penalties)
    for row, found in enumerate(SetDistributions(scores).decode("jaccard")):
        probabilities = _distribution(scores, row)
        net = {
            one: sum(p * _value(one, true, "jaccard") for true, p in probabilities.items())
            - sum(weights.get(label, 0.0) for label in one)
            + refund * len(one)
            for one in probabilities
        }
        assert net[frozenset(found.labels)] == pytest.approx(max(net.values()), abs=1e-9)


def test_certain_scores_do_not_overflow() -> None:
    """Logits grow without bound in a long training run; probabilities must not become NaN."""
    scores = SetScores(torch.tensor([[900.0, 800.0, -900.0, 0.0]]), torch.tensor([[-900.0, 900.0, 0.0]]))
    found = SetDistributions(scores).decode("jaccard")[0]
    assert found.labels == (0, 1)
    assert found.probability == pytest.approx(1.0)
    assert np.isfinite(found.label_probabilities).all()


def test_logit_adjustment_subtracts_the_prior() -> None:
    """At decoding: the frequent label loses what its frequency gave it."""
    scores = SetScores(torch.tensor([[1.0, 0.9, -3.0]]), torch.tensor([[9.0, 0.0]]))
    prior = np.log([0.5, 0.05, 0.05])
    assert SetDistributions(scores).decode("jaccard")[0].labels == (0,)
    assert SetDistributions(scores, tau=0.5, prior=prior).decode("jaccard")[0].labels == (1,)
