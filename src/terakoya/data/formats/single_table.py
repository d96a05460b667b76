"""One table: a file, two plain texts side by side, or a data set of the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from terakoya.data.formats.csv_tsv import read_delimited, read_layout
from terakoya.data.formats.encoding import open_text, refuse_archives, split_lines
from terakoya.data.formats.rows import TableRow
from terakoya.errors import DataError
from terakoya.i18n import _

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def is_no_file(name: str) -> bool:
    """Whether a name stands for a data set of the Hub or for two plain texts, and so for no path.

    name  as a config names its table
    """
    return "|" in name or name.startswith("hub:")


def read_single(name: str, folder: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> Iterator[TableRow]:
    """Rows of one table. Rows of a spreadsheet whose cells are all empty are no rows.

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
    return read_rows(folder / name, encoding=encoding, wanted=wanted, skip_blank=True)


def read_rows(
    path: Path, *, encoding: str = "", wanted: Sequence[str] = (), skip_blank: bool = False
) -> Iterator[TableRow]:
    """Rows of a .csv, .tsv, .jsonl, .json or .parquet file, streamed (but .json).

    path        the file
    encoding    of the text; "" is detected (BOM, else UTF-8)
    wanted      the columns that will be used; see `read_table`
    skip_blank  True: rows of .csv and .tsv whose cells are all empty are no rows (default: they are)
    Raises DataError for what cannot be trusted, naming the line.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        yield from read_delimited(path, DELIMITERS[suffix], encoding, wanted, skip_blank=skip_blank)
    elif suffix in (".jsonl", ".ndjson", ".json"):
        from terakoya.data.formats.jsonl import read_json, read_jsonl

        yield from (read_json if suffix == ".json" else read_jsonl)(path, encoding)
    elif suffix == ".parquet":
        from terakoya.data.formats.parquet import read_parquet

        yield from read_parquet(path, wanted)
    else:
        refuse_archives(path)
        raise not_a_table(path)


def not_a_table(path: Path) -> DataError:
    """The refusal of a file whose suffix names no table.

    path  the file
    """
    return DataError(
        _("'{suffix}' is no table that Terakoya reads", suffix=path.suffix),
        where=str(path),
        do=_(
            "Bring .csv, .tsv, .jsonl, .json or .parquet (cells separated by tabs make a .tsv: rename the file), or "
            'two plain texts as "source.txt|target.txt".'
        ),
    )


def table_notes(name: str, folder: Path, *, encoding: str = "", wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """What was left out around the cells of a table (a title, columns without a name), one message each.

    name      as a config names it
    folder    paths are relative to it
    encoding  "" is detected
    wanted    the columns that will be used
    """
    path = folder / name
    suffix = path.suffix.lower()
    if is_no_file(name) or suffix not in DELIMITERS:
        return ()
    return read_layout(path, DELIMITERS[suffix], encoding, wanted).notes()


def read_lines(path: Path, *, encoding: str = "") -> Iterator[str]:
    """Lines of a plain text without their ends, read as tables are.

    path      the file
    encoding  "" is detected (BOM, else UTF-8)
    Raises DataError for bytes that the encoding cannot read, naming one that can.
    """
    with open_text(path, encoding) as file:
        for line in split_lines(file, path):
            yield line.rstrip("\r\n")
