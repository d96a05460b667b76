"""Decoding of sets is exact: held against every possible set."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest
import torch

from terakoya.decoding.expected_metric import Objective, Rows
from terakoya.models.protocol import LabelPenalty, SetScores

LABELS, LARGEST = 6, 4


def _scores(seed: int, rows: int = 3, spread: float = 2.0) -> SetScores:
    chance = torch.Generator().manual_seed(seed)
    return SetScores(spread * torch.randn(rows, LABELS, generator=chance), torch.randn(rows, LARGEST, generator=chance))


def _distribution(scores: SetScores, row: int) -> dict[frozenset[int], float]:
    odds = scores.labels[row].double().exp().numpy()
    sizes = torch.softmax(scores.sizes[row].double(), 0).numpy()
    found: dict[frozenset[int], float] = {}
    for size in range(1, LARGEST + 1):
        members = [frozenset(one) for one in combinations(range(LABELS), size)]
        weights = np.array([odds[list(one)].prod() for one in members])
        found |= dict(zip(members, sizes[size - 1] * weights / weights.sum(), strict=True))
    return found


def _value(answer: frozenset[int], true: frozenset[int], objective: Objective) -> float:
    both = len(answer & true)
    return both / len(answer | true) if objective == "jaccard" else 2 * both / (len(answer) + len(true))


@pytest.mark.parametrize("objective", ["jaccard", "f1"])
@pytest.mark.parametrize("seed", range(12))
def test_the_answer_has_the_largest_expected_metric_of_all_sets(objective: Objective, seed: int) -> None:
    """A decoding that is nearly the best would be judged as the model's fault."""
    scores = _scores(seed)
    for row, found in enumerate(Rows(scores).found(objective)):
        chance = _distribution(scores, row)
        worth = {one: sum(p * _value(one, true, objective) for true, p in chance.items()) for one in chance}
        assert found.expected == pytest.approx(max(worth.values()), abs=1e-9)
        assert worth[frozenset(found.labels)] == pytest.approx(found.expected, abs=1e-9)
        assert found.probability == pytest.approx(chance[frozenset(found.labels)], abs=1e-9)
        marginal = [sum(p for true, p in chance.items() if label in true) for label in range(LABELS)]
        assert found.chances == pytest.approx(marginal, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_tolls_are_weighed_exactly_too(seed: int) -> None:
    """With a price on labels the best set need not be made of the most probable ones."""
    random = Random(seed)
    tolls = tuple(LabelPenalty(label, random.uniform(0, 0.4), 0.2) for label in random.sample(range(LABELS), 2))
    plain = _scores(seed)
    scores = SetScores(plain.labels, plain.sizes, tolls)
    price = {toll.label: toll.price for toll in tolls}
    refund = sum(toll.price * toll.share for toll in tolls)
    for row, found in enumerate(Rows(scores).found("jaccard")):
        chance = _distribution(scores, row)
        net = {
            one: sum(p * _value(one, true, "jaccard") for true, p in chance.items())
            - sum(price.get(label, 0.0) for label in one)
            + refund * len(one)
            for one in chance
        }
        assert net[frozenset(found.labels)] == pytest.approx(max(net.values()), abs=1e-9)


def test_certain_scores_do_not_overflow() -> None:
    """Logits grow without bound in a long training; probabilities must not become NaN."""
    scores = SetScores(torch.tensor([[900.0, 800.0, -900.0, 0.0]]), torch.tensor([[-900.0, 900.0, 0.0]]))
    found = Rows(scores).found("jaccard")[0]
    assert found.labels == (0, 1)
    assert found.probability == pytest.approx(1.0)
    assert np.isfinite(found.chances).all()


def test_the_prior_can_be_taken_out_of_the_scores() -> None:
    """Logit adjustment at decoding: the frequent label loses what its frequency gave it."""
    scores = SetScores(torch.tensor([[1.0, 0.9, -3.0]]), torch.tensor([[9.0, 0.0]]))
    prior = np.log([0.5, 0.05, 0.05])
    assert Rows(scores).found("jaccard")[0].labels == (0,)
    assert Rows(scores, tau=0.5, prior=prior).found("jaccard")[0].labels == (1,)
