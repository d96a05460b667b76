"""Why a value stopped being finite: the likely cause, found by trying and not by guessing.

The step is repeated on the spot, while nothing was updated or saved: with the rows one by one, with the plain loss,
in single precision; and the weights are compared with what they were when the training started. The first check that
finds something names the cause; `_CHECKS` is their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from terakoya.i18n import _
from terakoya.training.nonfinite.evidence import (
    Cause,
    NonFiniteEvidence,
    broken_embedding_cause,
    broken_weight_cause,
    learning_rate_cause,
    lookup_tables,
    loss_is_finite,
    max_abs,
    nonfinite_rows,
    weight_growth,
)

MAX_GROWTH = 10.0  # median factor since the first step; healthy trainings stay below 4
MAX_ROW_RATIO = 1e3  # length of a table's row over that of the median row
MAX_RMS = 1e4  # a weight that large on average never comes out of training


def diagnose(evidence: NonFiniteEvidence) -> Cause:
    """The likely cause, and what to do about it.

    evidence  of the step
    """
    return next(cause for check in _CHECKS if (cause := check(evidence)) is not None)


def _nonfinite_weights(evidence: NonFiniteEvidence) -> Cause | None:
    now = max_abs(evidence.weights)
    bad = [name for name, value in now.items() if not math.isfinite(value)]
    if not bad:
        return None
    first = bad[0]
    initially_bad = [name for name in bad if not math.isfinite(evidence.initial_max_abs.get(name, 0.0))]
    if initially_bad:
        name = initially_bad[0]
        return broken_weight_cause(
            evidence,
            name,
            _("the weight {name} was not finite when the training started", name=name),
        )
    if _weight_decay(evidence) is not None:
        return _weight_decay(evidence)
    count = sum(int((~torch.isfinite(evidence.weights[name])).sum()) for name in bad)
    if (
        count > 0.01 * sum(weight.numel() for weight in evidence.weights.values())
        or weight_growth(evidence, now) > MAX_GROWTH
    ):
        return learning_rate_cause(
            evidence,
            _("the update wrote {count:,} values that are not finite, the first in {first}", count=count, first=first),
        )
    return broken_weight_cause(
        evidence,
        first,
        _("the weight {first} is no longer finite, while all others are as they should be", first=first),
    )


def _empty_mask(evidence: NonFiniteEvidence) -> Cause | None:
    if evidence.targets:
        return None
    return Cause(
        "empty mask",
        _("no token of the step is a target: its mask leaves nothing, and a mean over nothing is NaN"),
        _("Look at the target tokens: terakoya doctor EXPERIMENT --show-tokens. Remove rows without a target."),
        tuple(evidence.rows),
    )


def _half_precision(evidence: NonFiniteEvidence) -> Cause | None:
    halves = [weight for weight in evidence.weights.values() if weight.dtype == torch.float16]
    if not halves:
        return None
    evidence.module.float()
    try:
        finite = loss_is_finite(evidence, range(len(evidence.rows)))
    finally:
        evidence.module.half()
    if not finite:
        return None
    return Cause(
        "half precision",
        _("the same step is finite in float32: a value went beyond 65,504, where float16 ends"),
        _("Set model.dtype = 'bfloat16' where the hardware has it, else 'float32'."),
    )


def _modified_loss(evidence: NonFiniteEvidence) -> Cause | None:
    if not loss_is_finite(evidence, range(len(evidence.rows)), plain=True):
        return None
    train = evidence.config
    named = [f"train.loss = '{train.loss}'"]
    if train.loss == "focal":
        named.append(f"train.focal_gamma = {train.focal_gamma:g}")
    if train.logit_adjustment:
        named.append(f"train.logit_adjustment = {train.logit_adjustment:g}")
    settings = ", ".join(named)
    slope = (
        _(" Below 1, its gradient is unbounded where the model is certain.")
        if train.focal_gamma < 1 and len(named) > 1
        else ""
    )
    return Cause(
        "loss",
        _(
            "the plain cross-entropy of the same step is finite; {settings} is not.{slope}",
            settings=settings,
            slope=slope,
        ),
        _("Set train.loss = 'cross-entropy', train.focal_gamma = 2 or train.logit_adjustment = 0."),
    )


def _weight_decay(evidence: NonFiniteEvidence) -> Cause | None:
    decay = float(evidence.config.weight_decay)
    if not (decay > 1 and evidence.learning_rate * decay > 2):
        return None  # with an ordinary decay it is the rate that is too high
    product = evidence.learning_rate * decay
    return Cause(
        "weight decay",
        _(
            "train.weight_decay = {decay:g} times the learning rate is {product:.3g}: above 2, every step makes every "
            "weight larger",
            decay=decay,
            product=product,
        ),
        _("Set train.weight_decay = 0.01."),
    )


def _learning_rate(evidence: NonFiniteEvidence) -> Cause | None:
    growth = weight_growth(evidence, max_abs(evidence.weights))
    if growth <= MAX_GROWTH:
        return None
    return learning_rate_cause(
        evidence,
        _("the weights are {growth:.3g} times as large as when the training started", growth=growth),
    )


def _embedding_outlier(evidence: NonFiniteEvidence) -> Cause | None:
    """A row of a token or position embedding far longer than the others."""
    for name, table in lookup_tables(evidence):
        lengths = table.detach().double().norm(dim=1)
        usual = float(lengths[lengths > 0].median()) if bool((lengths > 0).any()) else 0.0
        far = (lengths > MAX_ROW_RATIO * usual).nonzero().flatten().tolist() if usual else []
        if 0 < len(far) <= len(table) / 2:
            return broken_embedding_cause(evidence, name, far, _("far longer than all others"))
    return None


def _huge_weights(evidence: NonFiniteEvidence) -> Cause | None:
    for name, weight in evidence.weights.items():
        if float(weight.detach().double().square().mean().sqrt()) > MAX_RMS:
            return broken_weight_cause(
                evidence,
                name,
                _("the weight {name} is far too large, as it was when the training started", name=name),
            )
    return None


def _single_rows(evidence: NonFiniteEvidence) -> Cause | None:
    bad = nonfinite_rows(evidence)
    if not bad or len(bad) == len(evidence.rows):
        return None
    count, rows = len(bad), len(evidence.rows)
    return Cause(
        "bad row",
        _("{count} of {rows} rows are not finite by themselves, the others are", count=count, rows=rows),
        _("Look at the rows named: remove or correct them."),
        bad,
    )


def _exploding_gradients(evidence: NonFiniteEvidence) -> Cause | None:
    with torch.no_grad():
        loss = evidence.loss_of(range(len(evidence.rows)), False)
    if not bool(torch.isfinite(loss)):
        return None
    return Cause(
        "exploding gradients",
        _("the loss is finite and its gradient is not"),
        _("Lower train.learning_rate; at the first step, the weights were made for another scale."),
    )


def _exploding_activations(evidence: NonFiniteEvidence) -> Cause | None:
    return Cause(
        "exploding activations",
        _("the weights are finite and no larger than when the training started, but their outputs are not finite"),
        _("Set model.dtype = 'float32', and open the checkpoint with the library version that made it."),
    )


_CHECKS: tuple[Callable[[NonFiniteEvidence], Cause | None], ...] = (
    _nonfinite_weights, _empty_mask, _half_precision, _modified_loss, _weight_decay, _learning_rate, _embedding_outlier,
    _huge_weights, _single_rows, _exploding_gradients, _exploding_activations,
)  # fmt: skip
