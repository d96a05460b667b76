"""Losses for sets: each is what its source says, and none depends on an order."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.models.protocol import Outputs
from terakoya.training import set_losses
from terakoya.training.losses import class_balanced, focal, loss_for, plain

COUNTS = torch.tensor([500.0, 20.0, 3.0, 1.0])


def _outputs(seed: int = 0) -> Outputs:
    rng = torch.Generator().manual_seed(seed)
    targets = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])
    prior = torch.log(COUNTS / 1000)
    return Outputs(torch.randn(2, 4, generator=rng), targets, torch.randn(2, 3, generator=rng), prior, COUNTS)


def test_the_set_likelihood_is_a_probability_over_all_sets() -> None:
    """Summed over every set of every size it is one; so nothing of it depends on an order."""
    outputs = _outputs()
    assert outputs.sizes is not None
    total = 0.0
    for size in (1, 2, 3):
        for members in combinations(range(4), size):
            target = torch.zeros(1, 4)
            target[0, list(members)] = 1.0
            one = Outputs(outputs.logits[:1], target, outputs.sizes[:1])
            total += math.exp(-float(set_losses.conditional_bernoulli(one)))
    assert total == pytest.approx(1.0, abs=1e-5)


def test_symmetric_polynomials_are_sums_over_subsets() -> None:
    """The fast way must give what the plain definition gives."""
    odds = torch.tensor([[0.5, 2.0, 3.0, 0.25, 1.5]])
    wanted = [sum(math.prod(one) for one in combinations(odds[0].tolist(), n)) for n in range(4)]
    assert set_losses.elementary_symmetric(odds, 3)[0].tolist() == pytest.approx(wanted)


def test_losses_without_their_modification_are_the_plain_one() -> None:
    """gamma = 0, no smoothing, equal counts: all are the same loss, so only the modification differs otherwise."""
    outputs = _outputs()
    whole = float(plain(outputs))
    assert float(focal(outputs, 0.0)) == pytest.approx(whole, rel=1e-5)
    assert float(set_losses.binary_cross_entropy(outputs, 0.0)) == pytest.approx(whole)
    assert float(class_balanced(replace(outputs, counts=torch.ones(4)))) == pytest.approx(whole, rel=1e-5)


def test_each_modification_does_what_its_source_says() -> None:
    """Focal loss discounts the certain, class balance weighs the rare, smoothing penalises the overconfident."""
    sure = Outputs(torch.tensor([[9.0, -9.0]]), torch.tensor([[1.0, 0.0]]), torch.zeros(1, 1))
    assert float(focal(sure, 2.0)) < float(plain(sure))
    assert float(set_losses.binary_cross_entropy(sure, 0.2)) > float(plain(sure))
    balanced = loss_for(TrainConfig(loss="class-balanced", class_balance_beta=0.99))
    missed = [Outputs(torch.zeros(2, 4), torch.eye(4)[[0, 3]], torch.zeros(2, 1), None, COUNTS)]
    logits = missed[0].logits.requires_grad_()
    balanced(missed[0]).backward()
    assert logits.grad is not None
    assert logits.grad[1, 3].abs() > logits.grad[0, 0].abs()


def test_logit_adjustment_moves_every_label_by_its_prior() -> None:
    """The loss is taken with the prior added, so that the scores need not learn it."""
    outputs = _outputs()
    adjusted = loss_for(TrainConfig(loss="cross-entropy", logit_adjustment=1.0))(outputs)
    assert outputs.prior is not None
    by_hand = Outputs(outputs.logits + outputs.prior, outputs.targets, outputs.sizes)
    assert float(adjusted) == pytest.approx(float(plain(by_hand)))


def test_a_loss_that_does_not_fit_the_head_is_refused() -> None:
    """An order-invariant loss of single tokens would silently be something else."""
    sequence = Outputs(torch.randn(3, 5), torch.tensor([0, 1, 2]))
    with pytest.raises(ConfigError):
        loss_for(TrainConfig(loss="order-invariant"))(sequence)
    with pytest.raises(ConfigError):
        loss_for(TrainConfig(loss="class-balanced"))(sequence)
