"""The rows of every step, as a pure function of the step number: a resumed training continues with the same rows.

Rows of a pool (several batches) are sorted by length before they are cut into batches, so little padding is computed;
then the batches of a pool are shuffled, so that short rows do not come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.models.protocol import Pair

POOL = 16  # batches sorted together


class Batches(Protocol):
    """Where the rows of a step come from."""

    def at(self, step: int) -> Sequence[Pair]:
        """The rows of step number `step`, counted from 0. The same step gives the same rows, always."""
        ...


class EpochBatches:
    """A fixed set of rows, every one once in each epoch, in an order that seed and epoch decide.

    pairs       the rows
    batch_size  rows of a batch; the last one of an epoch may be smaller
    seed        of the order
    length      gives the tokens of a row, to batch rows of similar length; None keeps the shuffled order
    Raises DataError without rows.
    """

    def __init__(
        self, pairs: Sequence[Pair], batch_size: int, seed: int, length: Callable[[Pair], int] | None = None
    ) -> None:
        if not pairs:
            raise DataError(
                _("there is nothing to train on"),
                do=_("Look at the split: its training split is empty."),
            )
        self.pairs, self.batch_size, self.seed, self.length = tuple(pairs), batch_size, seed, length
        self.per_epoch = -(-len(self.pairs) // batch_size)
        self._epoch = -1
        self._batches: list[list[Pair]] = []

    def at(self, step: int) -> Sequence[Pair]:
        """The rows of step number `step`, counted from 0."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            rng = Random(f"{self.seed}/epoch/{epoch}")
            rows = rng.sample(self.pairs, len(self.pairs))
            self._batches = _cut_batches(rows, self.batch_size, self.length, rng)
            self._epoch = epoch
        return self._batches[index]


class StreamBatches:
    """Rows sampled by a task without end: row r of step s is always `draw(Random(f"{seed}/{s}/{r}"), progress)`.

    draw        gives a row from a random generator and the progress of the training, 0 to 1
    batch_size  rows of a batch
    seed        of all rows
    steps       of the whole training, by which progress is measured
    length      gives the tokens of a row, to batch rows of similar length; None keeps the order
    curriculum  whether `draw` sees the progress; False: always 1
    """

    def __init__(
        self,
        draw: Callable[[Random, float], Pair],
        batch_size: int,
        seed: int,
        steps: int,
        length: Callable[[Pair], int] | None = None,
        curriculum: bool = True,
    ) -> None:
        self.draw, self.batch_size, self.seed, self.steps = draw, batch_size, seed, steps
        self.length, self.curriculum = length, curriculum
        self._pool = -1
        self._batches: list[list[Pair]] = []

    def at(self, step: int) -> Sequence[Pair]:
        """The rows of step number `step`, counted from 0."""
        pool, index = divmod(step, POOL)
        if pool != self._pool:
            first = pool * POOL
            rows = [self._row(first + number, row) for number in range(POOL) for row in range(self.batch_size)]
            self._batches = _cut_batches(rows, self.batch_size, self.length, Random(f"{self.seed}/pool/{pool}"))
            self._pool = pool
        return self._batches[index]

    def _row(self, step: int, row: int) -> Pair:
        progress = min(1.0, step / max(1, self.steps - 1)) if self.curriculum else 1.0
        return self.draw(Random(f"{self.seed}/{step}/{row}"), progress)


def _cut_batches(
    rows: list[Pair], batch_size: int, length: Callable[[Pair], int] | None, rng: Random
) -> list[list[Pair]]:
    batches: list[list[Pair]] = []
    pool_size = POOL * batch_size
    for start in range(0, len(rows), pool_size):
        pool = rows[start : start + pool_size]
        if length is not None:
            pool = sorted(pool, key=length)
        cut = [pool[index : index + batch_size] for index in range(0, len(pool), batch_size)]
        rng.shuffle(cut)
        batches += cut
    return batches
