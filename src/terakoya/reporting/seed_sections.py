"""What the same recipe reached with every seed, and how far the models scatter."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean, stdev

from terakoya.reporting.blocks import Block, Heading, TableBlock, column_headers, format_value
from terakoya.reporting.record import RunRecord
from terakoya.reporting.translations import say


def seeds(record: RunRecord, lang: str) -> list[Block]:
    """The deciding score of the model of every seed, their mean and their standard deviation; [] for one seed.

    record  the run
    lang    "en" or "ja"
    """
    if len(record.seeds) < 2:
        return []
    head = column_headers(lang, ("seed", "value", "interval"))
    rows = [
        (
            str(one.seed),
            format_value(one.score.value),
            f"{format_value(one.score.low)} – {format_value(one.score.high)}",
        )
        for one in record.seeds
    ]
    spread = ((say(lang, name), format_value(value), "") for name, value in seed_spread(record))
    return [Heading(say(lang, "seeds")), TableBlock(head, (*rows, *spread), frozenset({1, 2}))]


def seed_spread(record: RunRecord) -> Iterator[tuple[str, float]]:
    """Mean and standard deviation over the models of all seeds, each with the key of its name; nothing for one seed.

    record  the run
    """
    values = [one.score.value for one in record.seeds]
    if len(values) > 1:
        yield "mean", mean(values)
        yield "standard deviation", stdev(values)
