"""Targets that break the form of the others: another width or dash in one of three hundred, month and day exchanged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import regex

from terakoya.codec.text import fold_source
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import AuditContext, AuditRow, Tally, shorten
from terakoya.i18n import _
from terakoya.records import Finding

if TYPE_CHECKING:
    from terakoya.data.audit.row_blocks import RowBlock

_DIGITS = regex.compile(r"[0-9]+")
_FULL_DIGITS = regex.compile(r"[０-９]+")
_LETTERS = regex.compile(r"[\p{L}\p{M}--[Ａ-Ｚａ-ｚ]]+", regex.V1)
_FULL_LETTERS = regex.compile(r"[Ａ-Ｚａ-ｚ]+")
_SPACES = regex.compile(r"\s+")
_DATE = re.compile(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<first>\d\d?)(?P=mark)(?P<second>\d\d?)")
_DATE_YEAR_LAST = re.compile(r"(?P<first>\d\d?)(?P<mark>[-/.])(?P<second>\d\d?)(?P=mark)(?P<year>\d{4})")
_SPOKEN = re.compile(r"(?P<month>[0-9〇一二三四五六七八九十]{1,3})月(?P<day>[0-9〇一二三四五六七八九十]{1,3})日")
_KANJI = {char: at for at, char in enumerate("〇一二三四五六七八九")}


@dataclass
class _Form:
    """Targets that have one form once widths, spaces and dashes are folded."""

    spellings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Tally] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)


class TargetForms:
    """Compares how targets are written: digits and words as one sign each, everything else as it is.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.forms: dict[str, _Form] = {}
        self.rows = 0
        self.exchanged, self.impossible = Tally(), Tally()
        self.orders: Counter[str] = Counter()
        self.dates: dict[str, Tally] = {"month first": Tally(), "day first": Tally()}

    def add(self, row: AuditRow) -> None:
        """Looks at the target.

        row  in the order of the file
        """
        target = row.example.target
        self.rows += 1
        if self.subject.labels or not target or len(target) > line.LONG_TEXT:
            return
        self._date(row)
        folded = _SPACES.sub("", _shape(fold_source(target)))
        if folded not in self.forms and len(self.forms) >= line.FORMS_KEPT:
            return
        form, spelling = self.forms.setdefault(folded, _Form()), _shape(target)
        form.spellings[spelling] += 1
        form.firsts.setdefault(spelling, target)
        if len(form.examples) < line.SPELLINGS_KEPT or spelling in form.examples:
            form.examples.setdefault(spelling, Tally()).add(row.example.row, target)

    def add_block(self, block: RowBlock) -> None:
        """Looks at the targets of `block`; sets of labels have no form."""
        if self.subject.labels:
            self.rows += len(block)
            return
        for row in block.rows():
            self.add(row)

    def _date(self, row: AuditRow) -> None:
        target = row.example.target.strip()
        found = _DATE.fullmatch(target) or _DATE_YEAR_LAST.fullmatch(target)
        if not found:
            return
        first, second = int(found["first"]), int(found["second"])
        if max(first, second) > 31 or min(first, second) == 0 or min(first, second) > 12:
            return
        if first != second and max(first, second) > 12:
            order = "day first" if first > 12 else "month first"
            self.orders[order] += 1
            self.dates[order].add(row.example.row, target)
        said = _SPOKEN.search(row.example.source)
        if said and first != second:
            month, day = _number(said["month"]), _number(said["day"])
            straight = "month first" if (first, second) == (month, day) else ""
            if not straight and (second, first) == (month, day):
                source = shorten(row.example.source, 20)
                self.exchanged.add(row.example.row, _("{source} → {target}", source=source, target=target))
                straight = "day first"
            self.orders[f"said {straight}"] += 1

    def findings(self) -> Iterator[Finding]:
        """One finding on spellings, one on dates."""
        odd = Tally()
        usual = ""
        for form in self.forms.values():
            (spelling, most), total = form.spellings.most_common(1)[0], form.spellings.total()
            few = total - most
            if total < line.FORM_ROWS or not 0 < few <= line.ODD_FORMS * total:
                continue
            usual = usual or form.firsts[spelling]
            for other, tally in form.examples.items():
                if other != spelling:
                    odd.count += tally.count
                    odd.rows = sorted({*odd.rows, *tally.rows})[: line.ROWS_NAMED]
                    odd.first = odd.first or tally.first
        if odd.count:
            count, shown = odd.count, shorten(usual)
            yield odd.finding(
                "odd-forms",
                "warn",
                _(
                    "{count} targets are written in another width, with other spaces or marks than the others, like "
                    "{shown}",
                    count=count,
                    shown=shown,
                ),
                do=_("Write them as the others: as it is, one target has two spellings."),
                where="target",
            )
        yield from self._exchanged()

    def _exchanged(self) -> Iterator[Finding]:
        """Dates whose month and day stand the other way round than in the rest, or than in their source."""
        tally, said = self.exchanged, self.orders["said month first"]
        if not (tally.count and tally.count <= line.ODD_DATES * (said + tally.count)):
            counts = [(self.orders[order], order) for order in ("month first", "day first")]
            (few, rare), (many, _common) = sorted(counts)
            tally = self.dates[rare] if few and few <= line.ODD_DATES * (few + many) else Tally()
        if count := tally.count:
            yield tally.finding(
                "month-day",
                "warn",
                _("{count} dates have month and day exchanged", count=count),
                do=_("Correct these rows."),
                where="target",
            )


def _shape(text: str) -> str:
    """Digits, words, and their full-width forms as one sign each; every other character as it is."""
    shaped = _FULL_LETTERS.sub("Ａ", _LETTERS.sub("A", _FULL_DIGITS.sub("９", _DIGITS.sub("9", text))))
    return shaped[: line.LONG_TEXT]


def _number(text: str) -> int:
    """A month or day as it is said: 3, 三, 十二, 二十三; 0 where it is none."""
    if text.isascii():
        return int(text)
    tens, ten, ones = text.partition("十")
    if not ten:
        return int("".join(str(_KANJI[char]) for char in text)) if all(char in _KANJI for char in text) else 0
    if any(char not in _KANJI for char in tens + ones) or len(tens) > 1 or len(ones) > 1:
        return 0
    return 10 * (_KANJI[tens] if tens else 1) + (_KANJI[ones] if ones else 0)
