"""Why a number stopped being finite: the likely cause, found by trying and not by guessing.

The step is repeated on the spot, while nothing was updated or saved: with the rows one by one, with the plain loss,
in single precision; and the weights are held against what they were when the training began. The first question
that is answered with yes names the cause; their order is that of `likely`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from terakoya.config import TrainConfig
from terakoya.tongue import both, japanese

Kind = Literal[
    "broken weights", "broken embedding", "empty mask", "half precision", "loss", "weight decay",
    "learning rate", "bad row", "exploding gradients", "exploding activations",
]  # fmt: skip
KINDS_JA: Mapping[Kind, str] = {
    "broken weights": "壊れた重み",
    "broken embedding": "壊れた埋め込み",
    "empty mask": "空のマスク",
    "half precision": "半精度",
    "loss": "損失",
    "weight decay": "重み減衰",
    "learning rate": "学習率",
    "bad row": "壊れた行",
    "exploding gradients": "勾配の爆発",
    "exploding activations": "活性値の爆発",
}

GROWN = 10.0  # times as large as at the beginning (in the middle of all weights); healthy trainings stay below 4
FAR_ROW = 1e3  # a row of a table so many times as long as the usual one
HUGE = 1e4  # a weight that large on average never comes out of training
_ROWS_ASKED = 256  # rows tried one by one


@dataclass(frozen=True)
class Cause:
    """`rows` are those of the step that are not finite by themselves, where not all of them are."""

    kind: Kind
    why: str
    do: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A step that is not finite, as it stands.

    began      largest absolute value of every weight when the training began
    rows       the rows of the step, by name; `ask(rows, plain)` gives their loss, with its graph
    spelt      the text of token number i, for embeddings whose rows are tokens
    """

    module: nn.Module
    weights: Mapping[str, nn.Parameter]
    began: Mapping[str, float]
    rows: Sequence[str]
    ask: Callable[[Sequence[int], bool], Tensor]
    targets: int
    config: TrainConfig
    learning_rate: float
    spelt: Callable[[int], str]


def likely(scene: Scene) -> Cause:
    """The likely cause, and what to do about it."""
    return next(cause for question in _QUESTIONS if (cause := question(scene)) is not None)


def largest(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest absolute value of each weight; not finite where one of its numbers is not."""
    tensors = [weight.detach() for weight in weights.values()]
    # Not the Euclidean norm, which overflows long before the numbers do.
    norms = torch._foreach_norm(tensors, ord=math.inf) if tensors else []
    return dict(zip(weights, (torch.stack([n.float() for n in norms]).tolist() if norms else []), strict=True))


# ── the questions, in the order in which they are asked ─────────────────────────────────────────────


def _weights_not_finite(scene: Scene) -> Cause | None:
    now = largest(scene.weights)
    bad = [name for name, value in now.items() if not math.isfinite(value)]
    if not bad:
        return None
    came = [name for name in bad if not math.isfinite(scene.began.get(name, 0.0))]
    if came:
        return _broken(
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
    if spoilt > 0.01 * sum(weight.numel() for weight in scene.weights.values()) or _growth(scene, now) > GROWN:
        return _rate(
            scene,
            both(
                f"the update wrote {spoilt:,} numbers that are not finite, the first in {bad[0]}",
                f"更新が有限でない数を{spoilt:,}個書き、その最初は {bad[0]} にある",
            ),
        )
    return _broken(
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
        finite = _finite(scene, range(len(scene.rows)))
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
    if not _finite(scene, range(len(scene.rows)), plain=True):
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
    growth = _growth(scene, largest(scene.weights))
    if growth <= GROWN:
        return None
    return _rate(
        scene,
        both(
            f"the weights are {growth:.3g} times as large as when the training began",
            f"重みが学習を始めたときの{growth:.3g}倍になっている",
        ),
    )


def _table_row(scene: Scene) -> Cause | None:
    """A row of an embedding (or of places) far longer than the others."""
    for name, table in _tables(scene):
        lengths = table.detach().double().norm(dim=1)
        usual = float(lengths[lengths > 0].median()) if bool((lengths > 0).any()) else 0.0
        far = (lengths > FAR_ROW * usual).nonzero().flatten().tolist() if usual else []
        if 0 < len(far) <= len(table) / 2:
            return _embedding(scene, name, far, both("far longer than all others", "他よりはるかに長い"))
    return None


def _weights_too_large(scene: Scene) -> Cause | None:
    for name, weight in scene.weights.items():
        if float(weight.detach().double().square().mean().sqrt()) > HUGE:
            return _broken(
                scene,
                name,
                both(
                    f"the weight {name} is far too large, as it was when the training began",
                    f"重み {name} は大きすぎ、学習を始めたときからそうである",
                ),
            )
    return None


def _some_rows(scene: Scene) -> Cause | None:
    bad = _bad_rows(scene)
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


# ── what the answers rest on ────────────────────────────────────────────────────────────────────────


def _rate(scene: Scene, why: str) -> Cause:
    return Cause(
        "learning rate",
        both(
            f"{why}, with a learning rate of {scene.learning_rate:.3g}",
            f"{japanese(why)}（学習率 {scene.learning_rate:.3g}）",
        ),
        both(
            "Lower train.learning_rate (a tenth of it at most); keep train.clip and a warm-up.",
            "train.learning_rate を（十分の一以下に）下げ、train.clip とウォームアップを保つこと。",
        ),
    )


def _broken(scene: Scene, name: str, why: str) -> Cause:
    weight = scene.weights[name].detach()
    if name in dict(_tables(scene)):
        bad = (~torch.isfinite(weight)).any(dim=1).nonzero().flatten().tolist()
        if 0 < len(bad) <= len(weight) / 2:
            return _embedding(scene, name, bad, both("not finite", "有限でない"))
    return Cause(
        "broken weights",
        why,
        both(
            "Load the checkpoint again from its source; this one is damaged.",
            "元からチェックポイントを読み直すこと。これは壊れている。",
        ),
    )


def _embedding(scene: Scene, name: str, rows: Sequence[int], how: str) -> Cause:
    embeddings = {id(part.weight) for part in scene.module.modules() if isinstance(part, nn.Embedding)}
    tokens = id(scene.weights[name]) in embeddings
    told = [f"{row} ({scene.spelt(row)!r})" if tokens and scene.spelt(row) else str(row) for row in rows[:5]]
    more = both(f" and {len(rows) - 5} more", f"、他{len(rows) - 5}行") if len(rows) > 5 else ""
    bad = _bad_rows(scene)
    return Cause(
        "broken embedding",
        both(
            f"{len(rows)} of the rows of {name} ({len(scene.weights[name]):,}) {how}: {', '.join(told)}{more}",
            f"{name} の{len(scene.weights[name]):,}行のうち{len(rows)}行が{japanese(how)}："
            f"{', '.join(told)}{japanese(more)}",
        ),
        both(
            "For new tokens set model.new_token_init = 'meaning'; else load the checkpoint again from its source.",
            "新しいトークンには model.new_token_init = 'meaning' とし、"
            "そうでなければ元からチェックポイントを読み直すこと。",
        ),
        bad if len(bad) < len(scene.rows) else (),
    )


def _tables(scene: Scene) -> Iterator[tuple[str, Tensor]]:
    """Weights that are looked up by row: embeddings, and places in a text."""
    looked_up = {id(part.weight) for part in scene.module.modules() if isinstance(part, nn.Embedding)}
    for name, weight in scene.weights.items():
        if weight.dim() == 2 and (id(weight) in looked_up or "places" in name or "position" in name):
            yield name, weight


def _growth(scene: Scene, now: Mapping[str, float]) -> float:
    """How many times larger a weight has become, in the middle of all that began as something."""
    ratios = sorted(now[name] / began for name, began in scene.began.items() if 0 < began < math.inf and name in now)
    return ratios[len(ratios) // 2] if ratios else 1.0


def _bad_rows(scene: Scene) -> tuple[str, ...]:
    if len(scene.rows) > _ROWS_ASKED:
        return ()
    return tuple(name for place, name in enumerate(scene.rows) if not _finite(scene, [place]))


def _finite(scene: Scene, rows: Sequence[int], *, plain: bool = False) -> bool:
    """Whether loss and gradient of these rows are finite, by themselves."""
    with torch.enable_grad():
        loss = scene.ask(rows, plain)
        if not bool(torch.isfinite(loss)):
            return False
        slopes = torch.autograd.grad(loss, list(scene.weights.values()), allow_unused=True)
    norms = [slope.double().norm() for slope in slopes if slope is not None]
    return bool(torch.isfinite(torch.stack(norms).float().norm())) if norms else True
