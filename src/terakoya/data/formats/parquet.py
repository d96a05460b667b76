"""Parquet, and data sets on the Hugging Face Hub: typed tables, taken as text or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from terakoya.data.formats.encoding import open_file
from terakoya.data.formats.jsonl import rows_from_objects
from terakoya.data.formats.layouts import CHATS, layout_of
from terakoya.data.formats.rows import TableRow
from terakoya.errors import DataError, need
from terakoya.i18n import _

_BATCH = 20_000  # rows held at once
# Columns that are understood wherever they exist (data/table.py, layouts.py).
_KNOWN = frozenset(
    (*CHATS, "system", "history", "prompt", "question", "query", "completion", "response", "answer", "instruction",
     "source", "target", "input", "output", "origin", "kind", "accepted", "tags", "turns", "subset", "part", "group")
)  # fmt: skip
_TEXTS = ("String", "Int", "UInt", "Boolean", "List(String)", "Categorical", "Enum", "Null")
_NO_TEXT = ("Binary", "Duration", "Object", "Array")


def read_parquet(path: Path, wanted: Sequence[str]) -> Iterator[TableRow]:
    """Rows of a Parquet file, streamed; the line is the number of the row.

    path    the file
    wanted  columns that will be used; one whose type has no text is refused (DataError). Others are not converted
    """
    with open_file(path) as file:
        if file.read(4) != b"PAR1":
            raise DataError(
                _("this is no Parquet file"),
                where=str(path),
                do=_("Check the file, or write it again."),
            )
    polars = need("polars", extra="tables")
    try:
        table = polars.scan_parquet(path)
        schema = table.collect_schema()
        types = {name: str(kind) for name, kind in schema.items()}
        for name in wanted:
            _refuse_float(name, schema.get(name) in (polars.Float32, polars.Float64), str(path))
            _refuse_type(name, types.get(name, ""), str(path))
        yield from rows_from_objects(_slices(table.select(_used(types, wanted))), str(path))
    except polars.exceptions.PolarsError as error:
        raise DataError(
            _("not a readable Parquet file: {error}", error=error),
            where=str(path),
            do=_("Write it again."),
        ) from error


def _used(types: Mapping[str, str], wanted: Sequence[str]) -> list[str]:
    """The columns that are converted: all of texts and whole numbers; of other types those that are used."""
    names = list(types)
    if not wanted or (not set(wanted) <= set(names) and not layout_of(names) and not set(CHATS) & set(names)):
        return names  # a message will say which there are
    return [name for name in names if name in wanted or name in _KNOWN or types[name].startswith(_TEXTS)]


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
    repository, _colon, split = name.partition(":")
    split = split or "train"
    try:
        rows = _as_text(library, repository, split)
        for column in wanted:
            kind = str(getattr((rows.features or {}).get(column), "dtype", ""))
            _refuse_float(column, kind.startswith(("float", "double")), f"hub:{name}")
            _refuse_type(column, kind, f"hub:{name}")
        values = ((number, _plain(row)) for number, row in enumerate(rows, 1))
        yield from rows_from_objects(values, f"hub:{name}")
    except (OSError, ValueError, LookupError) as error:  # what the package raises: not found, offline, no such split
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise DataError(
            _(
                "the data set '{repository}' (split '{split}') cannot be loaded from the Hugging Face Hub: {reason}",
                repository=repository,
                split=split,
                reason=reason,
            ),
            where=f"hub:{name}",
            do=_("Check the name and the connection; or download the file by hand and name it in task.data."),
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
            _(
                "the column '{name}' holds floating-point numbers, which have lost their spelling (1 and 1.0 are one)",
                name=name,
            ),
            where=where,
            do=_("Write the column as text, and name that file."),
        )


def _refuse_type(name: str, kind: str, where: str) -> None:
    """Refuses a used column of bytes, durations and other things that no one way of writing is known for."""
    if kind.partition("(")[0] in _NO_TEXT or kind.startswith(("binary", "large_binary", "duration")):
        raise DataError(
            _("the column '{name}' holds {kind}, which is no text", name=name, kind=kind),
            where=where,
            do=_("Write the column as text, and name that file."),
        )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values as JSON lines would have them: whole numbers and decimals as text, dates and times in ISO form."""
    return {key: _text(item) for key, item in row.items()}


def _text(item: Any) -> Any:
    if isinstance(item, bool) or item is None or isinstance(item, str):
        return item
    if isinstance(item, int | float | Decimal):
        return str(item)
    if isinstance(item, date | time):  # a datetime is a date
        return item.isoformat()
    if isinstance(item, Mapping):
        return {str(key): _text(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [_text(value) for value in item]
    return None  # bytes, durations, pictures: refused above where they are used
