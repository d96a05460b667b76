"""Two plain texts, line by line: the form in which translations are distributed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from terakoya.data.formats.encoding import open_text, split_lines
from terakoya.data.formats.rows import TableRow
from terakoya.errors import DataError
from terakoya.i18n import _


def read_parallel(source: Path, target: Path, encoding: str) -> Iterator[TableRow]:
    """Rows with the columns source and target; both files must have the same number of lines.

    source, target  the files
    encoding        of both; "" is detected
    Raises DataError for different numbers of lines, and for empty files.
    """
    where = f"{source} | {target}"
    count = 0
    with open_text(source, encoding) as first, open_text(target, encoding) as second:
        pairs = zip_longest(_whole_lines(split_lines(first, source)), _whole_lines(split_lines(second, target)))
        for number, (left, right) in enumerate(pairs, 1):
            if left is None or right is None:
                name = (source if left is None else target).name
                shorter, longer = number - 1, number + sum(1 for _ in pairs)
                raise DataError(
                    _(
                        "{name} has {shorter} lines and the other file {longer}",
                        name=name,
                        shorter=shorter,
                        longer=longer,
                    ),
                    where=where,
                    do=_("Line n of one must belong to line n of the other: find where they diverge."),
                )
            count = number
            yield TableRow(number, {"source": left, "target": right})
    if not count:
        raise DataError(
            _("both files are empty"),
            where=where,
            do=_("Bring at least one line in each."),
        )


def _whole_lines(found: Iterator[str]) -> Iterator[str]:
    """Lines without their ends (\\n or \\r\\n); a lone \\r inside a line is part of it."""
    pending = ""
    for line in found:
        if line.endswith("\r"):
            pending += line
            continue
        text = pending + line
        pending = ""
        yield text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if pending:
        yield pending
