"""CSV and TSV: cells are read byte for byte as they are written, and no row is ever shifted."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from terakoya.data.formats.delimited_layout import (
    LOOKED,
    DelimitedLayout,
    header_index,
    likely_delimiter,
    stated_delimiter,
)
from terakoya.data.formats.encoding import MAX_CELL, open_text, split_lines
from terakoya.data.formats.layouts import layout_of, with_layout
from terakoya.data.formats.rows import RowErrors, TableRow
from terakoya.errors import DataError
from terakoya.i18n import _

_BOM = b"\xef\xbb\xbf"
_PLAIN_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?").fullmatch
_NEEDS_QUOTES = re.compile('[",\r\n]').search


def read_delimited(
    path: Path, delimiter: str, encoding: str, wanted: Sequence[str] = (), *, skip_blank: bool = False
) -> Iterator[TableRow]:
    """Rows by the names in the header; lines without any cell are skipped, and so is what stands above the header.

    path        the file
    delimiter   between cells, unless a line `sep=` or the columns wanted say otherwise
    encoding    "" is detected
    wanted      the columns that will be used, by which the header is found under a title
    skip_blank  True: rows whose cells are all empty are no rows (default: they are)
    Raises DataError for a row that does not fit the header, and for a quote that is not closed.
    """
    with _open_delimited(path, delimiter, encoding, wanted) as (layout, records):
        header = layout.names
        _check_header(header, path)
        width, names = len(header), ", ".join(name for name in header if name)
        named = [at for at, name in enumerate(header) if name.strip()]
        hidden = [at for at in layout.nameless if at]  # a first column without a name is a data frame's index
        least = max(named, default=-1) + 1
        outer = layout_of(header)
        rows = longer = 0
        ragged = RowErrors(
            _("rows that do not fit the header, which names {width} columns ({names})", width=width, names=names),
            _("Quote cells that hold {delimiter!r}, or correct the rows.", delimiter=layout.delimiter),
        )
        nameless = RowErrors(
            _("cells under a column without a name"),
            _("Give the column a name in the header, or empty those cells: has a comma shifted the row?"),
        )
        for line, cells in records:
            if not cells or (skip_blank and not any(cells)):
                continue
            rows += 1
            count = len(cells)
            if count < least or any(cells[width:]):
                longer += count == width + 1
                ragged.add(line, _("{count} cells", count=count))
            elif found := next((cells[at] for at in hidden if at < count and cells[at].strip()), ""):
                nameless.add(line, repr(found[:40]))
            elif not ragged.count and not nameless.count:
                yield TableRow(line, with_layout({header[at]: cells[at] for at in named}, outer))
        if rows == longer and ragged.count:
            what = ragged.what
            ragged.what = _("the header is one column short of every row: {what}", what=what)
            ragged.do = _("Give the first column (an index?) a name in the header, or write the table without it.")
        ragged.raise_if_any(str(path))
        nameless.raise_if_any(str(path))


def read_layout(path: Path, delimiter: str, encoding: str, wanted: Sequence[str] = ()) -> DelimitedLayout:
    """Header and delimiter of a file, and what stands around its cells; only the first rows are read.

    path       the file
    delimiter  between cells, unless the file says otherwise
    encoding   "" is detected
    wanted     the columns that will be used
    Raises DataError as `read_delimited` does.
    """
    with _open_delimited(path, delimiter, encoding, wanted) as (layout, _records):
        return layout


@contextmanager
def _open_delimited(
    path: Path, delimiter: str, encoding: str, wanted: Sequence[str]
) -> Iterator[tuple[DelimitedLayout, Iterator[tuple[int, list[str]]]]]:
    """The layout, and the records under the header with the lines that they begin in."""
    if csv.field_size_limit() < MAX_CELL:
        csv.field_size_limit(MAX_CELL)  # a setting of the whole process; it only ever grows
    with open_text(path, encoding) as file:
        lines = split_lines(file, path)
        first = next(lines, "")
        stated = stated_delimiter(first)
        before = 1 if stated else 0
        lines = lines if stated else chain([first] if first else [], lines)
        used = stated or likely_delimiter(first, delimiter, wanted)
        records = _records(csv.reader(lines, delimiter=used, strict=True), path, before)
        head = list(islice(records, LOOKED))
        if not head:
            raise DataError(
                _("the file is empty"),
                where=str(path),
                do=_("Bring a table with a header and rows."),
            )
        at = header_index([cells for _line, cells in head], wanted)
        above = tuple(" ".join(filter(None, cells)) for _line, cells in head[:at] if cells)
        layout = DelimitedLayout(used, tuple(head[at][1]), above, bool(stated))
        yield layout, chain(head[at + 1 :], records)


def _records(reader: Any, path: Path, before: int) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every record; `before` lines were read already."""
    line = 1
    try:
        for cells in reader:
            yield line + before, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _unreadable(error, path, line + before, reader.line_num + before) from error


def _unreadable(error: csv.Error, path: Path, start: int, end: int) -> DataError:
    span = (
        _(", line {start}", start=start) if start >= end else _(", in the row that starts in line {start}", start=start)
    )
    unclosed = "unexpected end" in str(error) or "field larger" in str(error)
    return DataError(
        _("a quote is opened and never closed") if unclosed else _("not a readable table: {error}", error=error),
        where=str(path) + span,
        do=_('Close the quote; inside quotes a quote is written twice ("").'),
    )


def _check_header(header: Sequence[str], path: Path) -> None:
    doubles = sorted({name for name in header if name.strip() and header.count(name) > 1})
    if doubles:
        names = ", ".join(map(repr, doubles))
        raise DataError(
            _("the header names {names} more than once", names=names),
            where=_("{path}, line 1", path=path),
            do=_("Give every column a name of its own."),
        )


def write_rows(
    path: Path,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    bom: bool = False,
    for_spreadsheet: bool = False,
) -> None:
    """Writes a CSV file that reads back byte for byte.

    path             the file, replaced where there is one
    header           names of the columns
    rows             cells in the order of the header
    bom              marks the file as UTF-8 for spreadsheets
    for_spreadsheet  as bom, and cells that a spreadsheet would run as a formula get an apostrophe in front
    """
    guard = _escape_formula if for_spreadsheet else str
    text = "".join(_line([guard(cell) for cell in row]) for row in (header, *rows))
    path.write_bytes((_BOM if bom or for_spreadsheet else b"") + text.encode("utf-8"))


def _escape_formula(cell: str) -> str:
    """The cell, with an apostrophe in front where a formula would begin; a plain number is none."""
    risky = cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _PLAIN_NUMBER(cell)
    return f"'{cell}" if risky else cell


def _line(cells: Sequence[str]) -> str:
    # csv.writer leaves a lone \r bare when lines end in \n, and its own reader then takes it for an end of line.
    if list(cells) == [""]:
        return '""\n'  # a bare empty line would be no row
    return ",".join('"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES(cell) else cell for cell in cells) + "\n"
