"""Why a number stopped being finite: the likely cause, found by trying and not by guessing.

The step is repeated on the spot, while nothing was updated or saved: with the rows one by one, with the plain loss,
in single precision; and the weights are held against what they were when the training began. The first question
that is answered with yes names the cause; their order is that of `likely`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from terakoya.i18n import both, japanese
from terakoya.training.nonfinite.evidence import (
    Cause,
    Scene,
    bad_rows,
    broken,
    broken_embedding,
    grown,
    is_finite,
    largest,
    tables,
    too_fast,
)

GROWN = 10.0  # times as large as at the beginning (in the middle of all weights); healthy trainings stay below 4
FAR_ROW = 1e3  # a row of a table so many times as long as the usual one
HUGE = 1e4  # a weight that large on average never comes out of training


def likely(scene: Scene) -> Cause:
    """The likely cause, and what to do about it."""
    return next(cause for question in _QUESTIONS if (cause := question(scene)) is not None)


def _weights_not_finite(scene: Scene) -> Cause | None:
    now = largest(scene.weights)
    bad = [name for name, value in now.items() if not math.isfinite(value)]
    if not bad:
        return None
    came = [name for name in bad if not math.isfinite(scene.began.get(name, 0.0))]
    if came:
        return broken(
            scene,
            came[0],
            both(
                f"the weight {came[0]} was not finite when the training began",
                f"重み {came[0]} は学習を始めたときから有限でない",
            ),
        )
    if _decays_too_fast(scene) is not None:
        return _decays_too_fast(scene)
    spoilt = sum(int((~torch.isfinite(scene.weights[name])).sum()) for name in bad)
    if spoilt > 0.01 * sum(weight.numel() for weight in scene.weights.values()) or grown(scene, now) > GROWN:
        return too_fast(
            scene,
            both(
                f"the update wrote {spoilt:,} numbers that are not finite, the first in {bad[0]}",
                f"更新が有限でない数を{spoilt:,}個書き、その最初は {bad[0]} にある",
            ),
        )
    return broken(
        scene,
        bad[0],
        both(
            f"the weight {bad[0]} is no longer finite, while all others are as they should be",
            f"重み {bad[0]} が有限でなくなり、他はすべて正常である",
        ),
    )


def _nothing_to_learn(scene: Scene) -> Cause | None:
    if scene.targets:
        return None
    return Cause(
        "empty mask",
        both(
            "no token of the step is learnt: its mask leaves nothing, and a mean over nothing is no number",
            "このステップで学習するトークンがない：マスクが何も残さず、空の平均は数にならない",
        ),
        both(
            "Look at the learnt tokens: terakoya doctor EXPERIMENT --show-tokens. Remove rows without a target.",
            "学習するトークンを見ること：terakoya doctor EXPERIMENT --show-tokens。正解のない行を取り除くこと。",
        ),
        tuple(scene.rows),
    )


def _half(scene: Scene) -> Cause | None:
    halves = [weight for weight in scene.weights.values() if weight.dtype == torch.float16]
    if not halves:
        return None
    scene.module.float()
    try:
        finite = is_finite(scene, range(len(scene.rows)))
    finally:
        scene.module.half()
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


def _loss_itself(scene: Scene) -> Cause | None:
    if not is_finite(scene, range(len(scene.rows)), plain=True):
        return None
    how = scene.config
    named = [f"train.loss = '{how.loss}'"]
    if how.loss == "focal":
        named.append(f"train.focal_gamma = {how.focal_gamma:g}")
    if how.logit_adjustment:
        named.append(f"train.logit_adjustment = {how.logit_adjustment:g}")
    slope = (
        both(
            " Below 1, its slope has no end where the model is sure.",
            "1 未満では、モデルが確信する所で傾きに限りがない。",
        )
        if how.focal_gamma < 1 and len(named) > 1
        else ""
    )
    return Cause(
        "loss",
        both(
            f"the plain cross entropy of the same step is finite; {', '.join(named)} is not.{slope}",
            f"同じステップの交差エントロピーそのものは有限だが、{', '.join(named)} では有限でない。{japanese(slope)}",
        ),
        both(
            "Set train.loss = 'cross-entropy', train.focal_gamma = 2 or train.logit_adjustment = 0.",
            "train.loss = 'cross-entropy'、train.focal_gamma = 2、train.logit_adjustment = 0 のいずれかとすること。",
        ),
    )


def _decays_too_fast(scene: Scene) -> Cause | None:
    decay = float(scene.config.weight_decay)
    if not (decay > 1 and scene.learning_rate * decay > 2):
        return None  # with an ordinary decay it is the rate that is too high
    return Cause(
        "weight decay",
        both(
            f"train.weight_decay = {decay:g} times the learning rate is {scene.learning_rate * decay:.3g}: "
            "above 2, every "
            "step makes every weight larger",
            f"train.weight_decay = {decay:g} と学習率の積が {scene.learning_rate * decay:.3g}"
            " である：2 を超えると、毎ステップすべての重みが大きくなる",
        ),
        both("Set train.weight_decay = 0.01.", "train.weight_decay = 0.01 とすること。"),
    )


def _updates_too_long(scene: Scene) -> Cause | None:
    growth = grown(scene, largest(scene.weights))
    if growth <= GROWN:
        return None
    return too_fast(
        scene,
        both(
            f"the weights are {growth:.3g} times as large as when the training began",
            f"重みが学習を始めたときの{growth:.3g}倍になっている",
        ),
    )


def _table_row(scene: Scene) -> Cause | None:
    """A row of an embedding (or of places) far longer than the others."""
    for name, table in tables(scene):
        lengths = table.detach().double().norm(dim=1)
        usual = float(lengths[lengths > 0].median()) if bool((lengths > 0).any()) else 0.0
        far = (lengths > FAR_ROW * usual).nonzero().flatten().tolist() if usual else []
        if 0 < len(far) <= len(table) / 2:
            return broken_embedding(scene, name, far, both("far longer than all others", "他よりはるかに長い"))
    return None


def _weights_too_large(scene: Scene) -> Cause | None:
    for name, weight in scene.weights.items():
        if float(weight.detach().double().square().mean().sqrt()) > HUGE:
            return broken(
                scene,
                name,
                both(
                    f"the weight {name} is far too large, as it was when the training began",
                    f"重み {name} は大きすぎ、学習を始めたときからそうである",
                ),
            )
    return None


def _some_rows(scene: Scene) -> Cause | None:
    bad = bad_rows(scene)
    if not bad or len(bad) == len(scene.rows):
        return None
    return Cause(
        "bad row",
        both(
            f"{len(bad)} of {len(scene.rows)} rows are not finite by themselves, the others are",
            f"{len(scene.rows)}行のうち{len(bad)}行が単独で有限でなく、他は有限である",
        ),
        both("Look at the rows named: remove or mend them.", "名前の挙がった行を見て、取り除くか直すこと。"),
        bad,
    )


def _slope_only(scene: Scene) -> Cause | None:
    with torch.no_grad():
        loss = scene.ask(range(len(scene.rows)), False)
    if not bool(torch.isfinite(loss)):
        return None
    return Cause(
        "exploding gradients",
        both("the loss is finite and its gradient is not", "損失は有限だが、その勾配が有限でない"),
        both(
            "Lower train.learning_rate; where it is the first step, the weights were made for another scale.",
            "train.learning_rate を下げること。最初のステップであれば、重みは別の尺度で作られている。",
        ),
    )


def _at_a_loss(scene: Scene) -> Cause | None:
    return Cause(
        "exploding activations",
        both(
            "the weights are finite and no larger than when the training began, but what they give is not",
            "重みは有限で、学習を始めたときより大きくないが、その出力が有限でない",
        ),
        both(
            "Set model.dtype = 'float32', and open the checkpoint with the library version that made it.",
            "model.dtype = 'float32' とし、チェックポイントを作った版のライブラリで開くこと。",
        ),
    )


_QUESTIONS: tuple[Callable[[Scene], Cause | None], ...] = (
    _weights_not_finite, _nothing_to_learn, _half, _loss_itself, _decays_too_fast, _updates_too_long, _table_row,
    _weights_too_large, _some_rows, _slope_only, _at_a_loss,
)  # fmt: skip
