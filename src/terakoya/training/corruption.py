"""Rows that a model is trained to reject: sources with one character dropped, doubled, exchanged, added or replaced.

A model that was only ever shown well-formed sources predicts for an ill-formed one as surely as for any other. Showing
it such sources during training, with an output of their own, is outlier exposure (Hendrycks, Mazeika and Dietterich
2019); the output is empty, so that the end token as the first one says "rejected".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from terakoya.codec.text import fold_source
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.models.protocol import Pair
from terakoya.records import Split
from terakoya.task import Task
from terakoya.training.batches import Batches

_WAYS = 5
_TRIES = 8  # positions at which one kind of change is tried


def corrupt(source: str, rng: Random, characters: Sequence[str], way: int) -> str:
    """The source with one change; it may come out unchanged, where two equal neighbours are exchanged.

    source      at least one character
    rng         chooses the place
    characters  of which one is added or put in the place of another
    way         0: one is dropped, 1: doubled, 2: exchanged with the next, 3: another is added, 4: replaced by another
    """
    at = rng.randrange(len(source))
    if way == 0:
        return source[:at] + source[at + 1 :]
    if way == 1:
        return source[: at + 1] + source[at:]
    if way == 2:  # two neighbours exchanged
        return source[:at] + source[at + 1 : at + 2] + source[at : at + 1] + source[at + 2 :]
    other = rng.choice(characters)
    return source[:at] + other + source[at if way == 3 else at + 1 :]


class RejectedRows:
    """Batches in which a share of the rows is corrupted and has an empty target. A pure function of the step number.

    batches  the rows of every step
    task     its `rule`, where it has one, says which corrupted sources are well-formed after all: these are left out
    split    no source of it is ever rejected, in whatever spelling
    share    of the rows, 0 to 1
    seed     of what is corrupted, and how
    """

    def __init__(self, batches: Batches, task: Task, split: Split, share: float, seed: int) -> None:
        self.batches, self.share, self.seed = batches, share, seed
        self._is_well_formed = _well_formed(task, split)

    def at(self, step: int) -> Sequence[Pair]:
        """The rows of step number `step`, counted from 0. Raises DataError for a row with an empty target."""
        rows = self.batches.at(step)
        characters = sorted({char for row in rows for char in row.query.source})
        return [self._row(row, Random(f"{self.seed}/reject/{step}/{at}"), characters) for at, row in enumerate(rows)]

    def _row(self, row: Pair, rng: Random, characters: Sequence[str]) -> Pair:
        source = row.query.source
        if not row.target:
            raise DataError(
                _("an empty target cannot be distinguished from the output for a rejected source"),
                where=row.key,
                do=_("Leave decode.reject off, or give the row a target."),
            )
        if not source or rng.random() >= self.share:
            return row
        # Exchanged neighbours are often equal, or give a well-formed source: drawn once, that kind was the rarest in
        # training and the most often overlooked.
        way = rng.randrange(_WAYS)
        for _attempt in range(_TRIES):
            changed = corrupt(source, rng, characters, way)
            if changed and changed != source and not self._is_well_formed(changed):
                return Pair(replace(row.query, source=changed), "", row.key)
        return row


def _well_formed(task: Task, split: Split) -> Callable[[str], bool]:
    known = {fold_source(example.source) for part in (split.train, split.dev, split.exam) for example in part}
    rule = task.rule

    def is_well_formed(source: str) -> bool:
        return fold_source(source) in known or (rule is not None and rule(source) is not None)

    return is_well_formed
