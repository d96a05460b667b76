"""What programs put around the cells of a CSV file: a `sep=` line, a title above the header, columns without a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.i18n import _, joined

LOOKED = 20  # rows among which the header is looked for
_SEP_LINE = re.compile(r'"?sep=(?P<mark>.)"?[,;\t]*\r?\n?', re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,]*%?")
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True, slots=True)
class DelimitedLayout:
    """Where the header of a delimited file stands, and what else is around its cells.

    delimiter  between cells
    names      of the columns; "" is a column without a name
    above      rows above the header, as text
    sep_line   whether the first line says which delimiter is used (`sep=;`)
    """

    delimiter: str
    names: tuple[str, ...]
    above: tuple[str, ...] = ()
    sep_line: bool = False

    @property
    def nameless(self) -> tuple[int, ...]:
        """Indices of the columns without a name."""
        return tuple(at for at, name in enumerate(self.names) if not name.strip())

    def notes(self) -> tuple[str, ...]:
        """What was left out of the table, one message each; () where there is nothing."""
        found = []
        if self.sep_line:
            found.append(_("the first line says that {mark!r} separates the cells", mark=self.delimiter))
        if self.above:
            titles = joined(", ", (repr(text[:40]) for text in self.above if text))
            count = len(self.above)
            found.append(
                _("{count} rows above the header are no rows of the table ({titles})", count=count, titles=titles)
            )
        if self.nameless:
            columns = ", ".join(str(at + 1) for at in self.nameless)
            found.append(_("columns without a name are left out (number {columns})", columns=columns))
        return tuple(found)


def stated_delimiter(line: str) -> str:
    """The delimiter that a `sep=` line states, as spreadsheets write it; "" where the line is none.

    line  the first line of a file
    """
    found = _SEP_LINE.fullmatch(line)
    return found["mark"] if found else ""


def likely_delimiter(line: str, usual: str, wanted: Sequence[str]) -> str:
    """The delimiter of a file by its header: another one than usual where only that one gives the columns wanted.

    line    the header as it stands in the file
    usual   the delimiter that the suffix says
    wanted  names of columns that will be used
    """
    if not wanted or _has(line, usual, wanted):
        return usual
    return next((mark for mark in _DELIMITERS if mark != usual and _has(line, mark, wanted)), usual)


def _has(line: str, mark: str, wanted: Sequence[str]) -> bool:
    names = {name.strip().strip('"') for name in line.rstrip("\r\n").split(mark)}
    return len(names) > 1 and names.issuperset(wanted)


def header_index(rows: Sequence[Sequence[str]], wanted: Sequence[str]) -> int:
    """The index of the header among the first rows: 0, unless a title stands above it.

    rows    the first rows, cells as text
    wanted  names of columns that will be used; a row that holds all of them is the header
    """
    if wanted:
        for at, row in enumerate(rows):
            if set(wanted) <= set(row):
                return at
    occupied = [[cell for cell in row if cell.strip()] for row in rows]
    first = next((at for at, cells in enumerate(occupied) if cells), 0)
    if not occupied or len(occupied[first]) != 1:
        return first
    # One cell alone above rows of several: a title, if what follows can be a header.
    for at in range(first + 1, len(rows)):
        if len(occupied[at]) > 1:
            names = occupied[at]
            return at if len(set(names)) == len(names) and not any(map(_NUMBER.fullmatch, names)) else first
    return first
