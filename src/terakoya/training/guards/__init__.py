"""What watches a training; on by default (train.guards).

A value that is not finite is the loop's own affair (nonfinite). Here is what shows in the loss curve, in the
predictions on dev, and on the machine. A guard reports a thing once; level stop ends the training after dev was
evaluated and everything saved.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from terakoya.errors import DataError
from terakoya.models.protocol import Model
from terakoya.training.dev_evaluation import dev_pairs, nonfinite_rows
from terakoya.training.guards.collapse import CollapseGuard
from terakoya.training.guards.dev_loss import DevLossGuard
from terakoya.training.guards.dev_predictions import ConstantPredictionGuard, UnreadableGuard
from terakoya.training.guards.loss_curve import DivergenceGuard, NoLearningGuard
from terakoya.training.guards.resources import DiskGuard, MemoryGuard
from terakoya.training.loop import Guard
from terakoya.training.preflight.resources import checkpoint_bytes
from terakoya.training.prepare import TrainingSetup, sample_pairs

__all__ = ["guards_for", "prior_entropy"]

_PRIOR_ROWS = 512  # rows whose tokens are counted


def guards_for(setup: TrainingSetup, model: Model, folder: Path) -> list[Guard]:
    """The guards of one training.

    setup   task, split and resolved config
    model   the model to be trained
    folder  where its checkpoints lie; its disk is watched
    """
    train = setup.config.train
    steps = int(train.steps)
    checkpoint = checkpoint_bytes(model, train)
    guards: list[Guard] = [
        DivergenceGuard(
            math.log(max(2, model.info.vocabulary)) if model.head == "sequence" else 0.0, float(train.weight_decay)
        ),
        DevLossGuard(
            lambda: nonfinite_rows(model, dev_pairs(setup, model)),
            lambda: next(model.module.parameters()).dtype,
            averaged=bool(float(train.average)),
        ),
        UnreadableGuard(steps),
        ConstantPredictionGuard(steps, _majority_share(setup)),
        MemoryGuard(checkpoint),
        DiskGuard(folder, checkpoint),
    ]
    if getattr(setup.task.codec, "labels", ()):
        guards.append(CollapseGuard(train.on_collapse))
    prior = prior_entropy(setup, model)
    return guards if prior is None else [NoLearningGuard(prior, steps), *guards]


def prior_entropy(setup: TrainingSetup, model: Model) -> float | None:
    """Loss of a model that knows only how frequent each token is: the entropy of the target tokens.

    setup  task, split and resolved config
    model  collates the rows, of which the first 512 are counted
    Returns nats per token; None for set heads and where the rows cannot be collated.
    """
    if model.head != "sequence":
        return None
    pairs = sample_pairs(setup.task, setup.split, setup.config.seed, count=_PRIOR_ROWS)[:_PRIOR_ROWS]
    try:
        targets = model.collate(pairs).tensors.get("targets")
    except DataError:
        return None  # the training will refuse the row by name
    if targets is None:
        return None
    counts = Counter(targets.tolist())
    total = counts.total()
    return -sum(count / total * math.log(count / total) for count in counts.values())


def _majority_share(setup: TrainingSetup) -> float:
    """Share of the most frequent target on dev: so many equal predictions are right."""
    targets = Counter(example.target for example in setup.split.dev if example.subset == "")
    return targets.most_common(1)[0][1] / targets.total() if targets else 0.0
