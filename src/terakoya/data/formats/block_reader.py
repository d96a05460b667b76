"""The blocks of a large table, whatever kind of file it is."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.data.formats.blocks import NotPlain, TextBlock, delimited_blocks, parquet_blocks
from terakoya.data.formats.jsonl_blocks import read_line_blocks
from terakoya.errors import TerakoyaError, need

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_blocks(path: Path, encoding: str, wanted: Sequence[str], *, lists: str = "") -> Iterator[TextBlock]:
    """The wanted columns of a .csv, .tsv, .jsonl or .parquet file, block by block.

    path      the file; rows of .csv and .tsv whose cells are all empty, and blank lines of .jsonl, are no rows
    encoding  of the text; "" is detected
    wanted    columns; a column `origin` comes with them where it exists
    lists     the column that in .jsonl may hold lists of texts, which stay as they are spelt; "" is none
    Raises NotPlain, at any time, where the table must be read row by row.
    """
    polars, suffix = need("polars", extra="tables"), path.suffix.lower()
    try:
        if suffix in DELIMITERS:
            yield from delimited_blocks(path, DELIMITERS[suffix], encoding, wanted)
        elif suffix in (".jsonl", ".ndjson"):
            yield from read_line_blocks(path, encoding, wanted, lists)
        elif suffix == ".parquet":
            yield from parquet_blocks(path, wanted)
        else:
            raise NotPlain
    except (TerakoyaError, UnicodeError, csv.Error, polars.exceptions.PolarsError) as error:
        raise NotPlain from error  # read row by row, the fault is named with its line
