"""A step that is not finite as it stands, and what a diagnosis of it rests on: rows tried, weights compared, words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from terakoya.config import TrainConfig
from terakoya.i18n import both, japanese

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


def largest(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest absolute value of each weight; not finite where one of its numbers is not."""
    tensors = [weight.detach() for weight in weights.values()]
    # Not the Euclidean norm, which overflows long before the numbers do.
    norms = torch._foreach_norm(tensors, ord=math.inf) if tensors else []
    return dict(zip(weights, (torch.stack([n.float() for n in norms]).tolist() if norms else []), strict=True))


def too_fast(scene: Scene, why: str) -> Cause:
    """What grew did so for want of a smaller learning rate."""
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


def broken(scene: Scene, name: str, why: str) -> Cause:
    """A weight that came so; where only some rows of a table are not finite, those rows."""
    weight = scene.weights[name].detach()
    if name in dict(tables(scene)):
        bad = (~torch.isfinite(weight)).any(dim=1).nonzero().flatten().tolist()
        if 0 < len(bad) <= len(weight) / 2:
            return broken_embedding(scene, name, bad, both("not finite", "有限でない"))
    return Cause(
        "broken weights",
        why,
        both(
            "Load the checkpoint again from its source; this one is damaged.",
            "元からチェックポイントを読み直すこと。これは壊れている。",
        ),
    )


def broken_embedding(scene: Scene, name: str, rows: Sequence[int], how: str) -> Cause:
    """Rows of a table, with the tokens they stand for, and the rows of the step that are not finite for them."""
    embeddings = {id(part.weight) for part in scene.module.modules() if isinstance(part, nn.Embedding)}
    tokens = id(scene.weights[name]) in embeddings
    told = [f"{row} ({scene.spelt(row)!r})" if tokens and scene.spelt(row) else str(row) for row in rows[:5]]
    more = both(f" and {len(rows) - 5} more", f"、他{len(rows) - 5}行") if len(rows) > 5 else ""
    bad = bad_rows(scene)
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


def tables(scene: Scene) -> Iterator[tuple[str, Tensor]]:
    """Weights that are looked up by row: embeddings, and places in a text."""
    looked_up = {id(part.weight) for part in scene.module.modules() if isinstance(part, nn.Embedding)}
    for name, weight in scene.weights.items():
        if weight.dim() == 2 and (id(weight) in looked_up or "places" in name or "position" in name):
            yield name, weight


def grown(scene: Scene, now: Mapping[str, float]) -> float:
    """How many times larger a weight has become, in the middle of all that began as something."""
    ratios = sorted(now[name] / began for name, began in scene.began.items() if 0 < began < math.inf and name in now)
    return ratios[len(ratios) // 2] if ratios else 1.0


def bad_rows(scene: Scene) -> tuple[str, ...]:
    """Names of the rows that are not finite by themselves; none where there are too many to try."""
    if len(scene.rows) > _ROWS_ASKED:
        return ()
    return tuple(name for place, name in enumerate(scene.rows) if not is_finite(scene, [place]))


def is_finite(scene: Scene, rows: Sequence[int], *, plain: bool = False) -> bool:
    """Whether loss and gradient of these rows are finite, by themselves."""
    with torch.enable_grad():
        loss = scene.ask(rows, plain)
        if not bool(torch.isfinite(loss)):
            return False
        slopes = torch.autograd.grad(loss, list(scene.weights.values()), allow_unused=True)
    norms = [slope.double().norm() for slope in slopes if slope is not None]
    return bool(torch.isfinite(torch.stack(norms).float().norm())) if norms else True
