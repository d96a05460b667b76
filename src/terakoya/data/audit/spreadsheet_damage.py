"""Cells that no person types but tables produce: 1.0, 1e+05, ####, nan, dates that were fractions, lost zeros."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMN_NAMES, AuditContext, AuditRow, Tally, format_percent, share
from terakoya.i18n import both, japanese
from terakoya.records import Finding, Level

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
        both("end in .0", "末尾が .0 である"),
        both(
            "A data frame made numbers of the column: read it as text (dtype=str) and write it again.",
            "データフレームが列を数値にしている：文字列として読み（dtype=str）、書き直すこと。",
        ),
    ),
    "science": (
        both("are in scientific notation", "指数表記になっている"),
        both(
            "A spreadsheet shortened long numbers: format the column as text.",
            "表計算ソフトが長い数を縮めている：列を文字列の書式にすること。",
        ),
    ),
    "error": (
        both("are a spreadsheet's error marks", "表計算ソフトのエラー表示である"),
        both("The contents are lost: take them from the original.", "内容は失われている：元のデータから取り直すこと。"),
    ),
    "nothing": (
        both("are a program's word for nothing", "プログラムが空を表す語である"),
        both(
            "Were they empty, or the words themselves? Correct or drop the rows.",
            "空欄だったのか、その語そのものか。直すか行を外すこと。",
        ),
    ),
    "date": (
        both("are dates", "日付である"),
        both(
            "A spreadsheet turns 1-2 and 1/2 into dates: format the column as text before typing.",
            "表計算ソフトは 1-2 や 1/2 を日付に変える：入力の前に列を文字列の書式にすること。",
        ),
    ),
}
_LOST = ("error", "nothing")  # of these the contents are gone
_SOURCES = frozenset("source input text question prompt japanese sentence".split())  # noqa: SIM905
_TARGETS = frozenset("target output label labels answer response arabic emoji".split())  # noqa: SIM905


@dataclass
class _Column:
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

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.rows = 0
        self.columns = {"source": _Column(), "target": _Column()}
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
                both(f"{count} rows are a header", f"{count}行が見出し行である"),
                do=both(
                    "Two files were concatenated: take the second header out.",
                    "二つのファイルをつないでいる：二番目の見出し行を取り除くこと。",
                ),
            )
        yield from self._shifted()

    def _empty(self, name: str, column: _Column) -> Iterator[Finding]:
        count, title = column.empty.count, COLUMN_NAMES[name]
        if count:
            yield column.empty.finding(
                "empty",
                "warn",
                both(
                    f"{count} {title} are empty or white space",
                    f"{japanese(title)}{count}件が空か空白だけである",
                ),
                do=both("Fill them in, or drop the rows.", "埋めるか、その行を外すこと。"),
                where=name,
            )

    def _cells(self, name: str, kind: str, tally: Tally) -> Finding:
        says, do = _SAYS[kind]
        part = share(tally.count, self.rows)
        count, percent, title = tally.count, format_percent(part), COLUMN_NAMES[name]
        level: Level = "warn" if part >= line.DAMAGED else "note"
        if kind in _LOST and part >= line.RUINED:
            level = "stop"
        return tally.finding(
            f"damaged-{kind}",
            level,
            both(
                f"{count} {title} ({percent}) {says}",
                f"{japanese(title)}{count}件（{percent}）が{japanese(says)}",
            ),
            do=do,
            where=name,
        )

    def _codes(self, name: str, column: _Column) -> Iterator[Finding]:
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
                both(
                    f"{shorter} {title} have fewer than the {width} digits of the others, and none starts with 0: "
                    "leading zeros may be lost",
                    f"{japanese(title)}{shorter}件が、他の{width}桁より短く、0で始まるものが一つもない："
                    "先頭のゼロが失われたおそれがある",
                ),
                do=both("Take the codes from the original, as text.", "元のデータから、文字列として取り直すこと。"),
                where=name,
                values={"rows": float(shorter), "width": float(width)},
            )

    def _shifted(self) -> Iterator[Finding]:
        """Sources that count the rows: a data frame's index has taken the position of the source."""
        if not self.offsets:
            return
        _, count = self.offsets.most_common(1)[0]
        if count >= 5 and share(count, self.columns["source"].digits) >= line.INDEX_SHARE:
            yield Finding(
                "shifted-header",
                "warn",
                both(
                    f"{count} sources are the number of their row: an index has pushed the columns by one",
                    f"入力{count}件が行番号である：索引のために列が一つずれている",
                ),
                do=both(
                    "Write the table without its index, or name the right columns (task.source, task.target).",
                    "索引なしで表を書き出すか、正しい列を指定すること（task.source、task.target）。",
                ),
                where="source",
                values={"rows": float(count)},
            )
