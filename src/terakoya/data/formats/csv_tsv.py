"""CSV and TSV: cells are read byte for byte as they are written, and no row is ever shifted."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.data.formats.encoding import MAX_CELL, open_text, split_lines
from terakoya.data.formats.rows import RowErrors, TableRow
from terakoya.errors import DataError
from terakoya.i18n import both, japanese

_BOM = b"\xef\xbb\xbf"
_NEEDS_QUOTES = re.compile('[",\r\n]').search


def read_delimited(path: Path, delimiter: str, encoding: str) -> Iterator[TableRow]:
    """Rows by the names in the first line; lines without any cell are skipped.

    path       the file
    delimiter  between cells
    encoding   "" is detected
    Raises DataError for a row that does not fit the header, and for a quote that is not closed.
    """
    if csv.field_size_limit() < MAX_CELL:
        csv.field_size_limit(MAX_CELL)  # a setting of the whole process; it only ever grows
    with open_text(path, encoding) as file:
        reader = csv.reader(split_lines(file, path), delimiter=delimiter, strict=True)
        line = 1
        try:
            header = next(reader, None)
            if header is None:
                raise DataError(
                    both("the file is empty", "ファイルが空である"),
                    where=str(path),
                    do=both("Bring a table with a header and rows.", "見出しと行のある表を用意すること。"),
                )
            _check_header(header, path)
            width, names, rows, longer = len(header), ", ".join(header), 0, 0
            ragged = RowErrors(
                both(
                    f"rows that do not fit the header, which names {width} columns ({names})",
                    f"見出しの{width}列（{names}）に合わない行",
                ),
                both(
                    f"Quote cells that hold {delimiter!r}, or correct the rows.",
                    f"{delimiter!r} を含むセルを引用符で囲むか、行を直すこと。",
                ),
            )
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    rows += 1
                    if len(cells) != width:
                        longer += len(cells) == width + 1
                        count = len(cells)
                        ragged.add(line, both(f"{count} cells", f"{count}セル"))
                    elif not ragged.count:
                        yield TableRow(line, dict(zip(header, cells, strict=True)))
                line = reader.line_num + 1
        except csv.Error as error:
            raise _unreadable(error, path, line, reader.line_num) from error
        if rows == longer and ragged.count:
            what = ragged.what
            ragged.what = both(
                f"the header is one column short of every row: {what}",
                f"見出しがどの行より一列少ない：{japanese(what)}",
            )
            ragged.do = both(
                "Give the first column (an index?) a name in the header, or write the table without it.",
                "先頭の列（索引か）に見出しの名前を付けるか、索引なしで表を書き出すこと。",
            )
        ragged.raise_if_any(str(path))


def _unreadable(error: csv.Error, path: Path, start: int, end: int) -> DataError:
    span = (
        both(f", line {start}", f"、{start}行目")
        if start >= end
        else both(f", in the row that starts in line {start}", f"、{start}行目から始まる行")
    )
    unclosed = "unexpected end" in str(error) or "field larger" in str(error)
    return DataError(
        both("a quote is opened and never closed", "引用符が開いたまま閉じられていない")
        if unclosed
        else both(f"not a readable table: {error}", f"表として読めない：{error}"),
        where=str(path) + span,
        do=both(
            'Close the quote; inside quotes a quote is written twice ("").',
            '引用符を閉じること。引用の中の引用符は二つ重ねて書く（""）。',
        ),
    )


def _check_header(header: Sequence[str], path: Path) -> None:
    doubles = sorted({name for name in header if header.count(name) > 1})
    if doubles:
        names = ", ".join(map(repr, doubles))
        raise DataError(
            both(
                f"the header names {names} more than once",
                f"見出しに {names} が二度以上ある",
            ),
            where=both(f"{path}, line 1", f"{path}、1行目"),
            do=both("Give every column a name of its own.", "どの列にも別の名前を付けること。"),
        )


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], *, bom: bool = False) -> None:
    """Writes a CSV file that reads back byte for byte.

    path    the file, replaced where there is one
    header  names of the columns
    rows    cells in the order of the header
    bom     marks the file as UTF-8 for spreadsheets
    """
    text = "".join(_line(row) for row in (header, *rows))
    path.write_bytes((_BOM if bom else b"") + text.encode("utf-8"))


def _line(cells: Sequence[str]) -> str:
    # csv.writer leaves a lone \r bare when lines end in \n, and its own reader then takes it for an end of line.
    if list(cells) == [""]:
        return '""\n'  # a bare empty line would be no row
    return ",".join('"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES(cell) else cell for cell in cells) + "\n"
