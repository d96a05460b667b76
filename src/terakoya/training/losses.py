"""What is minimised: each loss a short function with its source, all in nats per target.

Every loss takes `Outputs` and gives a mean: over target tokens for a sequence head, over rows for a set head, where it
sums the labels of a row and adds the cross-entropy of the set's size. Losses of different kinds have different scales
and are never compared; `plain` is the one that is logged beside all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.errors.third_party import broken_contract, check_call, load_plugin
from terakoya.i18n import _
from terakoya.models.protocol import Outputs
from terakoya.training import set_losses

Loss = Callable[[Outputs], Tensor]


def plain(outputs: Outputs) -> Tensor:
    """Unmodified cross-entropy: of the target tokens, or of every label and the set's size.

    outputs  of one forward pass
    """
    return cross_entropy(outputs)


def cross_entropy(outputs: Outputs, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with label smoothing (Szegedy et al., 2016, arXiv:1512.00567).

    outputs    of one forward pass
    smoothing  share of a target that is spread over all tokens, or moved towards even odds of a label
    """
    if outputs.sizes is None:
        return F.cross_entropy(outputs.logits, outputs.targets, label_smoothing=smoothing)
    return set_losses.binary_cross_entropy(outputs, smoothing)


def focal(outputs: Outputs, gamma: float = 2.0) -> Tensor:
    """Targets that are already likely count less: (1 - p)^gamma · -log p (Lin et al., 2017, arXiv:1708.02002).

    outputs  of one forward pass
    gamma    0 gives cross-entropy
    """
    losses = _target_losses(outputs)
    return _mean(outputs, (1 - torch.exp(-losses)) ** gamma * losses)


def adjust_logits(outputs: Outputs, tau: float) -> Outputs:
    """Logit adjustment: with tau · log prior added the model need not learn the prior (Menon et al., 2021,
    arXiv:2007.07314).

    outputs  of one forward pass, with the prior of tokens or labels
    tau      strength; 1 is the method's default
    Raises ConfigError where the model does not know the prior.
    """
    if outputs.prior is None:
        raise ConfigError(
            _("the prior of the labels is not known to this model"),
            where="train.logit_adjustment",
            do=_("Set train.logit_adjustment = 0, or choose a model that counts its labels."),
        )
    return replace(outputs, logits=outputs.logits + tau * outputs.prior)


def class_balanced(outputs: Outputs, beta: float = 0.999) -> Tensor:
    """Rare tokens or labels count more, by their effective number (Cui et al., 2019, arXiv:1901.05555).

    outputs  of one forward pass, with the counts of tokens or labels
    beta     0: all count the same; towards 1: inversely to their counts
    Weights are scaled so that the targets of the batch weigh 1 on average and the learning rate keeps its meaning.
    Raises ConfigError where the model does not count.
    """
    weights, losses = class_balance_weights(outputs, beta), _target_losses(outputs)
    if outputs.sizes is None:
        of_targets = weights[outputs.targets]
        return (of_targets * losses).sum() / of_targets.sum()
    present = (outputs.targets * weights).sum() / outputs.targets.sum().clamp(min=1.0)
    return _mean(outputs, losses * weights / present)


def class_balance_weights(outputs: Outputs, beta: float) -> Tensor:
    """The weight (1 - β) / (1 - β^n) of every token or label seen n times; one never seen weighs as one seen once.

    outputs  with counts (V,) of tokens or (L,) of labels
    beta     see `class_balanced`
    Raises ConfigError where the model does not count.
    """
    if outputs.counts is None:
        raise ConfigError(
            _("this model does not count its labels"),
            where="train.loss",
            do=_("Choose another loss than class-balanced, or a model with a set head."),
        )
    return (1 - beta) / (1 - beta ** outputs.counts.clamp(min=1.0))


def _target_losses(outputs: Outputs) -> Tensor:
    """Cross-entropy of every target token (N,), or of every label of every row (B, L)."""
    if outputs.sizes is None:
        return F.cross_entropy(outputs.logits, outputs.targets, reduction="none")
    return F.binary_cross_entropy_with_logits(outputs.logits, outputs.targets, reduction="none")


def _mean(outputs: Outputs, losses: Tensor) -> Tensor:
    return losses.mean() if outputs.sizes is None else set_losses.reduce(outputs, losses)


def _smoothed(outputs: Outputs, train: TrainConfig) -> Tensor:
    return cross_entropy(outputs, train.label_smoothing)


def _focal(outputs: Outputs, train: TrainConfig) -> Tensor:
    return focal(outputs, train.focal_gamma)


def _class_balanced(outputs: Outputs, train: TrainConfig) -> Tensor:
    return class_balanced(outputs, train.class_balance_beta)


def _order_invariant(outputs: Outputs, train: TrainConfig) -> Tensor:
    if outputs.sizes is None:
        name = train.loss
        raise ConfigError(
            _("the loss '{name}' is for sets, and this model writes its labels one after the other", name=name),
            where="train.loss",
            do=_("Set model.head = 'set', or train.label_order = 'shuffled' for a sequence."),
        )
    return set_losses.conditional_bernoulli(outputs)


# Name in a config → loss with the settings of the section `train`.
LOSSES: Mapping[str, Callable[[Outputs, TrainConfig], Tensor]] = MappingProxyType(
    {
        "cross-entropy": _smoothed,
        "focal": _focal,
        "class-balanced": _class_balanced,
        "order-invariant": _order_invariant,
    }
)


def loss_for(train: TrainConfig) -> Loss:
    """The loss that a config names: one of LOSSES, or of an entry point of the group "terakoya.losses".

    train  the `train` section
    Raises PluginError where an installed loss cannot be loaded or takes other arguments. The function returned raises
    ConfigError where the loss is for sets and the outputs are of a sequence head.
    """
    name = "cross-entropy" if train.loss == "auto" else train.loss
    built_in, tau = LOSSES.get(name), train.logit_adjustment
    base: Loss = (lambda outputs: built_in(outputs, train)) if built_in else _installed_loss(name)

    def loss(outputs: Outputs) -> Tensor:
        return base(adjust_logits(outputs, tau) if tau else outputs)

    return loss


def _installed_loss(name: str) -> Loss:
    """A loss of a third party; what it returns is checked at every step, which costs nothing beside a forward pass."""
    what, unknown = _("the loss '{name}'", name=name), _("there is no loss '{name}'", name=name)
    given = load_plugin("losses", name, own=LOSSES, unknown=unknown, where="train.loss")
    check_call(given, ("outputs",), what)

    def loss(outputs: Outputs) -> Tensor:
        value = given(outputs)
        if not isinstance(value, Tensor) or value.dim():
            shape = f"{type(value).__name__} {tuple(getattr(value, 'shape', ()))}"
            raise broken_contract(
                given, _("{what} must give a tensor of shape (), and gave {shape}", what=what, shape=shape)
            )
        if torch.is_grad_enabled() and outputs.logits.requires_grad and not value.requires_grad:
            raise broken_contract(given, _("{what} does not depend on the logits: nothing could be learned", what=what))
        return value

    return loss
