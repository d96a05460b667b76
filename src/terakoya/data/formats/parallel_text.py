"""Two plain texts, line by line: the form in which translations are handed around."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from terakoya.data.formats.encoding import lines, opened_text
from terakoya.data.formats.rows import Row
from terakoya.errors import DataError
from terakoya.i18n import both


def read_parallel(source: Path, target: Path, encoding: str) -> Iterator[Row]:
    """Rows with the columns source and target; both files must have the same number of lines."""
    where = f"{source} | {target}"
    count = 0
    with opened_text(source, encoding) as first, opened_text(target, encoding) as second:
        pairs = zip_longest(_joined(lines(first, source)), _joined(lines(second, target)))
        for number, (left, right) in enumerate(pairs, 1):
            if left is None or right is None:
                short = source if left is None else target
                longer = number + sum(1 for _ in pairs)
                raise DataError(
                    both(
                        f"{short.name} has {number - 1} lines and the other file {longer}",
                        f"{short.name} は{number - 1}行、もう一方のファイルは{longer}行である",
                    ),
                    where=where,
                    do=both(
                        "Line n of one must belong to line n of the other: find where they part.",
                        "一方の n 行目が他方の n 行目に対応しなければならない：ずれている所を探すこと。",
                    ),
                )
            count = number
            yield Row(number, {"source": left, "target": right})
    if not count:
        raise DataError(
            both("both files are empty", "どちらのファイルも空である"),
            where=where,
            do=both("Bring at least one line in each.", "それぞれ一行以上用意すること。"),
        )


def _joined(found: Iterator[str]) -> Iterator[str]:
    """Lines without their ends (\\n or \\r\\n); a lone \\r inside a line is part of it."""
    held = ""
    for line in found:
        if line.endswith("\r"):
            held += line
            continue
        text = held + line
        held = ""
        yield text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if held:
        yield held
