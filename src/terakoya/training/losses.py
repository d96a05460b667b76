"""What is minimised: each loss a short function with its source, all in nats per target.

Every loss takes `Outputs` and gives a mean over the targets. Losses of different kinds have different scales and are
never compared; `plain` is the one that is logged beside all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.models.protocol import Outputs
from terakoya.training import set_losses

Loss = Callable[[Outputs], Tensor]


def plain(outputs: Outputs) -> Tensor:
    """Cross entropy as it is: of the target token, or of every label's yes or no and of the set's size."""
    if outputs.sizes is None:
        return F.cross_entropy(outputs.logits, outputs.targets)
    return set_losses.independent(outputs)


def cross_entropy(outputs: Outputs, smoothing: float = 0.0) -> Tensor:
    """Label smoothing spreads a share of the target over all tokens (Szegedy et al., 2016, arXiv:1512.00567)."""
    return F.cross_entropy(outputs.logits, outputs.targets, label_smoothing=smoothing)


def focal(outputs: Outputs, gamma: float = 2.0) -> Tensor:
    """Targets that are already likely count less: (1 - p)^gamma · -log p (Lin et al., 2017, arXiv:1708.02002)."""
    losses = F.cross_entropy(outputs.logits, outputs.targets, reduction="none")
    return ((1 - torch.exp(-losses)) ** gamma * losses).mean()


def adjusted(outputs: Outputs, tau: float) -> Outputs:
    """Logits with tau · log prior added: the model need not learn the prior (Menon et al., 2021, arXiv:2007.07314)."""
    if outputs.prior is None:
        raise ConfigError(
            both("the prior of the labels is not known to this model", "このモデルはラベルの事前分布を知らない"),
            where="train.logit_adjustment",
            do=both(
                "Set train.logit_adjustment = 0, or take a model that counts its labels.",
                "train.logit_adjustment = 0 とするか、ラベルを数えるモデルを使うこと。",
            ),
        )
    return replace(outputs, logits=outputs.logits + tau * outputs.prior)


def class_balanced(outputs: Outputs, beta: float = 0.999) -> Tensor:
    """Rare tokens count more, by the effective number of sightings: (1 - β) / (1 - β^n) (Cui et al., 2019,
    arXiv:1901.05555), scaled to a mean of 1 over the batch."""
    losses = F.cross_entropy(outputs.logits, outputs.targets, reduction="none")
    weights = rarity(outputs, beta)[outputs.targets]
    return (weights * losses).sum() / weights.sum()


def rarity(outputs: Outputs, beta: float) -> Tensor:
    """The weight (1 - β) / (1 - β^n) of every token or label; one never seen weighs as much as one seen once."""
    if outputs.counts is None:
        raise ConfigError(
            both("this model does not count its labels", "このモデルはラベルを数えない"),
            where="train.loss",
            do=both(
                "Take another loss than class-balanced, or a model with a set head.",
                "class-balanced 以外の損失か、集合用ヘッドのモデルを使うこと。",
            ),
        )
    return (1 - beta) / (1 - beta ** outputs.counts.clamp(min=1.0))


def loss_for(train: TrainConfig) -> Loss:
    """The loss a config names."""
    smoothing, gamma, tau = train.label_smoothing, train.focal_gamma, train.logit_adjustment
    tokens: Mapping[str, Loss] = {
        "cross-entropy": lambda outputs: cross_entropy(outputs, smoothing),
        "focal": lambda outputs: focal(outputs, gamma),
        "class-balanced": lambda outputs: class_balanced(outputs, train.class_balance_beta),
    }
    labels: Mapping[str, Loss] = {
        "cross-entropy": lambda outputs: set_losses.independent(outputs, smoothing),
        "focal": lambda outputs: set_losses.focal(outputs, gamma),
        "class-balanced": lambda outputs: set_losses.class_balanced(outputs, rarity(outputs, train.class_balance_beta)),
        "order-invariant": set_losses.likelihood,
    }
    name = "cross-entropy" if train.loss == "auto" else train.loss

    def loss(outputs: Outputs) -> Tensor:
        known = tokens if outputs.sizes is None else labels
        if name not in known:
            raise ConfigError(
                both(
                    f"the loss '{name}' is for sets, and this model writes its answers one after the other",
                    f"損失 '{name}' は集合のためのもので、このモデルは答えを一つずつ書く",
                ),
                where="train.loss",
                do=both(
                    "Set model.head = 'set', or train.label_order = 'shuffled' for a sequence.",
                    "model.head = 'set' とするか、系列なら train.label_order = 'shuffled' とすること。",
                ),
            )
        return known[name](adjusted(outputs, tau) if tau else outputs)

    return loss
