"""The rows of every step, as a pure function of the step number: whatever is resumed goes on with the same rows.

Rows of a pool (several batches) are sorted by length before they are cut into batches, so little filling is
computed; then the batches of a pool are shuffled, so that short rows do not come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.models.protocol import Pair

POOL = 16  # batches sorted together


class Batches(Protocol):
    """Where the rows of a step come from."""

    def at(self, step: int) -> Sequence[Pair]:
        """The rows of step number `step`, counted from 0. The same step gives the same rows, always."""
        ...


class Fixed:
    """A fixed set of rows, every one once in each epoch, in an order that seed and epoch decide.

    The last batch of an epoch may be smaller. `length` gives tokens of a pair; None keeps the shuffled order.
    """

    def __init__(
        self, pairs: Sequence[Pair], batch_size: int, seed: int, length: Callable[[Pair], int] | None = None
    ) -> None:
        if not pairs:
            raise DataError(
                both("there is nothing to train on", "学習する行がない"),
                do=both("Look at the split: its training side is empty.", "分割を見ること：学習の側が空である。"),
            )
        self.pairs, self.batch_size, self.seed, self.length = tuple(pairs), batch_size, seed, length
        self.per_epoch = -(-len(self.pairs) // batch_size)
        self._epoch = -1
        self._batches: list[list[Pair]] = []

    def at(self, step: int) -> Sequence[Pair]:
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            chance = Random(f"{self.seed}/epoch/{epoch}")
            rows = chance.sample(self.pairs, len(self.pairs))
            self._batches = _cut(rows, self.batch_size, self.length, chance)
            self._epoch = epoch
        return self._batches[place]


class Stream:
    """Rows drawn by rule without end: row r of step s is always `draw(Random(f"{seed}/{s}/{r}"), progress)`.

    progress  of the training at that step, 0 to 1, by which a curriculum may go (1 throughout: no curriculum)
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
        pool, place = divmod(step, POOL)
        if pool != self._pool:
            first = pool * POOL
            rows = [self._row(first + number, row) for number in range(POOL) for row in range(self.batch_size)]
            self._batches = _cut(rows, self.batch_size, self.length, Random(f"{self.seed}/pool/{pool}"))
            self._pool = pool
        return self._batches[place]

    def _row(self, step: int, row: int) -> Pair:
        progress = min(1.0, step / max(1, self.steps - 1)) if self.curriculum else 1.0
        return self.draw(Random(f"{self.seed}/{step}/{row}"), progress)


def _cut(rows: list[Pair], batch_size: int, length: Callable[[Pair], int] | None, chance: Random) -> list[list[Pair]]:
    batches: list[list[Pair]] = []
    whole = POOL * batch_size
    for start in range(0, len(rows), whole):
        pool = rows[start : start + whole]
        if length is not None:
            pool = sorted(pool, key=length)
        cut = [pool[place : place + batch_size] for place in range(0, len(pool), batch_size)]
        chance.shuffle(cut)
        batches += cut
    return batches
