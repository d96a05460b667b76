"""What a table is made of, and how its faults are told: all of one kind at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from terakoya.errors import DataError, nearest
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
            self.found.append(f"line {line}: {detail}")

    def refuse(self, where: str) -> None:
        """Raises DataError where there is a fault."""
        if self.count:
            more = f"\n… and {self.count - SHOWN} more" if self.count > SHOWN else ""
            times = f" ({self.count} times)" if self.count > 1 else ""
            raise DataError(f"{self.what}{times}\n" + "\n".join(self.found) + more, where=where, do=self.do)


def columns(rows: Iterator[Row], wanted: Sequence[str], where: str) -> Iterator[Row]:
    """The same rows, each known to have all wanted columns."""
    missing = Faults("rows lack a column that the config names", "Fill it in, or leave those rows out.")
    first = True
    for row in rows:
        absent = [name for name in wanted if name not in row.cells]
        if first and absent:
            _refuse_column(absent[0], list(row.cells), where)
        first = False
        for name in absent:
            missing.add(row.line, f"no '{name}' (or null)")
        if not missing.count:
            yield row
    missing.refuse(where)
    if first:
        raise DataError("0 rows", where=where, do="Bring a table with a header and at least one row.")


def _refuse_column(name: str, found: list[str], where: str) -> None:
    do = nearest(name, found)
    if len(found) == 1:
        mark = next((mark for mark in (";", "\t", ",", "|") if mark in found[0]), "")
        if mark:
            do = f"The cells seem to be parted by {mark!r}: save it as .csv with commas, or as .tsv with tabs."
    raise DataError(
        f"there is no column '{name}' (found: {', '.join(map(repr, found))})",
        where=where,
        do=do or f'Say which column it is, as in task.source = "{found[0] if found else "text"}".',
    )
