"""What watches while a model is taught; on by default (train.guards).

A number that is not finite is the loop's own affair (numeric, diagnosis). Here is what shows in the course of the
loss, in the answers to dev, and on the machine. A guard says a thing once; level stop ends the training after dev was
asked and everything saved.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from terakoya.errors import DataError
from terakoya.models.protocol import Model
from terakoya.training.guards.collapse import Collapse
from terakoya.training.guards.dev_answers import OneAnswer, Unreadable
from terakoya.training.guards.loss_curve import Divergence, NoLearning
from terakoya.training.guards.resources import Disk, Memory
from terakoya.training.loop import Guard
from terakoya.training.preflight.resources import checkpoint_bytes
from terakoya.training.prepare import TrainingSetup, sample_pairs

__all__ = ["guards_for", "prior_entropy"]

_ROWS = 512  # rows whose tokens are counted


def guards_for(lesson: TrainingSetup, model: Model, folder: Path) -> list[Guard]:
    """The guards of one training; `folder` is where its checkpoints lie."""
    how = lesson.config.train
    steps = int(how.steps)
    one = checkpoint_bytes(model, how)
    guards: list[Guard] = [
        Divergence(
            math.log(max(2, model.card.vocabulary)) if model.head == "sequence" else 0.0, float(how.weight_decay)
        ),
        Unreadable(steps),
        OneAnswer(steps, _usual_answer(lesson)),
        Memory(one),
        Disk(folder, one),
    ]
    if getattr(lesson.task.codec, "labels", ()):
        guards.append(Collapse(how.on_collapse))
    prior = prior_entropy(lesson, model)
    return guards if prior is None else [NoLearning(prior, steps), *guards]


def prior_entropy(lesson: TrainingSetup, model: Model) -> float | None:
    """Nats per token that a model pays that knows only how frequent tokens are; None where it is not known."""
    if model.head != "sequence":
        return None
    pairs = sample_pairs(lesson.task, lesson.split, lesson.config.seed, count=_ROWS)[:_ROWS]
    try:
        targets = model.collate(pairs).tensors.get("targets")
    except DataError:
        return None  # the row is refused by name when its turn comes
    if targets is None:
        return None
    counts = Counter(targets.tolist())
    total = counts.total()
    return -sum(count / total * math.log(count / total) for count in counts.values())


def _usual_answer(lesson: TrainingSetup) -> float:
    """Share of the most frequent target on dev: so many equal answers are right."""
    targets = Counter(example.target for example in lesson.split.dev if example.part == "")
    return targets.most_common(1)[0][1] / targets.total() if targets else 0.0
