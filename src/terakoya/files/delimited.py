"""CSV and TSV: cells come out byte for byte as they went in, and no row is ever shifted."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.errors import DataError
from terakoya.files.opening import MAX_CELL, lines, opened_text
from terakoya.files.rows import Faults, Row

_BOM = b"\xef\xbb\xbf"
_NEEDS_QUOTES = re.compile('[",\r\n]').search


def read_delimited(path: Path, delimiter: str, encoding: str) -> Iterator[Row]:
    """Rows by the names in the first line; lines without any cell are passed over."""
    if csv.field_size_limit() < MAX_CELL:
        csv.field_size_limit(MAX_CELL)  # a setting of the whole process; it only ever grows
    with opened_text(path, encoding) as file:
        reader = csv.reader(lines(file, path), delimiter=delimiter, strict=True)
        line = 1
        try:
            header = next(reader, None)
            if header is None:
                raise DataError("the file is empty", where=str(path), do="Bring a table with a header and rows.")
            _check_header(header, path)
            ragged = Faults(
                f"rows that do not fit the header, which names {len(header)} columns ({', '.join(header)})",
                f"Quote cells that hold {delimiter!r}, or mend the rows.",
            )
            width, rows, longer = len(header), 0, 0
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    rows += 1
                    if len(cells) != width:
                        longer += len(cells) == width + 1
                        ragged.add(line, f"{len(cells)} cells")
                    elif not ragged.count:
                        yield Row(line, dict(zip(header, cells, strict=True)))
                line = reader.line_num + 1
        except csv.Error as error:
            raise _unreadable(error, path, line, reader.line_num) from error
        if rows == longer and ragged.count:
            ragged.what = f"the header is one column short of every row: {ragged.what}"
            ragged.do = "Give the first column (an index?) a name in the header, or write the table without it."
        ragged.refuse(str(path))


def _unreadable(error: csv.Error, path: Path, begun: int, reached: int) -> DataError:
    span = f", line {begun}" if begun >= reached else f", in the row that begins in line {begun}"
    unclosed = "unexpected end" in str(error) or "field larger" in str(error)
    return DataError(
        "a quote is opened and never closed" if unclosed else f"not a readable table: {error}",
        where=f"{path}{span}",
        do='Close the quote; inside quotes a quote is written twice ("").',
    )


def _check_header(header: Sequence[str], path: Path) -> None:
    doubles = sorted({name for name in header if header.count(name) > 1})
    if doubles:
        raise DataError(
            f"the header names {', '.join(repr(name) for name in doubles)} more than once",
            where=f"{path}, line 1",
            do="Give every column a name of its own.",
        )


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], *, bom: bool = False) -> None:
    """A CSV that reads back byte for byte. `bom` marks it as UTF-8 for spreadsheets."""
    text = "".join(_line(row) for row in (header, *rows))
    path.write_bytes((_BOM if bom else b"") + text.encode("utf-8"))


def _line(cells: Sequence[str]) -> str:
    # csv.writer leaves a lone \r bare when lines end in \n, and its own reader then takes it for an end of line.
    if list(cells) == [""]:
        return '""\n'  # a bare empty line would be no row
    return ",".join('"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES(cell) else cell for cell in cells) + "\n"
