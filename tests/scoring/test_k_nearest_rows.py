"""The training rows nearest to a text, most similar first."""

from __future__ import annotations

from terakoya.records import Example
from terakoya.scoring.baselines.nearest_neighbour import k_nearest_rows, nearest_rows

TRAIN = [
    Example(source, target) for source, target in (("赤い花", "a"), ("赤い鳥", "b"), ("青い花", "c"), ("xyz", "d"))
]


def test_the_nearest_rows_come_first_and_unlike_ones_not_at_all() -> None:
    """As many as wanted, fewer where nothing more is shared, and the first is the one of `nearest_rows`."""
    [rows] = k_nearest_rows(TRAIN, 4)(["赤い花"])
    assert rows[0].target == "a" and {row.target for row in rows} == {"a", "b", "c"}
    assert [row.similarity for row in rows] == sorted((row.similarity for row in rows), reverse=True)
    assert k_nearest_rows(TRAIN, 2)(["qq?"])[0] == []
    queries = ["赤い鳥", "い", "xyz", "?"]
    assert nearest_rows(TRAIN)(queries) == [next(iter(rows), None) for rows in k_nearest_rows(TRAIN, 3)(queries)]
