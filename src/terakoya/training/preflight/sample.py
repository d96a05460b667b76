"""What all checks look at: the rows as they will be taught, and the worst batch among them."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.errors import DataError
from terakoya.models.protocol import Model, Pair
from terakoya.training.prepare import TrainingSetup, pair, refusals, sample_pairs

MOST = 20_000  # rows looked at
_DRAWN = 1000  # rows drawn to be looked at, where they come by rule


@dataclass(frozen=True)
class Look:
    """
    looked  number of rows that were looked at, of `rows` in all (drawn ones have no number: 0)
    bad     rows that the model refuses, with the refusal
    worst   one batch of the longest rows it takes: whatever breaks on length, or needs most room, does so on them
    dev_bad rows of dev that the model refuses
    """

    lesson: TrainingSetup
    model: Model
    looked: int
    rows: int
    bad: tuple[tuple[Pair, DataError], ...]
    worst: tuple[Pair, ...]
    dev_bad: tuple[tuple[Pair, DataError], ...] = ()


def look_at(lesson: TrainingSetup, model: Model) -> Look:
    pairs = sample_pairs(lesson.task, lesson.split, lesson.config.seed, count=_DRAWN)
    seen = pairs[:MOST]
    bad = list(refusals(model, seen))
    refused = {id(row) for row, _ in bad}
    sound = sorted((row for row in seen if id(row) not in refused), key=model.length)
    rows = 0 if lesson.task.draw is not None else len(pairs)
    worst = tuple(sound[-int(lesson.config.train.batch_size) :])
    dev = [pair(lesson.task, example) for example in lesson.split.dev[:MOST]]
    return Look(lesson, model, len(seen), rows, tuple(bad), worst, tuple(refusals(model, dev)))
