"""A table before anything is trained on it: how it is read, its first rows, and single rows by their lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from terakoya.data.formats import TABLE_SUFFIXES, TableRow, detect_encoding, read_lines, read_rows
from terakoya.data.formats.many_files import table_files
from terakoya.pipeline.scaffold.table_profile import TableProfile, look_at, sample_rows

TABLE_FILES = (*TABLE_SUFFIXES, ".txt")
FIRST_ROWS, MOST_LINES = 8, 200


@dataclass(frozen=True)
class TablePreview:
    """What a person sees of a table first.

    profile   columns, codec and what else a config needs
    encoding  by which it is read
    rows      the first ones
    """

    profile: TableProfile
    encoding: str
    rows: tuple[TableRow, ...]


def preview_table(path: Path, given: Mapping[str, str]) -> TablePreview:
    """A table as `terakoya new --data` sees it.

    path   the table
    given  what the user says himself: "encoding", "source", "target", "codec"; "" or nothing is looked for
    Raises DataError where it cannot be read.
    """
    profile = look_at(path, given)
    encoding = profile.encoding or ("" if path.suffix.lower() == ".parquet" else detect_encoding(path))
    return TablePreview(profile, encoding, tuple(sample_rows(path, profile.encoding)[0][:FIRST_ROWS]))


def rows_at(path: Path, lines: Collection[int], encoding: str = "") -> list[TableRow]:
    """The rows of a table that begin at these lines, in the order of the file.

    path      the table
    lines     counted from 1; of more than MOST_LINES the first are shown
    encoding  of the text; "" is detected
    Raises DataError where it cannot be read.
    """
    wanted = set(sorted(lines)[:MOST_LINES])
    last = max(wanted, default=0)
    rows = sample_rows(path, encoding)[0] if path.suffix.lower() == ".txt" else read_rows(path, encoding=encoding)
    return [row for row in islice(rows, last) if row.line in wanted]


def file_named(name: str, folder: Path) -> Path:
    """The file that a finding names in `Finding.files`: of a table given by a pattern, or a local copy of a remote one.

    name    as the finding says it
    folder  of the config of the table
    """
    return table_files(name, folder)[0].path


def first_rows(path: Path, count: int, encoding: str = "") -> tuple[tuple[str, ...], list[TableRow]]:
    """The columns of a table and its first rows.

    path      the table; a .txt has one column of lines, under no name
    count     of rows at most
    encoding  of the text; "" is detected
    Raises DataError where it cannot be read.
    """
    if path.suffix.lower() == ".txt":
        lines = islice(read_lines(path, encoding=encoding), count)
        return ("",), [TableRow(number, {"": line}) for number, line in enumerate(lines, 1)]
    rows = list(islice(read_rows(path, encoding=encoding), count))
    return tuple(dict.fromkeys(name for row in rows[:100] for name in row.cells)), rows
