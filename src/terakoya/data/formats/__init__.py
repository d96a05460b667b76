"""Tables on disk, read as text. `1`, `1.0`, `007`, `NA` and trailing spaces come out byte for byte as they went in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.data.formats.csv_tsv import read_delimited, write_rows
from terakoya.data.formats.encoding import MAX_CELL, encoding_of, refuse_archives
from terakoya.data.formats.rows import Row, columns
from terakoya.errors import DataError
from terakoya.i18n import both

__all__ = ["MAX_CELL", "Row", "columns", "encoding_of", "read_rows", "read_table", "write_rows"]


def read_table(name: str, folder: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of the table that a config names; paths are relative to `folder`.

    A file, "hub:owner/name", or two plain texts "src.txt|tgt.txt". `wanted` are the columns that will be used:
    a typed table in which one of them cannot be text is refused.
    """
    if name.startswith("hub:"):
        from terakoya.data.formats.parquet import read_hub

        return read_hub(name.removeprefix("hub:"), wanted)
    source, bar, target = name.partition("|")
    if bar:
        from terakoya.data.formats.parallel_text import read_parallel

        return read_parallel(folder / source.strip(), folder / target.strip(), encoding)
    return read_rows(folder / name, encoding=encoding, wanted=wanted)


def read_rows(path: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of a .csv, .tsv, .jsonl or .parquet file, streamed. Refuses what cannot be trusted, naming the line."""
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
