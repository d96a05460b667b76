"""Cells that no person types but tables produce: 1.0, 1e+05, ####, nan, dates that were fractions, lost zeros."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMN_NAMES, AuditContext, AuditRow, Tally, format_percent, share
from terakoya.i18n import _
from terakoya.records import Finding, Level

if TYPE_CHECKING:
    from terakoya.data.audit.known_targets import TargetFacts
    from terakoya.data.audit.row_blocks import RowBlock

_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_CELL = re.compile(
    r"(?P<float>[-(]?\d+\.0\)?)"
    r"|(?P<science>-?\d(?:\.\d+)?[eE]\+\d+)"
    r"|(?P<error>#{3,}|#(?:NAME\?|REF!|VALUE!|DIV/0!|N/A|NUM!|NULL!|SPILL!))"
    r"|(?P<nothing>nan|NaN|NAN|None|null|NULL|NA|N/A|<NA>|NaT|undefined)"
    rf"|(?P<date>\d{{4}}[-/]\d\d?[-/]\d\d?(?: \d\d?:\d\d(?::\d\d)?)?|\d\d?-(?:{_MONTH})|(?:{_MONTH})-\d\d)"
    r"|(?P<japanese_date>\d\d?月\d\d?日)"
)
_SAYS = {
    "float": (
        _("end in .0"),
        _("A data frame made numbers of the column: read it as text (dtype=str) and write it again."),
    ),
    "science": (
        _("are in scientific notation"),
        _("A spreadsheet shortened long numbers: format the column as text."),
    ),
    "error": (
        _("are a spreadsheet's error marks"),
        _("The contents are lost: take them from the original."),
    ),
    "nothing": (
        _("are a program's word for nothing"),
        _("Were they empty, or the words themselves? Correct or drop the rows."),
    ),
    "date": (
        _("are dates"),
        _("A spreadsheet turns 1-2 and 1/2 into dates: format the column as text before typing."),
    ),
}
# What any of these, a number or an empty cell begins with, or a header consists of.
_SUSPECT = re.compile(r"^[\s\x1c-\x1f]*(?:$|[-(#<\dnNuJFMASOD])|^[A-Za-z]{1,8}$")
_LOST = ("error", "nothing")  # of these the contents are gone
_SOURCES = frozenset("source input text question prompt japanese sentence".split())  # noqa: SIM905
_TARGETS = frozenset("target output label labels answer response arabic emoji".split())  # noqa: SIM905


@dataclass
class _DamageColumn:
    """What one column shows."""

    kinds: dict[str, Tally] = field(default_factory=dict)
    empty: Tally = field(default_factory=Tally)
    digits: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    leading: int = 0  # cells of digits alone that start with 0

    def add(self, text: str, row: int, *, target: bool) -> None:
        bare = text.strip()
        if not bare:
            self.empty.add(row)
            return
        if len(bare) > 24:
            return
        if bare.isdecimal() and bare.isascii():
            self.digits += 1
            self.widths[len(bare)] += 1
            self.leading += bare[0] == "0" and len(bare) > 1
            return
        found = _CELL.fullmatch(bare)
        if found and found.lastgroup:
            kind = found.lastgroup
            if kind == "japanese_date":
                if not target:
                    return  # 1月2日 is a thing that people write
                kind = "date"
            self.kinds.setdefault(kind, Tally()).add(row, text)


class SpreadsheetDamage:
    """Looks for damaged cells, header rows among the data, and a shifted header.

    subject  what the data is for
    """

    PATTERN = _SUSPECT.pattern

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.rows = 0
        self.columns = {"source": _DamageColumn(), "target": _DamageColumn()}
        self.headers = Tally()
        self.offsets: Counter[int] = Counter()  # a source of digits, less the index of its row

    def add(self, row: AuditRow) -> None:
        """Looks at both cells of the row.

        row  in the order of the file
        """
        example = row.example
        self.rows += 1
        self.columns["source"].add(example.source, example.row, target=False)
        self.columns["target"].add(example.target, example.row, target=True)
        if example.source.isascii():
            if example.source.lower() in _SOURCES and example.target.lower() in _TARGETS:
                self.headers.add(example.row, f"{example.source}, {example.target}")
            if example.source.isdecimal() and len(example.source) < 12 and len(self.offsets) < 10_000:
                self.offsets[int(example.source) - row.place] += 1

    def add_block(self, block: RowBlock) -> None:
        """Looks at the rows of `block` with a cell that may be damaged, a number, or a header's."""
        odd = block.sources_with(self.PATTERN) | block.of_targets("damaged", self._is_suspect)
        for row in block.rows(odd):
            self.add(row)
        self.rows += len(block) - int(odd.sum())

    def _is_suspect(self, facts: TargetFacts) -> bool:
        return _SUSPECT.search(facts.text) is not None

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind of damage and column."""
        for name, column in self.columns.items():
            yield from self._empty(name, column)
            for kind, tally in column.kinds.items():
                yield self._cells(name, kind, tally)
            yield from self._codes(name, column)
        if count := self.headers.count:
            yield self.headers.finding(
                "header-rows",
                "warn",
                _("{count} rows are a header", count=count),
                do=_("Two files were concatenated: take the second header out."),
            )
        yield from self._shifted()

    def _empty(self, name: str, column: _DamageColumn) -> Iterator[Finding]:
        count, title = column.empty.count, COLUMN_NAMES[name]
        if count:
            yield column.empty.finding(
                "empty",
                "warn",
                _("{count} {title} are empty or white space", count=count, title=title),
                do=_("Fill them in, or drop the rows."),
                where=name,
            )

    def _cells(self, name: str, kind: str, tally: Tally) -> Finding:
        says, do = _SAYS[kind]
        part = share(tally.count, self.rows)
        count, percent, title = tally.count, format_percent(part), COLUMN_NAMES[name]
        level: Level = "warn" if part >= line.DAMAGED else "note"
        if kind == "date" and part >= line.DATE_TASK:
            level = "note"  # they are what the task is about
        if kind in _LOST and part >= line.RUINED:
            level = "stop"
        return tally.finding(
            f"damaged-{kind}",
            level,
            _("{count} {title} ({percent}) {description}", count=count, title=title, percent=percent, description=says),
            do=do,
            where=name,
        )

    def _codes(self, name: str, column: _DamageColumn) -> Iterator[Finding]:
        """Postal codes and the like: one width, some shorter, and not one that starts with 0."""
        if self.subject.kind in ("number", "quantity") or column.digits < max(line.LEAST_CODES, self.rows / 2):
            return
        width, count = column.widths.most_common(1)[0]
        shorter = sum(uses for size, uses in column.widths.items() if size < width)
        usual = share(count, column.digits) >= line.CODE_WIDTH_SHARE and shorter + count == column.digits
        title = COLUMN_NAMES[name]
        if usual and shorter and width > 3 and not column.leading:
            yield Finding(
                "leading-zeros",
                "warn",
                _(
                    "{shorter} {title} have fewer than the {width} digits of the others, and none starts with 0: "
                    "leading zeros may be lost",
                    shorter=shorter,
                    title=title,
                    width=width,
                ),
                do=_("Take the codes from the original, as text."),
                where=name,
                values={"rows": float(shorter), "width": float(width)},
            )

    def _shifted(self) -> Iterator[Finding]:
        """Sources that count the rows: a data frame's index has taken the position of the source."""
        if not self.offsets:
            return
        _offset, count = self.offsets.most_common(1)[0]
        if count >= 5 and share(count, self.columns["source"].digits) >= line.INDEX_SHARE:
            yield Finding(
                "shifted-header",
                "warn",
                _("{count} sources are the number of their row: an index has pushed the columns by one", count=count),
                do=_("Write the table without its index, or name the right columns (task.source, task.target)."),
                where="source",
                values={"rows": float(count)},
            )
