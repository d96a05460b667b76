"""One table in several files, by a pattern such as `rows/*.jsonl`, and files elsewhere (`hf://`, `s3://`).

Files come in the order of their names. The rows of the second file are numbered from 1,000,000,000 on, those of the
third from 2,000,000,000 and so on: a number is enough to say which file and line it is, whoever kept it.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from terakoya.data.formats.csv_tsv import read_layout
from terakoya.data.formats.remote import is_remote, local_copy, remote_files
from terakoya.data.formats.rows import TableRow
from terakoya.data.formats.single_table import (
    DELIMITERS,
    TABLE_SUFFIXES,
    is_no_file,
    not_a_table,
    read_rows,
    read_single,
)
from terakoya.errors import DataError, need
from terakoya.i18n import _
from terakoya.records import Finding

ROWS_PER_FILE = 1_000_000_000  # of the numbers of rows; no file has so many lines
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class TableFile:
    """One of the files of a table.

    name   as messages and the origin of rows name it
    path   where it is read; a remote file is a copy
    first  is added to its line numbers
    """

    name: str
    path: Path
    first: int = 0

    @property
    def remote(self) -> bool:
        """Whether the file is a copy of one elsewhere."""
        return is_remote(self.name)


def is_pattern(name: str) -> bool:
    """Whether a name stands for several files or for files elsewhere, and so for no path that could be written to.

    name  as a config names its table
    """
    return not is_no_file(name) and (is_remote(name) or bool(_PATTERN.search(name)))


def place_of(path: Path) -> tuple[str, Path]:
    """(name, folder) under which a table is read.

    path  a file, a pattern or a remote file as the command line gives it
    """
    text = str(path)
    name = re.sub(r"^([a-z0-9]+):/+(?=[^/])", r"\1://", text)  # a path has lost the second slash
    if is_remote(name):
        return name, Path()
    if is_pattern(text) and not path.exists():
        return text, Path()
    return path.name, path.parent


def table_files(name: str, folder: Path) -> list[TableFile]:
    """The files of a table, in the order in which they are read.

    name    as a config names it: a file, a pattern, a remote file or pattern
    folder  paths are relative to it
    Raises DataError for a pattern that no file matches.
    """
    if not is_pattern(name) or (not is_remote(name) and (folder / name).is_file()):
        return [TableFile(name, folder / name)]
    if is_remote(name):
        names = remote_files(name)
        paths = [local_copy(one) for one in names]
    else:
        names = _matching(name, folder)
        paths = [folder / one for one in names]
    return [TableFile(one, place, at * ROWS_PER_FILE) for at, (one, place) in enumerate(zip(names, paths, strict=True))]


def _matching(name: str, folder: Path) -> list[str]:
    # Not Path.glob, which refuses absolute patterns.
    names = glob.glob(name, root_dir=folder, recursive=True)  # noqa: PTH207
    found = sorted(Path(one).as_posix() for one in names if not (folder / one).is_dir())
    if not found:
        beside = (folder / name).parent
        tables = sorted(one.name for one in beside.glob("*") if one.suffix.lower() in TABLE_SUFFIXES)[:5]
        raise DataError(
            _("no file matches the pattern"),
            where=name,
            do=_("Tables there are: {tables}", tables=", ".join(tables))
            if tables
            else _('Check the folder ("{folder}"); ** stands for folders below it.', folder=beside),
        )
    for one in found:
        if Path(one).suffix.lower() not in TABLE_SUFFIXES:
            raise not_a_table(folder / one)
    return found


def checked_files(name: str, folder: Path, wanted: Sequence[str], encoding: str = "") -> list[TableFile]:
    """`table_files`, all of which have the same columns.

    name      as a config names it
    folder    paths are relative to it
    wanted    the columns that will be used
    encoding  of the text; "" is detected
    Raises DataError for a pattern without a file, and for a file of unlike columns. Rows of JSON may differ in columns
    that are not used; a wanted one that is missing is found as they are read.
    """
    files = table_files(name, folder)
    if len(files) == 1:
        return files
    seen: tuple[TableFile, list[str]] | None = None
    for file in files:
        with naming(file):
            columns = _columns(file.path, wanted, encoding)
        if columns is None:
            continue
        if seen is not None and set(columns) != set(seen[1]):
            raise DataError(
                _(
                    "the files have unlike columns: {first} has {names}, and {other} has {others}",
                    first=seen[0].name,
                    names=", ".join(map(repr, seen[1])),
                    other=file.name,
                    others=", ".join(map(repr, columns)),
                ),
                where=name,
                do=_("Give all files the same columns, or choose a pattern for those that belong together."),
            )
        seen = seen or (file, columns)
    return files


def _columns(path: Path, wanted: Sequence[str], encoding: str) -> list[str] | None:
    """Names of the columns, where one header says them for all rows."""
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return [one for one in read_layout(path, DELIMITERS[suffix], encoding, wanted).names if one.strip()]
    if suffix == ".parquet":
        polars = need("polars", extra="tables")
        try:
            return list(polars.scan_parquet(path).collect_schema())
        except polars.exceptions.PolarsError:
            return None  # the reader says what is wrong with it
    return None


def rows_of_file(
    file: TableFile, folder: Path, *, encoding: str = "", wanted: Sequence[str] = ()
) -> Iterator[TableRow]:
    """The rows of one file of a table, with the line numbers of that file.

    file      of `table_files`
    folder    paths are relative to it
    encoding  of the text; "" is detected
    wanted    the columns that will be used
    """
    if is_no_file(file.name):
        yield from read_single(file.name, folder, encoding=encoding, wanted=wanted)
        return
    with naming(file):
        for row in read_rows(file.path, encoding=encoding, wanted=wanted, skip_blank=True):
            if row.line >= ROWS_PER_FILE:
                raise DataError(
                    _("more than {most} lines in one file", most=ROWS_PER_FILE - 1),
                    where=str(file.path),
                    do=_("Part the file, and name the parts by a pattern."),
                )
            yield row


def read_table(name: str, folder: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> Iterator[TableRow]:
    """The rows of the table that a config names; of several files one after the other, with the line numbers of each.

    name      a file, a pattern, a remote file, "hub:owner/name", or two plain texts "src.txt|tgt.txt"
    folder    paths are relative to it
    encoding  of the text; "" is detected (BOM, else UTF-8)
    wanted    the columns that will be used: a typed table in which one of them cannot be text is refused
    Raises DataError for what cannot be read, naming the line.
    """
    if not is_pattern(name):
        yield from read_single(name, folder, encoding=encoding, wanted=wanted)
        return
    for file in checked_files(name, folder, wanted, encoding):
        yield from rows_of_file(file, folder, encoding=encoding, wanted=wanted)


@contextmanager
def naming(file: TableFile) -> Iterator[None]:
    """Errors raised inside name a remote file by its address and not by its copy.

    file  that is read
    """
    try:
        yield
    except DataError as error:
        if file.remote and str(file.path) in error.where:
            error.where = error.where.replace(str(file.path), file.name)
        raise


def name_rows(findings: Iterable[Finding], names: Sequence[str]) -> list[Finding]:
    """The same findings; where the data has several files, each row is a line of a file that is named with it.

    findings  of an audit or a preflight
    names     of the files, in the order of their rows
    """
    return [_named_rows(one, names) for one in findings]


def _named_rows(finding: Finding, names: Sequence[str]) -> Finding:
    if len(names) < 2 or not finding.rows or finding.files:
        return finding
    files = tuple(names[row // ROWS_PER_FILE] for row in finding.rows)
    return replace(finding, rows=tuple(row % ROWS_PER_FILE for row in finding.rows), files=files)


def file_records(names: Iterable[str], folder: Path) -> list[dict[str, str | int]]:
    """What a manifest records of tables in several files or elsewhere: name, size and SHA-256 of each file.

    names   as a config names its tables; those that are one file on this machine are left out
    folder  paths are relative to it
    """
    return [
        {"name": file.name, "bytes": file.path.stat().st_size, "sha256": _sha256(file.path)}
        for name in names
        if is_pattern(name)
        for file in table_files(name, folder)
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
