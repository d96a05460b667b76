"""Large tables in blocks of columns, by polars, where every cell is certain to be read as row by row.

JSON lines are in jsonl_blocks.py; block_reader.py chooses.

A block of CSV that holds no quote, no lone carriage return and as many delimiters in each line as the header is cut at
its delimiters: there is no other way to read it. From the first quote on, Python's own reader reads the rest. Whatever
either of them finds odd raises `NotPlain`, and the whole table is read row by row, which says what is wrong.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya.data.formats.csv_tsv import read_layout
from terakoya.data.formats.encoding import MAX_CELL, detect_encoding, open_bytes, split_lines
from terakoya.data.formats.layouts import CHATS, layout_of
from terakoya.errors import need

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 8 << 20  # bytes read at once
_RECORDS = 50_000  # rows of a block that is read by Python
# Columns that make more of a row than its texts (data/table.py, layouts.py).
_SPECIAL = frozenset(("accepted", "tags", "turns", "subset", "part"))
_CHAT = frozenset((*CHATS, "system", "history"))


class NotPlain(Exception):
    """This table must be read row by row."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Consecutive rows of a table.

    lines    line of each row in its file, counted from 1
    columns  name → polars column of texts; only those wanted
    """

    lines: np.ndarray[Any, Any]
    columns: dict[str, Any]


def taken_columns(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The columns that are read.

    names   of all columns
    wanted  by the config
    Raises NotPlain where one is missing, and where others make more of a row.
    """
    found = set(names)
    if not set(wanted) <= found or _SPECIAL & found or len(found) < len(names):
        raise NotPlain
    if "source" not in found and (layout_of(names) or _CHAT & found):
        raise NotPlain  # layouts.py writes over `source` and `target`, or finds turns
    return list(dict.fromkeys([*wanted, *(name for name in ("origin",) if name in names)]))


def whole_lines(file: io.BufferedReader) -> Iterator[bytes]:
    """The rest of a file in blocks that end where a line ends; only the last one may end otherwise.

    file  open for reading
    Raises NotPlain for a line that may be longer than MAX_CELL.
    """
    rest = b""
    while True:
        chunk = file.read(_BLOCK)
        data = rest + chunk
        if not data:
            return
        if len(data) > MAX_CELL:
            raise NotPlain  # a block has at most so many bytes, unless a line is longer than one is read at once
        cut = data.rfind(b"\n") + 1 if chunk else len(data)
        rest = data[cut:]
        if cut:
            yield data[:cut]


# -- CSV and TSV --------------------------------------------------------------------------------------------------


def delimited_blocks(path: Path, delimiter: str, encoding: str, wanted: Sequence[str]) -> Iterator[TextBlock]:
    """Blocks of a .csv or .tsv file.

    path       the file
    delimiter  between cells, unless the file says otherwise
    encoding   of the text; "" is detected
    wanted     columns that are read
    """
    layout = read_layout(path, delimiter, encoding, wanted)
    names = list(layout.names)
    unnamed = [at for at, name in enumerate(names) if not name.strip()]
    plain_text = detect_encoding(path, encoding) in ("utf-8", "utf-8-sig")
    if layout.above or layout.sep_line or len(names) < 2 or unnamed not in ([], [0]) or not plain_text:
        raise NotPlain
    if unnamed:
        names[0] = "\0index"  # a data frame's index, which is never wanted
    taken = taken_columns(names, wanted)
    with open_bytes(path) as file:
        head = file.readline(MAX_CELL).removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        if next(csv.reader([head], delimiter=layout.delimiter, strict=True), None) != list(layout.names):
            raise NotPlain
        yield from _body(file, path, names, taken, layout.delimiter)


def _body(
    file: io.BufferedReader, path: Path, names: list[str], taken: list[str], delimiter: str
) -> Iterator[TextBlock]:
    line, at = 2, file.tell()
    for block in whole_lines(file):
        parsed = _parse_simple(block, names, delimiter)
        if parsed is None:
            file.seek(at)
            yield from _by_records(file, path, names, taken, delimiter, line)
            return
        yield _block(parsed, names, taken, line)
        line, at = line + parsed.height, at + len(block)


def _parse_simple(block: bytes, names: list[str], delimiter: str) -> Any | None:
    """The block as a data frame of texts; None where cutting it at line breaks and delimiters might be wrong."""
    polars = need("polars", extra="tables")
    if b'"' in block or b"\0" in block or b"\x1b" in block:
        return None
    if b"\r" in block:
        if not block.count(b"\r") == block.count(b"\r\n") == block.count(b"\n"):
            return None
        block = block.replace(b"\r\n", b"\n")
    if not block.endswith(b"\n"):
        block += b"\n"
    rows, width = block.count(b"\n"), len(names)
    if block.count(delimiter.encode()) != rows * (width - 1) or b"\n\n" in block or block.startswith(b"\n"):
        return None
    try:
        frame = polars.read_csv(
            block, has_header=False, separator=delimiter, quote_char=None, empty_string_is_null=False,
            schema=dict.fromkeys(names, polars.String),
        )  # fmt: skip
    except polars.exceptions.PolarsError:
        return None
    if frame.height != rows or sum(frame.null_count().row(0)):
        return None
    return frame


def _block(frame: Any, names: list[str], taken: list[str], line: int) -> TextBlock:
    import numpy as np

    polars = need("polars", extra="tables")
    lines = np.arange(line, line + frame.height, dtype=np.int64)
    empty = frame.select(polars.all_horizontal(polars.col(names) == "")).to_series()
    if empty.any():
        kept = ~empty
        lines, frame = lines[kept.to_numpy()], frame.filter(kept)
    return TextBlock(lines, {name: frame[name] for name in taken})


def _by_records(
    file: io.BufferedReader, path: Path, names: list[str], taken: list[str], delimiter: str, line: int
) -> Iterator[TextBlock]:
    """The rest of the file by Python's reader: its quotes are right, and slower."""
    import numpy as np

    polars = need("polars", extra="tables")
    if csv.field_size_limit() < MAX_CELL:
        csv.field_size_limit(MAX_CELL)
    text = io.TextIOWrapper(file, encoding="utf-8", errors="strict", newline="")
    records = _records(csv.reader(split_lines(text, path), delimiter=delimiter, strict=True), line, len(names))
    while found := list(islice(records, _RECORDS)):
        lines, columns = zip(*found, strict=True)
        cells = dict(zip(names, zip(*columns, strict=True), strict=True))
        yield TextBlock(
            np.array(lines, dtype=np.int64),
            {name: polars.Series(name, cells[name], dtype=polars.String) for name in taken},
        )
    text.detach()


def _records(reader: Any, line: int, width: int) -> Iterator[tuple[int, list[str]]]:
    before = line - 1
    for cells in reader:
        if any(cells):
            if len(cells) != width:
                raise NotPlain
            yield line, cells
        line = before + reader.line_num + 1


# -- Parquet --------------------------------------------------------------------------------------------------------


def parquet_blocks(path: Path, wanted: Sequence[str]) -> Iterator[TextBlock]:
    """Columns of texts without a missing cell; all others have rules of their own (parquet.py).

    path    the file
    wanted  columns that are read
    """
    import numpy as np

    polars = need("polars", extra="tables")
    try:
        table = polars.scan_parquet(path)
        schema = table.collect_schema()
        taken = taken_columns(list(schema), wanted)
        if any(schema[name] != polars.String for name in taken):
            raise NotPlain
        start, rows = 0, table.select(polars.len()).collect().item()
        # Of long texts fewer at once: a block of Parquet, which is compressed, stands for several of text.
        most = _BLOCK * rows // path.stat().st_size
        size = max(1, min(4 * _RECORDS, most))
        for frame in table.select(taken).collect_batches(chunk_size=size, maintain_order=True):
            if sum(frame.null_count().row(0)):
                raise NotPlain
            lines = np.arange(start + 1, start + frame.height + 1, dtype=np.int64)
            yield TextBlock(lines, {name: frame[name] for name in taken})
            start += frame.height
    except polars.exceptions.PolarsError as error:
        raise NotPlain from error
