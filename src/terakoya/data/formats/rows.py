"""What a table is made of, and how its faults are told: all of one kind at once."""

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
class Row:
    """One row of a table: its line in the file (counted from 1) and its cells by column name.

    lists  cells that were lists of texts, as such (in `cells` they stand as JSON)
    turns  of a chat, what was said before the source
    """

    line: int
    cells: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    turns: tuple[Turn, ...] = ()


@dataclass
class Faults:
    """Faults of one kind, collected so that a file is mended once."""

    what: str
    do: str
    found: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, detail: str) -> None:
        self.count += 1
        if self.count <= SHOWN:
            self.found.append(both(f"line {line}: {detail}", f"{line}行目：{japanese(detail)}"))

    def refuse(self, where: str) -> None:
        """Raises DataError where there is a fault."""
        if self.count:
            rest = self.count - SHOWN
            more = both(f"\n… and {rest} more", f"\n… 他{rest}件") if rest > 0 else ""
            times = both(f" ({self.count} times)", f"（{self.count}件）") if self.count > 1 else ""
            raise DataError(
                joined("", (self.what, times, "\n", joined("\n", self.found), more)), where=where, do=self.do
            )


def columns(rows: Iterator[Row], wanted: Sequence[str], where: str) -> Iterator[Row]:
    """The same rows, each known to have all wanted columns."""
    missing = Faults(
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
    missing.refuse(where)
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
                f"The cells seem to be parted by {mark!r}: save it as .csv with commas, or as .tsv with tabs.",
                f"セルが {mark!r} で区切られているようだ：コンマ区切りの .csv か、タブ区切りの .tsv で保存すること。",
            )
    raise DataError(
        both(
            f"there is no column '{name}' (found: {', '.join(map(repr, found))})",
            f"列 '{name}' がない（あるのは {', '.join(map(repr, found))}）",
        ),
        where=where,
        do=do
        or both(
            f'Say which column it is, as in task.source = "{found[0] if found else "text"}".',
            f'どの列か指定すること。例：task.source = "{found[0] if found else "text"}"。',
        ),
    )
