"""CSV and TSV: cells come out byte for byte as they went in, and no row is ever shifted."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.data.formats.encoding import MAX_CELL, lines, opened_text
from terakoya.data.formats.rows import Faults, Row
from terakoya.errors import DataError
from terakoya.i18n import both, japanese

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
                raise DataError(
                    both("the file is empty", "ファイルが空である"),
                    where=str(path),
                    do=both("Bring a table with a header and rows.", "見出しと行のある表を用意すること。"),
                )
            _check_header(header, path)
            ragged = Faults(
                both(
                    f"rows that do not fit the header, which names {len(header)} columns ({', '.join(header)})",
                    f"見出しの{len(header)}列（{', '.join(header)}）に合わない行",
                ),
                both(
                    f"Quote cells that hold {delimiter!r}, or mend the rows.",
                    f"{delimiter!r} を含むセルを引用符で囲むか、行を直すこと。",
                ),
            )
            width, rows, longer = len(header), 0, 0
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    rows += 1
                    if len(cells) != width:
                        longer += len(cells) == width + 1
                        ragged.add(line, both(f"{len(cells)} cells", f"{len(cells)}セル"))
                    elif not ragged.count:
                        yield Row(line, dict(zip(header, cells, strict=True)))
                line = reader.line_num + 1
        except csv.Error as error:
            raise _unreadable(error, path, line, reader.line_num) from error
        if rows == longer and ragged.count:
            ragged.what = both(
                f"the header is one column short of every row: {ragged.what}",
                f"見出しがどの行より一列少ない：{japanese(ragged.what)}",
            )
            ragged.do = both(
                "Give the first column (an index?) a name in the header, or write the table without it.",
                "先頭の列（索引か）に見出しの名前を付けるか、索引なしで表を書き出すこと。",
            )
        ragged.refuse(str(path))


def _unreadable(error: csv.Error, path: Path, begun: int, reached: int) -> DataError:
    span = (
        both(f", line {begun}", f"、{begun}行目")
        if begun >= reached
        else both(f", in the row that begins in line {begun}", f"、{begun}行目から始まる行")
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
        raise DataError(
            both(
                f"the header names {', '.join(repr(name) for name in doubles)} more than once",
                f"見出しに {', '.join(repr(name) for name in doubles)} が二度以上ある",
            ),
            where=both(f"{path}, line 1", f"{path}、1行目"),
            do=both("Give every column a name of its own.", "どの列にも別の名前を付けること。"),
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
