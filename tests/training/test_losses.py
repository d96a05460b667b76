"""Losses against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.models.protocol import Outputs
from terakoya.training.losses import loss_for, plain


def _outputs(seed: int = 0) -> Outputs:
    rng = torch.Generator().manual_seed(seed)
    return Outputs(torch.randn(6, 5, generator=rng), torch.tensor([0, 1, 2, 3, 4, 0]))


def _probabilities(outputs: Outputs) -> torch.Tensor:
    return outputs.logits.softmax(-1)[torch.arange(6), outputs.targets]


def test_plain_is_the_mean_negative_log_likelihood_in_nats() -> None:
    assert plain(_outputs()).item() == pytest.approx(-_probabilities(_outputs()).log().mean().item(), rel=1e-6)


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary() -> None:
    """The first loss of a sound model is near this value."""
    assert plain(Outputs(torch.zeros(3, 7), torch.tensor([1, 2, 3]))).item() == pytest.approx(math.log(7))


def test_focal_with_gamma_0_is_cross_entropy_and_else_less() -> None:
    none = loss_for(TrainConfig(loss="focal", focal_gamma=0.0))(_outputs())
    assert none.item() == pytest.approx(plain(_outputs()).item(), rel=1e-6)
    two = loss_for(TrainConfig(loss="focal", focal_gamma=2.0))(_outputs())
    share = _probabilities(_outputs())
    assert two.item() == pytest.approx((-((1 - share) ** 2) * share.log()).mean().item(), rel=1e-5)


def test_smoothing_mixes_in_a_uniform_target() -> None:
    smooth = loss_for(TrainConfig(label_smoothing=0.2))(_outputs())
    uniform = -_outputs().logits.log_softmax(-1).mean()
    assert smooth.item() == pytest.approx(0.8 * plain(_outputs()).item() + 0.2 * uniform.item(), rel=1e-5)


def test_logit_adjustment_adds_the_prior_and_requires_it() -> None:
    outputs = _outputs()
    prior = torch.log(torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1]))
    adjusted = loss_for(TrainConfig(logit_adjustment=1.0))
    known = Outputs(outputs.logits, outputs.targets, prior=prior)
    assert adjusted(known).item() == pytest.approx(plain(Outputs(outputs.logits + prior, outputs.targets)).item())
    with pytest.raises(ConfigError, match="prior"):
        adjusted(outputs)


def test_the_plain_loss_of_a_set_is_labels_and_size() -> None:
    sets = Outputs(torch.zeros(2, 4), torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]]), sizes=torch.zeros(2, 3))
    assert plain(sets).item() == pytest.approx(4 * math.log(2) + math.log(3))
