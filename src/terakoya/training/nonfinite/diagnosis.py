"""Why a value stopped being finite: the likely cause, found by trying and not by guessing.

The step is repeated on the spot, while nothing was updated or saved: with the rows one by one, with the plain loss,
in single precision; and the weights are compared with what they were when the training started. The first check that
finds something names the cause; `_CHECKS` is their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from terakoya.i18n import both, japanese
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
            both(
                f"the weight {name} was not finite when the training started",
                f"重み {name} は学習を始めたときから有限でない",
            ),
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
            both(
                f"the update wrote {count:,} values that are not finite, the first in {first}",
                f"更新が有限でない値を{count:,}個書き、その最初は {first} にある",
            ),
        )
    return broken_weight_cause(
        evidence,
        first,
        both(
            f"the weight {first} is no longer finite, while all others are as they should be",
            f"重み {first} が有限でなくなり、他はすべて正常である",
        ),
    )


def _empty_mask(evidence: NonFiniteEvidence) -> Cause | None:
    if evidence.targets:
        return None
    return Cause(
        "empty mask",
        both(
            "no token of the step is a target: its mask leaves nothing, and a mean over nothing is NaN",
            "このステップに学習対象のトークンがない：マスクが何も残さず、空の平均は NaN になる",
        ),
        both(
            "Look at the target tokens: terakoya doctor EXPERIMENT --show-tokens. Remove rows without a target.",
            "学習対象のトークンを見ること：terakoya doctor EXPERIMENT --show-tokens。正解のない行を取り除くこと。",
        ),
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
        both(
            "the same step is finite in float32: a value went beyond 65,504, where float16 ends",
            "同じステップが float32 では有限である：値が、float16 の終わりである 65,504 を超えた",
        ),
        both(
            "Set model.dtype = 'bfloat16' where the hardware has it, else 'float32'.",
            "ハードウェアが対応していれば model.dtype = 'bfloat16'、なければ 'float32' とすること。",
        ),
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
        both(
            " Below 1, its gradient is unbounded where the model is certain.",
            "1 未満では、モデルの確率が 1 に近い所で勾配に限りがない。",
        )
        if train.focal_gamma < 1 and len(named) > 1
        else ""
    )
    return Cause(
        "loss",
        both(
            f"the plain cross-entropy of the same step is finite; {settings} is not.{slope}",
            f"同じステップの交差エントロピーそのものは有限だが、{settings} では有限でない。{japanese(slope)}",
        ),
        both(
            "Set train.loss = 'cross-entropy', train.focal_gamma = 2 or train.logit_adjustment = 0.",
            "train.loss = 'cross-entropy'、train.focal_gamma = 2、train.logit_adjustment = 0 のいずれかとすること。",
        ),
    )


def _weight_decay(evidence: NonFiniteEvidence) -> Cause | None:
    decay = float(evidence.config.weight_decay)
    if not (decay > 1 and evidence.learning_rate * decay > 2):
        return None  # with an ordinary decay it is the rate that is too high
    product = evidence.learning_rate * decay
    return Cause(
        "weight decay",
        both(
            f"train.weight_decay = {decay:g} times the learning rate is {product:.3g}: above 2, every step makes every "
            "weight larger",
            f"train.weight_decay = {decay:g} と学習率の積が {product:.3g}"
            " である：2 を超えると、毎ステップすべての重みが大きくなる",
        ),
        both("Set train.weight_decay = 0.01.", "train.weight_decay = 0.01 とすること。"),
    )


def _learning_rate(evidence: NonFiniteEvidence) -> Cause | None:
    growth = weight_growth(evidence, max_abs(evidence.weights))
    if growth <= MAX_GROWTH:
        return None
    return learning_rate_cause(
        evidence,
        both(
            f"the weights are {growth:.3g} times as large as when the training started",
            f"重みが学習を始めたときの{growth:.3g}倍になっている",
        ),
    )


def _embedding_outlier(evidence: NonFiniteEvidence) -> Cause | None:
    """A row of a token or position embedding far longer than the others."""
    for name, table in lookup_tables(evidence):
        lengths = table.detach().double().norm(dim=1)
        usual = float(lengths[lengths > 0].median()) if bool((lengths > 0).any()) else 0.0
        far = (lengths > MAX_ROW_RATIO * usual).nonzero().flatten().tolist() if usual else []
        if 0 < len(far) <= len(table) / 2:
            return broken_embedding_cause(evidence, name, far, both("far longer than all others", "他よりはるかに長い"))
    return None


def _huge_weights(evidence: NonFiniteEvidence) -> Cause | None:
    for name, weight in evidence.weights.items():
        if float(weight.detach().double().square().mean().sqrt()) > MAX_RMS:
            return broken_weight_cause(
                evidence,
                name,
                both(
                    f"the weight {name} is far too large, as it was when the training started",
                    f"重み {name} は大きすぎ、学習を始めたときからそうである",
                ),
            )
    return None


def _single_rows(evidence: NonFiniteEvidence) -> Cause | None:
    bad = nonfinite_rows(evidence)
    if not bad or len(bad) == len(evidence.rows):
        return None
    count, rows = len(bad), len(evidence.rows)
    return Cause(
        "bad row",
        both(
            f"{count} of {rows} rows are not finite by themselves, the others are",
            f"{rows}行のうち{count}行が単独で有限でなく、他は有限である",
        ),
        both("Look at the rows named: remove or correct them.", "名前の挙がった行を見て、取り除くか直すこと。"),
        bad,
    )


def _exploding_gradients(evidence: NonFiniteEvidence) -> Cause | None:
    with torch.no_grad():
        loss = evidence.loss_of(range(len(evidence.rows)), False)
    if not bool(torch.isfinite(loss)):
        return None
    return Cause(
        "exploding gradients",
        both("the loss is finite and its gradient is not", "損失は有限だが、その勾配が有限でない"),
        both(
            "Lower train.learning_rate; at the first step, the weights were made for another scale.",
            "train.learning_rate を下げること。最初のステップであれば、重みは別の尺度で作られている。",
        ),
    )


def _exploding_activations(evidence: NonFiniteEvidence) -> Cause | None:
    return Cause(
        "exploding activations",
        both(
            "the weights are finite and no larger than when the training started, but their outputs are not finite",
            "重みは有限で、学習を始めたときより大きくないが、その出力が有限でない",
        ),
        both(
            "Set model.dtype = 'float32', and open the checkpoint with the library version that made it.",
            "model.dtype = 'float32' とし、チェックポイントを作った版のライブラリで開くこと。",
        ),
    )


_CHECKS: tuple[Callable[[NonFiniteEvidence], Cause | None], ...] = (
    _nonfinite_weights, _empty_mask, _half_precision, _modified_loss, _weight_decay, _learning_rate, _embedding_outlier,
    _huge_weights, _single_rows, _exploding_gradients, _exploding_activations,
)  # fmt: skip
