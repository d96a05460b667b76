"""Rows of a step: a function of the step number, whatever was asked before."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from backwards import word, words

from terakoya.errors import DataError
from terakoya.models.protocol import Pair, Query
from terakoya.training.batches import POOL, Fixed, Stream


def _length(pair: Pair) -> int:
    return len(pair.ask.source)


def test_every_fixed_row_comes_once_in_each_epoch() -> None:
    """A row that is skipped or doubled changes what was taught, and nobody would notice."""
    pairs = words(53)
    rows = Fixed(pairs, 8, seed=1, length=_length)
    for epoch in range(3):
        seen = [pair for step in range(rows.per_epoch) for pair in rows.at(epoch * rows.per_epoch + step)]
        assert Counter(seen) == Counter(pairs)


def test_epochs_and_seeds_bring_other_orders() -> None:
    pairs = [Pair(Query(f"a{number}"), "b") for number in range(64)]
    rows = Fixed(pairs, 8, seed=1)
    orders = {
        tuple(pair.ask.source for step in range(8) for pair in source.at(epoch * 8 + step))
        for source in (rows, Fixed(pairs, 8, seed=2))
        for epoch in range(2)
    }
    assert len(orders) == 4


@pytest.mark.parametrize("kind", ["fixed", "stream"])
def test_a_step_has_the_same_rows_wherever_one_begins(kind: str) -> None:
    """Resuming asks for step 37 first; it must get what the uninterrupted run got there."""

    def fresh() -> Fixed | Stream:
        if kind == "fixed":
            return Fixed(words(), 8, 5, _length)
        return Stream(word, 8, 5, 60, _length)

    straight = fresh()
    steps = [list(straight.at(step)) for step in range(60)]
    for step in (37, 36, 59, 0, 16, 15):
        assert list(fresh().at(step)) == steps[step]


def test_rows_of_a_batch_are_of_similar_length() -> None:
    """Filling costs time: sorted pools must leave less spread within batches than chance does."""

    def spread(length: bool) -> int:
        rows = Stream(word, 8, 5, POOL, _length if length else None, curriculum=False)
        batches = [[_length(pair) for pair in rows.at(step)] for step in range(POOL)]
        return sum(max(batch) - min(batch) for batch in batches)

    assert spread(True) * 3 < spread(False)


def test_batches_of_a_sorted_pool_do_not_come_short_ones_first() -> None:
    rows = Stream(word, 8, 5, POOL, _length, curriculum=False)
    longest = [max(_length(pair) for pair in rows.at(step)) for step in range(POOL)]
    assert longest != sorted(longest)


def test_the_curriculum_goes_with_the_step() -> None:
    told: dict[int, set[float]] = {}

    def draw(chance: Random, progress: float) -> Pair:
        told.setdefault(0, set()).add(progress)
        return word(chance, progress)

    Stream(draw, 2, 0, 101).at(0)
    assert min(told[0]) == 0.0
    assert max(told[0]) == pytest.approx((POOL - 1) / 100)
    told.clear()
    Stream(draw, 2, 0, 101, curriculum=False).at(0)
    assert told[0] == {1.0}


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        Fixed([], 8, 0)
