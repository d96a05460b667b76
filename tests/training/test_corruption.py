"""Rows that are corrupted so that a model learns to reject them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from terakoya.errors import DataError
from terakoya.models.protocol import Pair, Query
from terakoya.records import Example, Split
from terakoya.task import Task
from terakoya.training.batches import EpochBatches
from terakoya.training.corruption import RejectedRows, corrupt

TRAIN = tuple(Example(f"{n:05}", str(n)) for n in range(0, 90_000, 111))
SPLIT = Split(TRAIN, (Example("12345", "12345"),), (Example("54321", "54321"),))


def _rows(share: float, task: Task | None = None, seed: int = 1, split: Split = SPLIT) -> RejectedRows:
    pairs = [Pair(Query(example.source), example.target, example.source) for example in split.train]
    task = task or Task("digits", examples=split.train)
    return RejectedRows(EpochBatches(pairs, 64, seed), task, split, share, seed)


def _all(rows: RejectedRows, steps: int = 60) -> Sequence[Pair]:
    return [row for step in range(steps) for row in rows.at(step)]


def test_every_change_is_one_of_the_five() -> None:
    rng = Random(0)
    seen = {corrupt("abcd", rng, "x", way) for way in range(5) for _ in range(100)}
    dropped = {"bcd", "acd", "abd", "abc"}
    doubled = {"aabcd", "abbcd", "abccd", "abcdd"}
    exchanged = {"bacd", "acbd", "abdc", "abcd"}  # the last one has no neighbour
    added, replaced = {"xabcd", "axbcd", "abxcd", "abcxd"}, {"xbcd", "axcd", "abxd", "abcx"}
    assert seen == dropped | doubled | exchanged | added | replaced


def test_exchanged_characters_are_no_rarer_than_others() -> None:
    """Neighbours that are equal, or whose exchange gives a known source, are looked for elsewhere in the row."""
    split = Split(tuple(Example(f"11{n:03}", str(n)) for n in range(0, 1000, 3)), (), ())
    found = [row.query.source for row in _all(_rows(0.5, split=split), 100) if not row.target]
    known = {"".join(sorted(example.source)) for example in split.train}
    exchanged = sum("".join(sorted(source)) in known for source in found)
    assert exchanged > 0.13 * len(found)


def test_the_share_is_kept_and_other_rows_stay_as_they_are() -> None:
    rows = _all(_rows(0.2))
    rejected = [row for row in rows if not row.target]
    assert 0.16 < len(rejected) / len(rows) < 0.21  # a few changes are none, or give a source that is known
    assert all(row.query.source == f"{int(row.target):05}" for row in rows if row.target)


def test_no_source_of_the_data_is_rejected_not_even_in_another_spelling() -> None:
    """The exam's sources too: a model must not be taught that they are wrong."""
    split = Split(
        tuple(Example(f"{n:02}", str(n)) for n in range(50)), (), (Example("07１", "71"), Example("７７", "77"))
    )
    rejected = {row.query.source for row in _all(_rows(0.9, split=split), 200) if not row.target}
    assert rejected
    assert not rejected & ({f"{n:02}" for n in range(50)} | {"071", "77"})


def test_what_the_rule_can_read_is_not_rejected() -> None:
    task = Task("digits", examples=TRAIN, rule=lambda source: source if len(source) == 5 else None)
    assert {len(row.query.source) for row in _all(_rows(0.5, task)) if not row.target} == {4, 6}


def test_the_same_step_has_the_same_rows_always() -> None:
    """A resumed training goes on with the rows it would have had."""
    one, other = _rows(0.3), _rows(0.3)
    _all(one, 7)
    assert one.at(31) == other.at(31)
    assert one.at(31) != _rows(0.3, seed=2).at(31)


def test_a_target_that_is_written_as_nothing_cannot_be_told_from_a_rejection() -> None:
    split = Split((Example("abc", ""),), (), ())
    with pytest.raises(DataError, match=r"cannot be distinguished from the output"):
        _rows(0.5, split=split).at(0)
