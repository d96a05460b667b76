"""Rows of a step: a function of the step number, whatever was read before."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from backwards import word, words

from terakoya.errors import DataError
from terakoya.models.protocol import Pair, Query
from terakoya.training.batches import POOL, EpochBatches, StreamBatches


def _length(pair: Pair) -> int:
    return len(pair.query.source)


def test_every_row_comes_once_in_each_epoch() -> None:
    """A row that is skipped or doubled changes the training, and nobody would notice."""
    pairs = words(53)
    rows = EpochBatches(pairs, 8, seed=1, length=_length)
    for epoch in range(3):
        seen = [pair for step in range(rows.per_epoch) for pair in rows.at(epoch * rows.per_epoch + step)]
        assert Counter(seen) == Counter(pairs)


def test_epochs_and_seeds_bring_other_orders() -> None:
    pairs = [Pair(Query(f"a{number}"), "b") for number in range(64)]
    rows = EpochBatches(pairs, 8, seed=1)
    orders = {
        tuple(pair.query.source for step in range(8) for pair in source.at(epoch * 8 + step))
        for source in (rows, EpochBatches(pairs, 8, seed=2))
        for epoch in range(2)
    }
    assert len(orders) == 4


@pytest.mark.parametrize("kind", ["fixed", "stream"])
def test_a_step_has_the_same_rows_wherever_one_starts(kind: str) -> None:
    """A resumed run reads step 37 first; it must get what the uninterrupted run got there."""

    def fresh() -> EpochBatches | StreamBatches:
        if kind == "fixed":
            return EpochBatches(words(), 8, 5, _length)
        return StreamBatches(word, 8, 5, 60, _length)

    straight = fresh()
    steps = [list(straight.at(step)) for step in range(60)]
    for step in (37, 36, 59, 0, 16, 15):
        assert list(fresh().at(step)) == steps[step]


def test_rows_of_a_batch_are_of_similar_length() -> None:
    """Padding costs time: sorted pools must leave less spread within batches than random ones."""

    def spread(length: bool) -> int:
        rows = StreamBatches(word, 8, 5, POOL, _length if length else None, curriculum=False)
        batches = [[_length(pair) for pair in rows.at(step)] for step in range(POOL)]
        return sum(max(batch) - min(batch) for batch in batches)

    assert spread(True) * 3 < spread(False)


def test_batches_of_a_sorted_pool_are_shuffled() -> None:
    rows = StreamBatches(word, 8, 5, POOL, _length, curriculum=False)
    longest = [max(_length(pair) for pair in rows.at(step)) for step in range(POOL)]
    assert longest != sorted(longest)


def test_the_curriculum_follows_the_step() -> None:
    seen: set[float] = set()

    def draw(rng: Random, progress: float) -> Pair:
        seen.add(progress)
        return word(rng, progress)

    StreamBatches(draw, 2, 0, 101).at(0)
    assert min(seen) == 0.0
    assert max(seen) == pytest.approx((POOL - 1) / 100)
    seen.clear()
    StreamBatches(draw, 2, 0, 101, curriculum=False).at(0)
    assert seen == {1.0}


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        EpochBatches([], 8, 0)
