"""Tables on disk, read as text. `1`, `1.0`, `007`, `NA` and trailing spaces are read byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.data.formats.csv_tsv import read_delimited, write_rows
from terakoya.data.formats.encoding import MAX_CELL, detect_encoding, refuse_archives
from terakoya.data.formats.rows import TableRow, require_columns
from terakoya.errors import DataError
from terakoya.i18n import both

__all__ = ["MAX_CELL", "TableRow", "detect_encoding", "read_rows", "read_table", "require_columns", "write_rows"]


def read_table(name: str, folder: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> Iterator[TableRow]:
    """Rows of the table that a config names.

    name      a file, "hub:owner/name", or two plain texts "src.txt|tgt.txt"
    folder    paths are relative to it
    encoding  of the text; "" is detected (BOM, else UTF-8)
    wanted    the columns that will be used: a typed table in which one of them cannot be text is refused
    Raises DataError for what cannot be read, naming the line.
    """
    if name.startswith("hub:"):
        from terakoya.data.formats.parquet import read_hub

        return read_hub(name.removeprefix("hub:"), wanted)
    source, bar, target = name.partition("|")
    if bar:
        from terakoya.data.formats.parallel_text import read_parallel

        return read_parallel(folder / source.strip(), folder / target.strip(), encoding)
    return read_rows(folder / name, encoding=encoding, wanted=wanted)


def read_rows(path: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> Iterator[TableRow]:
    """Rows of a .csv, .tsv, .jsonl or .parquet file, streamed.

    path      the file
    encoding  of the text; "" is detected (BOM, else UTF-8)
    wanted    the columns that will be used; see `read_table`
    Raises DataError for what cannot be trusted, naming the line.
    """
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from read_delimited(path, "\t" if suffix == ".tsv" else ",", encoding)
    elif suffix in (".jsonl", ".ndjson"):
        from terakoya.data.formats.jsonl import read_jsonl

        yield from read_jsonl(path, encoding)
    elif suffix == ".parquet":
        from terakoya.data.formats.parquet import read_parquet

        yield from read_parquet(path, wanted)
    else:
        refuse_archives(path)
        raise DataError(
            both(f"'{path.suffix}' is no table that Terakoya reads", f"'{path.suffix}' は Terakoya が読める表ではない"),
            where=str(path),
            do=both(
                'Bring .csv, .tsv, .jsonl or .parquet, or two plain texts as "source.txt|target.txt".',
                ".csv、.tsv、.jsonl、.parquet のいずれかにするか、"
                '二つのテキストを "source.txt|target.txt" として指定すること。',
            ),
        )
