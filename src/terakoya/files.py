"""Tables on disk, read as text. `1`, `1.0`, `007`, `NA` and trailing spaces come out byte for byte as they went in."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from terakoya.errors import DataError, nearest

MAX_CELL = 16 * 1024 * 1024  # characters; a longer cell is a broken quote, not text to teach
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = ("cp932", "euc_jp", "iso2022_jp")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its line in the file (counted from 1) and its cells by column name."""

    line: int
    cells: Mapping[str, str]


def read_rows(path: Path, *, encoding: str = "") -> Iterator[Row]:
    """Rows of a .csv, .tsv or .jsonl file, streamed. Refuses what cannot be trusted, naming the line."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from _read_delimited(path, "\t" if suffix == ".tsv" else ",", encoding)
    elif suffix in (".jsonl", ".ndjson"):
        yield from _read_jsonl(path, encoding)
    else:
        raise DataError(
            f"'{path.suffix}' is no table that Terakoya reads",
            where=str(path),
            do="Bring .csv, .tsv, .jsonl or .parquet.",
        )


def columns(rows: Iterator[Row], wanted: Sequence[str], where: str) -> Iterator[Row]:
    """The same rows, once all wanted columns are known to be there."""
    checked = False
    for row in rows:
        if not checked:
            for name in wanted:
                if name not in row.cells:
                    raise DataError(
                        f"there is no column '{name}' (found: {', '.join(row.cells)})",
                        where=where,
                        do=nearest(name, row.cells),
                    )
            checked = True
        yield row
    if not checked:
        raise DataError("0 rows", where=where, do="Bring a table with a header and at least one row.")


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], *, bom: bool = False) -> None:
    """A CSV that reads back byte for byte. `bom` marks it as UTF-8 for spreadsheets."""
    text = io.StringIO(newline="")
    # \r\n inside cells survives because every such cell is quoted and the file is opened without translation.
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes((codecs.BOM_UTF8 if bom else b"") + text.getvalue().encode("utf-8"))


def encoding_of(path: Path, stated: str = "") -> str:
    """The stated encoding, else the one a BOM names, else UTF-8."""
    if stated:
        try:
            return codecs.lookup(stated).name
        except LookupError as error:
            raise DataError(
                f"'{stated}' is no encoding", where=str(path), do="Try utf-8, cp932 (Shift_JIS) or euc_jp."
            ) from error
    with _opened(path) as file:
        head = file.read(4)
    return next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")


def _read_delimited(path: Path, delimiter: str, encoding: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_CELL)
    with _text(path, encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise DataError("the file is empty", where=str(path), do="Bring a table with a header and rows.")
            _check_header(header, path)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    if len(cells) != len(header):
                        raise DataError(
                            f"{len(cells)} cells where the header names {len(header)} ({', '.join(header)})",
                            where=f"{path}, line {line}",
                            do="Quote cells that hold the delimiter, or mend the row.",
                        )
                    yield Row(line, dict(zip(header, cells, strict=True)))
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"not a readable table: {error}",
                where=f"{path}, line {reader.line_num}",
                do="Check quotes and delimiter.",
            ) from error


def _check_header(header: Sequence[str], path: Path) -> None:
    doubles = sorted({name for name in header if header.count(name) > 1})
    if doubles:
        raise DataError(
            f"the header names {', '.join(repr(name) for name in doubles)} more than once",
            where=f"{path}, line 1",
            do="Give every column a name of its own.",
        )


def _read_jsonl(path: Path, encoding: str) -> Iterator[Row]:
    with _text(path, encoding) as file:
        for line, text in enumerate(file, 1):
            if text.strip():
                yield Row(line, _json_cells(text, f"{path}, line {line}"))


def _json_cells(text: str, where: str) -> dict[str, str]:
    try:
        # Numbers stay as they are spelt: 1.0 must not become 1, nor 007 pass unnoticed.
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"not valid JSON: {error}", where=where, do="Write one JSON object a line.") from error
    if not isinstance(value, dict):
        raise DataError(
            "this line is no JSON object", where=where, do='Write lines like {"source": "…", "target": "…"}.'
        )
    return {key: item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for key, item in value.items()}


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    if path.exists() and not path.is_file():
        raise DataError("this is no regular file", where=str(path), do="Name a file.")
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(
            "there is no such file", where=str(path), do="Check the path; it is relative to the config."
        ) from error
    except PermissionError as error:
        raise DataError("this file may not be read", where=str(path), do="Check its permissions.") from error


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    name = encoding_of(path, encoding)
    with _opened(path) as raw:
        file = io.TextIOWrapper(raw, encoding=name, errors="strict", newline="")
        try:
            yield file
        except UnicodeDecodeError as error:
            raise DataError(
                f"not {name}: byte {error.object[error.start]:#04x} cannot be read{_guess(path)}",
                where=str(path),
                do="Say which encoding it is, with task.encoding (or --encoding).",
            ) from error


def _guess(path: Path) -> str:
    """The encodings that would read the file's first part, as a hint."""
    with _opened(path) as file:
        head = file.read(1 << 20)
    fitting = []
    for name in _GUESSES:
        try:
            codecs.getincrementaldecoder(name)().decode(head)
        except UnicodeDecodeError:
            continue
        fitting.append(name)
    return f"; it reads as {' or '.join(fitting)}" if fitting else ""


def read_table(name: str, folder: Path, *, encoding: str = "") -> Iterator[Row]:
    """Rows of the table that a config names; paths are relative to `folder`."""
    return read_rows(folder / name, encoding=encoding)
