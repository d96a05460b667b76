"""A step that is not finite, and what its diagnosis rests on: rows tried one by one, weights compared with before."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from terakoya.config import TrainConfig
from terakoya.i18n import _

CauseKind = Literal[
    "broken weights", "broken embedding", "empty mask", "half precision", "loss", "weight decay",
    "learning rate", "bad row", "exploding gradients", "exploding activations",
]  # fmt: skip
KIND_NAMES: Mapping[CauseKind, str] = {
    "broken weights": _("broken weights"),
    "broken embedding": _("broken embedding"),
    "empty mask": _("empty mask"),
    "half precision": _("half precision"),
    "loss": _("loss"),
    "weight decay": _("weight decay"),
    "learning rate": _("learning rate"),
    "bad row": _("bad row"),
    "exploding gradients": _("exploding gradients"),
    "exploding activations": _("exploding activations"),
}

_MAX_ROWS_TRIED = 256  # one by one


@dataclass(frozen=True)
class Cause:
    """The likely cause of a value that is not finite.

    kind  what it is; users and tests know causes by these names
    why   what shows it
    do    what to do about it
    rows  those rows of the step that are not finite by themselves, where not all of them are
    """

    kind: CauseKind
    why: str
    do: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class NonFiniteEvidence:
    """A step that is not finite, before anything was updated or saved.

    module           the model
    weights          its trained weights, by name
    initial_max_abs  largest absolute value of every weight when the training started
    rows             the rows of the step, by name
    loss_of          loss_of(indices of rows, plain) gives their loss with its graph: the config's, or the plain one
    targets          number of targets that the loss is taken over
    config           the `train` section
    learning_rate    of the step
    token_text       the text of a token id, for embeddings whose rows are tokens
    """

    module: nn.Module
    weights: Mapping[str, nn.Parameter]
    initial_max_abs: Mapping[str, float]
    rows: Sequence[str]
    loss_of: Callable[[Sequence[int], bool], Tensor]
    targets: int
    config: TrainConfig
    learning_rate: float
    token_text: Callable[[int], str]


def max_abs(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest absolute value of each weight; not finite where one of its values is not.

    weights  by name
    """
    # Without values: a weight with fewer rows than there are processes to divide it among.
    tensors = {name: weight.detach() for name, weight in weights.items() if weight.numel()}
    # Not the Euclidean norm, which overflows long before the values do.
    norms = torch._foreach_norm(list(tensors.values()), ord=math.inf) if tensors else []
    found = dict(zip(tensors, (torch.stack([n.float() for n in norms]).tolist() if norms else []), strict=True))
    return {name: found.get(name, 0.0) for name in weights}


def learning_rate_cause(evidence: NonFiniteEvidence, why: str) -> Cause:
    """The learning rate is too high.

    evidence  of the step
    why       what shows it
    """
    learning_rate = evidence.learning_rate
    return Cause(
        "learning rate",
        _("{why}, with a learning rate of {learning_rate:.3g}", why=why, learning_rate=learning_rate),
        _("Lower train.learning_rate (a tenth of it at most); keep train.clip and a warm-up."),
    )


def broken_weight_cause(evidence: NonFiniteEvidence, name: str, why: str) -> Cause:
    """A weight was broken before the training started; in a table perhaps only some rows of it.

    evidence  of the step
    name      of the weight
    why       what shows it
    """
    weight = evidence.weights[name].detach()
    if name in dict(lookup_tables(evidence)):
        bad = (~torch.isfinite(weight)).any(dim=1).nonzero().flatten().tolist()
        if 0 < len(bad) <= len(weight) / 2:
            return broken_embedding_cause(evidence, name, bad, _("not finite"))
    return Cause(
        "broken weights",
        why,
        _("Load the checkpoint again from its source; this one is damaged."),
    )


def broken_embedding_cause(evidence: NonFiniteEvidence, name: str, rows: Sequence[int], fault: str) -> Cause:
    """Rows of a table are broken; named with their tokens, and with the rows of the step that use them.

    evidence  of the step
    name      of the table
    rows      indices of its broken rows
    fault     what is wrong with them
    """
    embeddings = {id(part.weight) for part in evidence.module.modules() if isinstance(part, nn.Embedding)}
    tokens = id(evidence.weights[name]) in embeddings
    shown = ", ".join(
        f"{row} ({evidence.token_text(row)!r})" if tokens and evidence.token_text(row) else str(row) for row in rows[:5]
    )
    count, left, size = len(rows), len(rows) - 5, len(evidence.weights[name])
    more = _(" and {left} more", left=left) if left > 0 else ""
    bad = nonfinite_rows(evidence)
    return Cause(
        "broken embedding",
        _(
            "{count} of the rows of {name} ({size:,}) {fault}: {shown}{more}",
            count=count,
            name=name,
            size=size,
            fault=fault,
            shown=shown,
            more=more,
        ),
        _("For new tokens set model.new_token_init = 'meaning'; else load the checkpoint again from its source."),
        bad if len(bad) < len(evidence.rows) else (),
    )


def lookup_tables(evidence: NonFiniteEvidence) -> Iterator[tuple[str, Tensor]]:
    """Name and value of the weights that are looked up by row: embeddings of tokens and of positions.

    evidence  of the step
    """
    embeddings = {id(part.weight) for part in evidence.module.modules() if isinstance(part, nn.Embedding)}
    for name, weight in evidence.weights.items():
        # "places": the position embeddings of built-in models, as their saved weights call them.
        if weight.dim() == 2 and (id(weight) in embeddings or "places" in name or "position" in name):
            yield name, weight


def weight_growth(evidence: NonFiniteEvidence, now: Mapping[str, float]) -> float:
    """The median factor by which the weights have grown, of those that were not zero.

    evidence  of the step
    now       `max_abs` of the weights as they are
    """
    ratios = sorted(
        now[name] / initial
        for name, initial in evidence.initial_max_abs.items()
        if 0 < initial < math.inf and name in now
    )
    return ratios[len(ratios) // 2] if ratios else 1.0


def nonfinite_rows(evidence: NonFiniteEvidence) -> tuple[str, ...]:
    """Names of the rows that are not finite by themselves; none where there are more than 256 to try.

    evidence  of the step
    """
    if len(evidence.rows) > _MAX_ROWS_TRIED:
        return ()
    return tuple(name for index, name in enumerate(evidence.rows) if not loss_is_finite(evidence, [index]))


def loss_is_finite(evidence: NonFiniteEvidence, rows: Sequence[int], *, plain: bool = False) -> bool:
    """Whether loss and gradient of some rows are finite.

    evidence  of the step
    rows      their indices
    plain     use the plain cross-entropy instead of the config's loss
    """
    with torch.enable_grad():
        loss = evidence.loss_of(rows, plain)
        if not bool(torch.isfinite(loss)):
            return False
        gradients = torch.autograd.grad(loss, list(evidence.weights.values()), allow_unused=True)
    norms = [gradient.double().norm() for gradient in gradients if gradient is not None]
    return bool(torch.isfinite(torch.stack(norms).float().norm())) if norms else True
