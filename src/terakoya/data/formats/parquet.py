"""Parquet, and data sets on the Hugging Face Hub: typed tables, taken as text or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.data.formats.encoding import open_file
from terakoya.data.formats.jsonl import rows_from_objects
from terakoya.data.formats.rows import TableRow
from terakoya.errors import DataError, need
from terakoya.i18n import both

_BATCH = 20_000  # rows held at once


def read_parquet(path: Path, wanted: Sequence[str]) -> Iterator[TableRow]:
    """Rows of a Parquet file, streamed; the line is the number of the row.

    path    the file
    wanted  columns that will be used; one of floating-point numbers is refused (DataError)
    """
    with open_file(path) as file:
        if file.read(4) != b"PAR1":
            raise DataError(
                both("this is no Parquet file", "これは Parquet ファイルではない"),
                where=str(path),
                do=both("Check the file, or write it again.", "ファイルを確かめるか、書き直すこと。"),
            )
    polars = need("polars", extra="tables")
    try:
        table = polars.scan_parquet(path)
        schema = table.collect_schema()
        for name in wanted:
            _refuse_float(name, schema.get(name) in (polars.Float32, polars.Float64), str(path))
        yield from rows_from_objects(_slices(table), str(path))
    except polars.exceptions.PolarsError as error:
        raise DataError(
            both(f"not a readable Parquet file: {error}", f"Parquet ファイルとして読めない：{error}"),
            where=str(path),
            do=both("Write it again.", "書き直すこと。"),
        ) from error


def _slices(table: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    start = 0
    while True:
        rows = table.slice(start, _BATCH).collect().to_dicts()
        yield from ((start + number, _plain(row)) for number, row in enumerate(rows, 1))
        if len(rows) < _BATCH:
            return
        start += _BATCH


def read_hub(name: str, wanted: Sequence[str]) -> Iterator[TableRow]:
    """Rows of a data set on the Hugging Face Hub.

    The `datasets` package guesses types: in a CSV `007` becomes 7 and `NA` nothing. So a CSV is opened a second time
    with every column declared as text; a column of floats in another kind of file is refused.

    name    "owner/name", "owner/name/subset" or either with ":split" (default train)
    wanted  columns that will be used
    Raises DataError for a data set that cannot be loaded, and for a column of floats.
    """
    library = need("datasets", extra="datasets")
    repository, _, split = name.partition(":")
    split = split or "train"
    try:
        rows = _as_text(library, repository, split)
        for column in wanted:
            kind = str(getattr((rows.features or {}).get(column), "dtype", ""))
            _refuse_float(column, kind.startswith(("float", "double")), f"hub:{name}")
        values = ((number, _plain(row)) for number, row in enumerate(rows, 1))
        yield from rows_from_objects(values, f"hub:{name}")
    except (OSError, ValueError, LookupError) as error:  # what the package raises: not found, offline, no such split
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise DataError(
            both(
                f"the data set '{repository}' (split '{split}') cannot be loaded from the Hugging Face Hub: {reason}",
                f"データセット '{repository}'（分割 '{split}'）を Hugging Face Hub から読み込めない：{reason}",
            ),
            where=f"hub:{name}",
            do=both(
                "Check the name and the connection; or download the file by hand and name it in task.data.",
                "名前と接続を確かめるか、手でダウンロードして task.data に指定すること。",
            ),
        ) from error


def _as_text(library: Any, repository: str, split: str) -> Any:
    named = repository.split("/")
    # A third part names one of several tables in one repository; a folder goes the same way, and is no such name.
    place = (repository,) if Path(repository).is_dir() else ("/".join(named[:2]), *named[2:])
    rows = library.load_dataset(*place, split=split, streaming=True)
    builder = library.load_dataset_builder(*place)
    if type(builder.config).__name__ != "CsvConfig":
        return rows
    names = rows.column_names or list(next(iter(rows), {}))
    texts = library.Features({column: library.Value("string") for column in names})
    return library.load_dataset(
        *place, split=split, streaming=True, features=texts, keep_default_na=False, na_filter=False
    )


def _refuse_float(name: str, is_float: bool, where: str) -> None:
    if is_float:
        raise DataError(
            both(
                f"the column '{name}' holds floating-point numbers, which have lost their spelling (1 and 1.0 are one)",
                f"列 '{name}' は浮動小数点数で、元の書き方が失われている（1 と 1.0 の区別がない）",
            ),
            where=where,
            do=both(
                "Write the column as text, and name that file.",
                "その列を文字列として書き出し、そのファイルを指定すること。",
            ),
        )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Whole numbers as text, as they are in JSON lines."""
    return {key: str(item) if isinstance(item, int | float) else item for key, item in row.items()}
