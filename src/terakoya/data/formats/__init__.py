"""Tables on disk, read as text. `1`, `1.0`, `007`, `NA` and trailing spaces are read byte for byte."""

from __future__ import annotations

from terakoya.data.formats.csv_tsv import write_rows
from terakoya.data.formats.encoding import MAX_CELL, detect_encoding
from terakoya.data.formats.many_files import read_table
from terakoya.data.formats.rows import TableRow, require_columns
from terakoya.data.formats.single_table import (
    DELIMITERS,
    TABLE_SUFFIXES,
    not_a_table,
    read_lines,
    read_rows,
    table_notes,
)

__all__ = [
    "DELIMITERS", "MAX_CELL", "TABLE_SUFFIXES", "TableRow", "detect_encoding", "not_a_table", "read_lines",
    "read_rows", "read_table", "require_columns", "table_notes", "write_rows",
]  # fmt: skip
