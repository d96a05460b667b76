"""What all checks look at: the rows as they will be taught, and the worst batch among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from terakoya.errors import DataError
from terakoya.models.model import Model, Pair
from terakoya.training.lesson import Lesson, sample_pairs

MOST = 20_000  # rows looked at
_DRAWN = 1000  # rows drawn to be looked at, where they come by rule
_AT_ONCE = 32


@dataclass(frozen=True)
class Look:
    """
    looked  number of rows that were looked at, of `rows` in all (drawn ones have no number: 0)
    bad     rows that the model refuses, with the refusal
    worst   one batch of the longest rows it takes: whatever breaks on length, or needs most room, does so on them
    """

    lesson: Lesson
    model: Model
    looked: int
    rows: int
    bad: tuple[tuple[Pair, DataError], ...]
    worst: tuple[Pair, ...]


def look_at(lesson: Lesson, model: Model) -> Look:
    pairs = sample_pairs(lesson.task, lesson.split, lesson.config.seed, count=_DRAWN)
    seen = pairs[:MOST]
    bad = list(_refused(model, seen))
    refused = {id(pair) for pair, _ in bad}
    sound = sorted((pair for pair in seen if id(pair) not in refused), key=model.length)
    rows = 0 if lesson.task.draw is not None else len(pairs)
    return Look(lesson, model, len(seen), rows, tuple(bad), tuple(sound[-int(lesson.config.train.batch_size) :]))


def _refused(model: Model, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, DataError]]:
    """Rows are collated many at a time; only where a batch is refused are its rows tried one by one."""
    for place in range(0, len(pairs), _AT_ONCE):
        batch = pairs[place : place + _AT_ONCE]
        try:
            model.collate(batch)
        except DataError:
            for pair in batch:
                try:
                    model.collate([pair])
                except DataError as error:
                    yield pair, error
