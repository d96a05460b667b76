"""What a table is made of, and how errors in its rows are collected and reported: all of one kind at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from terakoya.errors import DataError, nearest
from terakoya.i18n import _, joined
from terakoya.records import Turn

SHOWN = 20  # faults that a refusal lists
_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    line    in the file, counted from 1
    cells   column name → text
    lists   cells that were lists of texts, as such (in `cells` they are JSON)
    turns   of a chat, the messages before the source
    nested  columns that held objects, or lists of anything but texts (in `cells` they are JSON)
    """

    line: int
    cells: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    turns: tuple[Turn, ...] = ()
    nested: frozenset[str] = frozenset()


@dataclass
class RowErrors:
    """Errors of one kind, collected so that a file needs to be corrected only once.

    what   the kind of error, in the plural
    do     what to do about it
    found  the first SHOWN of them, in words
    count  all of them
    """

    what: str
    do: str
    found: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, detail: str) -> None:
        """Records an error.

        line    in the file
        detail  what is wrong there
        """
        self.count += 1
        if self.count <= SHOWN:
            self.found.append(_("line {line}: {detail}", line=line, detail=detail))

    def raise_if_any(self, where: str) -> None:
        """Raises DataError where there is an error.

        where  the file
        """
        if self.count:
            rest, count = self.count - SHOWN, self.count
            more = _("\n… and {rest} more", rest=rest) if rest > 0 else ""
            times = _(" ({count} times)", count=count) if count > 1 else ""
            raise DataError(
                joined("", (self.what, times, "\n", joined("\n", self.found), more)), where=where, do=self.do
            )


def require_columns(rows: Iterator[TableRow], wanted: Sequence[str], where: str) -> Iterator[TableRow]:
    """The same rows, each checked to have all wanted columns.

    rows    of one table
    wanted  names of columns
    where   the file, for messages
    Raises DataError where a column is missing from the table or from a row, and for a table without rows.
    """
    missing = RowErrors(
        _("rows lack a column that the config names"),
        _("Fill it in, or leave those rows out."),
    )
    first = True
    for row in rows:
        absent = [name for name in wanted if name not in row.cells]
        if first and absent:
            _refuse_column(absent[0], list(row.cells), where)
        first = False
        for name in absent:
            missing.add(row.line, _("no '{name}' (or null)", name=name))
        if not missing.count:
            yield row
    missing.raise_if_any(where)
    if first:
        raise DataError(
            _("0 rows"),
            where=where,
            do=_("Bring a table with a header and at least one row."),
        )


def _refuse_column(name: str, found: list[str], where: str) -> None:
    do = nearest(name, found)
    if len(found) == 1:
        mark = next((mark for mark in (";", "\t", ",", "|") if mark in found[0]), "")
        if mark:
            do = _(
                "The cells seem to be separated by {mark!r}: save it as .csv with commas, or as .tsv with tabs.",
                mark=mark,
            )
    names, first = ", ".join(map(repr, found)), found[0] if found else "text"
    raise DataError(
        _("there is no column '{name}' (found: {names})", name=name, names=names),
        where=where,
        do=do or _('Say which column it is, as in task.source = "{first}".', first=first),
    )
