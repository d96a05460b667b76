"""What is minimised: each loss a short function with its source, all in nats per target.

Every loss takes `Outputs` and gives a mean over the targets. Losses of different kinds have different scales and are
never compared; `plain` is the one that is logged beside all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.models.model import Outputs

Loss = Callable[[Outputs], Tensor]


def plain(outputs: Outputs) -> Tensor:
    """Cross entropy as it is: of the target token, or of every label's yes or no and of the set's size."""
    if outputs.sizes is None:
        return F.cross_entropy(outputs.logits, outputs.targets)
    labels = F.binary_cross_entropy_with_logits(outputs.logits, outputs.targets, reduction="none").sum(1).mean()
    count = outputs.targets.sum(1).long().clamp(1, outputs.sizes.shape[1]) - 1
    return labels + F.cross_entropy(outputs.sizes, count)


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
            "the prior of the labels is not known to this model",
            where="train.logit_adjustment",
            do="Set train.logit_adjustment = 0, or take a model that counts its labels.",
        )
    return Outputs(outputs.logits + tau * outputs.prior, outputs.targets, outputs.sizes, outputs.prior)


def loss_for(train: TrainConfig) -> Loss:
    """The loss a config names."""
    smoothing, gamma, tau = train.label_smoothing, train.focal_gamma, train.logit_adjustment
    if train.loss in ("auto", "cross-entropy"):
        # For a set the same name means the plain loss of a set; smoothing is for tokens.
        def base(outputs: Outputs) -> Tensor:
            return plain(outputs) if outputs.sizes is not None else cross_entropy(outputs, smoothing)
    elif train.loss == "focal":

        def base(outputs: Outputs) -> Tensor:
            return focal(outputs, gamma)
    else:
        raise ConfigError(f"the loss '{train.loss}' is not for this kind of model", where="train.loss")
    return (lambda outputs: base(adjusted(outputs, tau))) if tau else base
