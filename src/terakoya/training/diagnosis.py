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

Kind = Literal[
    "broken weights", "broken embedding", "empty mask", "half precision", "loss", "weight decay",
    "learning rate", "bad row", "exploding gradients", "exploding activations",
]  # fmt: skip

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
        return _broken(scene, came[0], f"the weight {came[0]} was not finite when the training began")
    if _decays_too_fast(scene) is not None:
        return _decays_too_fast(scene)
    spoilt = sum(int((~torch.isfinite(scene.weights[name])).sum()) for name in bad)
    if spoilt > 0.01 * sum(weight.numel() for weight in scene.weights.values()) or _growth(scene, now) > GROWN:
        return _rate(scene, f"the update wrote {spoilt:,} numbers that are not finite, the first in {bad[0]}")
    return _broken(scene, bad[0], f"the weight {bad[0]} is no longer finite, while all others are as they should be")


def _nothing_to_learn(scene: Scene) -> Cause | None:
    if scene.targets:
        return None
    return Cause(
        "empty mask",
        "no token of the step is learnt: its mask leaves nothing, and a mean over nothing is no number",
        "Look at the learnt tokens: terakoya doctor EXPERIMENT --show-tokens. Remove rows without a target.",
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
        "the same step is finite in float32: a value went beyond 65,504, where float16 ends",
        "Set model.dtype = 'bfloat16' where the hardware has it, else 'float32'.",
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
    slope = " Below 1, its slope has no end where the model is sure." if how.focal_gamma < 1 and len(named) > 1 else ""
    return Cause(
        "loss",
        f"the plain cross entropy of the same step is finite; {', '.join(named)} is not.{slope}",
        "Set train.loss = 'cross-entropy', train.focal_gamma = 2 or train.logit_adjustment = 0.",
    )


def _decays_too_fast(scene: Scene) -> Cause | None:
    decay = float(scene.config.weight_decay)
    if not (decay > 1 and scene.learning_rate * decay > 2):
        return None  # with an ordinary decay it is the rate that is too high
    return Cause(
        "weight decay",
        f"train.weight_decay = {decay:g} times the learning rate is {scene.learning_rate * decay:.3g}: above 2, every "
        "step makes every weight larger",
        "Set train.weight_decay = 0.01.",
    )


def _updates_too_long(scene: Scene) -> Cause | None:
    growth = _growth(scene, largest(scene.weights))
    if growth <= GROWN:
        return None
    return _rate(scene, f"the weights are {growth:.3g} times as large as when the training began")


def _table_row(scene: Scene) -> Cause | None:
    """A row of an embedding (or of places) far longer than the others."""
    for name, table in _tables(scene):
        lengths = table.detach().double().norm(dim=1)
        usual = float(lengths[lengths > 0].median()) if bool((lengths > 0).any()) else 0.0
        far = (lengths > FAR_ROW * usual).nonzero().flatten().tolist() if usual else []
        if 0 < len(far) <= len(table) / 2:
            return _embedding(scene, name, far, "far longer than all others")
    return None


def _weights_too_large(scene: Scene) -> Cause | None:
    for name, weight in scene.weights.items():
        if float(weight.detach().double().square().mean().sqrt()) > HUGE:
            return _broken(scene, name, f"the weight {name} is far too large, as it was when the training began")
    return None


def _some_rows(scene: Scene) -> Cause | None:
    bad = _bad_rows(scene)
    if not bad or len(bad) == len(scene.rows):
        return None
    return Cause(
        "bad row",
        f"{len(bad)} of {len(scene.rows)} rows are not finite by themselves, the others are",
        "Look at the rows named: remove or mend them.",
        bad,
    )


def _slope_only(scene: Scene) -> Cause | None:
    with torch.no_grad():
        loss = scene.ask(range(len(scene.rows)), False)
    if not bool(torch.isfinite(loss)):
        return None
    return Cause(
        "exploding gradients",
        "the loss is finite and its gradient is not",
        "Lower train.learning_rate; where it is the first step, the weights were made for another scale.",
    )


def _at_a_loss(scene: Scene) -> Cause | None:
    return Cause(
        "exploding activations",
        "the weights are finite and no larger than when the training began, but what they give is not",
        "Set model.dtype = 'float32', and open the checkpoint with the library version that made it.",
    )


_QUESTIONS: tuple[Callable[[Scene], Cause | None], ...] = (
    _weights_not_finite, _nothing_to_learn, _half, _loss_itself, _decays_too_fast, _updates_too_long, _table_row,
    _weights_too_large, _some_rows, _slope_only, _at_a_loss,
)  # fmt: skip


# ── what the answers rest on ────────────────────────────────────────────────────────────────────────


def _rate(scene: Scene, why: str) -> Cause:
    return Cause(
        "learning rate",
        f"{why}, with a learning rate of {scene.learning_rate:.3g}",
        "Lower train.learning_rate (a tenth of it at most); keep train.clip and a warm-up.",
    )


def _broken(scene: Scene, name: str, why: str) -> Cause:
    weight = scene.weights[name].detach()
    if name in dict(_tables(scene)):
        bad = (~torch.isfinite(weight)).any(dim=1).nonzero().flatten().tolist()
        if 0 < len(bad) <= len(weight) / 2:
            return _embedding(scene, name, bad, "not finite")
    return Cause("broken weights", why, "Load the checkpoint again from its source; this one is damaged.")


def _embedding(scene: Scene, name: str, rows: Sequence[int], how: str) -> Cause:
    embeddings = {id(part.weight) for part in scene.module.modules() if isinstance(part, nn.Embedding)}
    tokens = id(scene.weights[name]) in embeddings
    told = [f"{row} ({scene.spelt(row)!r})" if tokens and scene.spelt(row) else str(row) for row in rows[:5]]
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    bad = _bad_rows(scene)
    return Cause(
        "broken embedding",
        f"{len(rows)} of the rows of {name} ({len(scene.weights[name]):,}) {how}: {', '.join(told)}{more}",
        "For new tokens set model.new_token_init = 'meaning'; else load the checkpoint again from its source.",
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
