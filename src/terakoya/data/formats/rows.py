"""What a table is made of, and how errors in its rows are collected and reported: all of one kind at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from terakoya.errors import DataError, nearest
from terakoya.i18n import both, japanese, joined
from terakoya.records import Turn

SHOWN = 20  # faults that a refusal lists
_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table.

    line   in the file, counted from 1
    cells  column name → text
    lists  cells that were lists of texts, as such (in `cells` they are JSON)
    turns  of a chat, the messages before the source
    """

    line: int
    cells: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    turns: tuple[Turn, ...] = ()


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
            self.found.append(both(f"line {line}: {detail}", f"{line}行目：{japanese(detail)}"))

    def raise_if_any(self, where: str) -> None:
        """Raises DataError where there is an error.

        where  the file
        """
        if self.count:
            rest, count = self.count - SHOWN, self.count
            more = both(f"\n… and {rest} more", f"\n… 他{rest}件") if rest > 0 else ""
            times = both(f" ({count} times)", f"（{count}件）") if count > 1 else ""
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
        both("rows lack a column that the config names", "設定で指定された列のない行"),
        both("Fill it in, or leave those rows out.", "埋めるか、その行を外すこと。"),
    )
    first = True
    for row in rows:
        absent = [name for name in wanted if name not in row.cells]
        if first and absent:
            _refuse_column(absent[0], list(row.cells), where)
        first = False
        for name in absent:
            missing.add(row.line, both(f"no '{name}' (or null)", f"'{name}' がない（または null）"))
        if not missing.count:
            yield row
    missing.raise_if_any(where)
    if first:
        raise DataError(
            both("0 rows", "0行である"),
            where=where,
            do=both("Bring a table with a header and at least one row.", "見出しと一行以上のある表を用意すること。"),
        )


def _refuse_column(name: str, found: list[str], where: str) -> None:
    do = nearest(name, found)
    if len(found) == 1:
        mark = next((mark for mark in (";", "\t", ",", "|") if mark in found[0]), "")
        if mark:
            do = both(
                f"The cells seem to be separated by {mark!r}: save it as .csv with commas, or as .tsv with tabs.",
                f"セルが {mark!r} で区切られているようだ：コンマ区切りの .csv か、タブ区切りの .tsv で保存すること。",
            )
    names, first = ", ".join(map(repr, found)), found[0] if found else "text"
    raise DataError(
        both(f"there is no column '{name}' (found: {names})", f"列 '{name}' がない（あるのは {names}）"),
        where=where,
        do=do
        or both(
            f'Say which column it is, as in task.source = "{first}".',
            f'どの列か指定すること。例：task.source = "{first}"。',
        ),
    )
