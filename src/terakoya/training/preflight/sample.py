"""The rows that all checks look at, and the longest batch among them."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.errors import DataError
from terakoya.models.protocol import Model, Pair
from terakoya.training.prepare import TrainingSetup, pair_of, rejected_rows, sample_pairs

MAX_ROWS = 20_000  # examined
_SAMPLED_ROWS = 1000  # drawn to be examined, where the task samples its rows


@dataclass(frozen=True)
class RowSample:
    """Rows of a training before its first step.

    setup          task, split and resolved config
    model          the model to be trained
    examined       number of rows that were examined
    rows           number of rows in all; 0 where the task samples them
    rejected       rows that the model cannot take, with the reason
    longest_batch  one batch of the longest rows it takes: whatever breaks on length, or needs most memory, does so here
    dev_rejected   rows of dev that the model cannot take, with the reason
    """

    setup: TrainingSetup
    model: Model
    examined: int
    rows: int
    rejected: tuple[tuple[Pair, DataError], ...]
    longest_batch: tuple[Pair, ...]
    dev_rejected: tuple[tuple[Pair, DataError], ...] = ()


def take_sample(setup: TrainingSetup, model: Model) -> RowSample:
    """Examine the first 20,000 rows, or 1,000 sampled ones, and as many of dev.

    setup  task, split and resolved config
    model  collates them
    """
    pairs = sample_pairs(setup.task, setup.split, setup.config.seed, count=_SAMPLED_ROWS)
    examined = pairs[:MAX_ROWS]
    rejected = list(rejected_rows(model, examined))
    rejected_ids = {id(row) for row, _ in rejected}
    taken = sorted((row for row in examined if id(row) not in rejected_ids), key=model.length)
    rows = 0 if setup.task.draw is not None else len(pairs)
    longest = tuple(taken[-int(setup.config.train.batch_size) :])
    dev = [pair_of(setup.task, example) for example in setup.split.dev[:MAX_ROWS]]
    return RowSample(setup, model, len(examined), rows, tuple(rejected), longest, tuple(rejected_rows(model, dev)))
