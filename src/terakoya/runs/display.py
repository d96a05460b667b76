"""How values show themselves outside the house: as plain dictionaries, as a data frame, as a table in a notebook."""

from __future__ import annotations

import dataclasses
import html
import importlib.util
import json
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from terakoya.errors import need
from terakoya.runs.disk import to_jsonable

T = TypeVar("T")
SHOWN = 50  # rows of a table in a notebook


def frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows as a data frame: a polars one where polars is installed, else a pandas one.

    rows  one mapping a row; keys are the columns, in the order in which they first stand
    Raises MissingPackageError where neither is installed.
    """
    listed = [dict(row) for row in rows]
    columns = list(dict.fromkeys(key for row in listed for key in row))
    cells = {column: [_cell(row.get(column)) for row in listed] for column in columns}
    for library, options in (("polars", {"strict": False}), ("pandas", {})):
        if importlib.util.find_spec(library):
            return importlib.import_module(library).DataFrame(cells, **options)
    return need("polars", extra="tables").DataFrame(cells)


def table(rows: Iterable[Mapping[str, Any]], *, shown: int = SHOWN) -> str:
    """Rows as an HTML table, every text escaped.

    rows   one mapping a row
    shown  rows at most; how many are left out stands below
    """
    listed = [dict(row) for row in rows]
    columns = list(dict.fromkeys(key for row in listed for key in row))
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(row.get(column)))}</td>" for column in columns) + "</tr>"
        for row in listed[:shown]
    )
    more = f"<p>… {len(listed) - shown}</p>" if len(listed) > shown else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


class Displayed:
    """A result of the Python API: `to_dict()`, `to_frame()`, and a table in a notebook.

    A class that inherits from it may say by `table_rows()` what its table holds; a dataclass shows its fields.
    """

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each row of the table."""
        return [self.to_dict()]

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON knows it."""
        return {field.name: to_jsonable(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    def to_frame(self) -> Any:
        """The rows as a polars data frame, or a pandas one where polars is missing."""
        return frame(self.table_rows())

    def _repr_html_(self) -> str:
        return table(self.table_rows())


class Listing(tuple[T, ...], Displayed, Generic[T]):
    """Several values of one kind, in order: a tuple that shows itself as a table."""

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each value."""
        return [value if isinstance(value, dict) else to_jsonable(value) for value in self]

    def to_dict(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Each value as JSON knows it."""
        return self.table_rows()


def _cell(value: Any) -> Any:
    """What a data frame's column can hold: nested values as their JSON text."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(to_jsonable(value), ensure_ascii=False)
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(_cell(value))
