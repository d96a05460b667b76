"""How long sources and targets are: histograms, and targets that are far longer than the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMN_NAMES, AuditContext, AuditRow, Tally, bars, share
from terakoya.i18n import _
from terakoya.records import Finding

if TYPE_CHECKING:
    from terakoya.data.audit.known_targets import TargetFacts
    from terakoya.data.audit.row_blocks import RowBlock


class TextLengths:
    """How long sources and targets are, and targets that are far longer than the rest.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.sources: Counter[int] = Counter()
        self.targets: Counter[int] = Counter()
        self.longest: list[tuple[int, int, str]] = []  # the longest targets: length, row, text
        self.many = Tally()

    def add(self, row: AuditRow) -> None:
        """Counts the characters of the row.

        row  in the order of the file
        """
        target = row.example.target
        self.sources[min(len(row.example.source), 100_000)] += 1
        self.targets[min(len(target), 100_000)] += 1
        self._compare(row)
        if self.subject.labels and len((row.canonical or target).split()) > line.MANY_LABELS:
            self.many.add(row.example.row, target)

    def add_block(self, block: RowBlock) -> None:
        """Counts the characters of all rows of `block`."""
        import numpy as np

        for sizes, counts in (
            (block.source_sizes, self.sources),
            (block.values("size", lambda facts: len(facts.text)).astype(np.int64), self.targets),
        ):
            sizes = np.minimum(sizes, 100_000)
            found, uses = np.unique(sizes, return_counts=True)
            counts.update(dict(zip(found.tolist(), uses.tolist(), strict=True)))
        lacking = max(0, line.ROWS_NAMED - len(self.longest))  # so many are compared whatever their size
        for row in [block.row(at) for at in range(min(lacking, len(block)))]:
            self._compare(row)
        if len(self.longest) >= line.ROWS_NAMED:
            longer = np.flatnonzero(sizes > self.longest[-1][0])
            longer = longer[longer >= lacking]
            for at in longer[np.argsort(-sizes[longer], kind="stable")][: line.ROWS_NAMED].tolist():
                self._compare(block.row(at))
        if self.subject.labels:
            for row in block.rows(block.of_targets("many", self._has_many)):
                self.many.add(row.example.row, row.example.target)

    def _has_many(self, facts: TargetFacts) -> bool:
        return len((facts.canonical or facts.text).split()) > line.MANY_LABELS

    def findings(self) -> Iterator[Finding]:
        """Histograms, and findings on long targets."""
        if not self.targets:
            return
        for name, counts in (("source", self.sources), ("target", self.targets)):
            yield _lengths(name, counts)
        if self.many.count and share(self.many.count, self.targets.total()) < line.MANY_LABELS_USUAL:
            count, most = self.many.count, line.MANY_LABELS
            yield self.many.finding(
                "many-labels",
                "warn",
                _("{count} targets hold more than {most} labels", count=count, most=most),
                do=_("Did the prompt of the teacher allow fewer? Shorten or drop those rows."),
            )
        if not self.subject.labels:
            yield from self._long()

    def _compare(self, row: AuditRow) -> None:
        """Remember the target where it is one of the longest."""
        target = row.example.target
        size = min(len(target), 100_000)
        if len(self.longest) < line.ROWS_NAMED or size > self.longest[-1][0]:
            self.longest.append((size, row.example.row, target[:60]))
            self.longest.sort(key=lambda item: (-item[0], item[1]))
            del self.longest[line.ROWS_NAMED :]

    def _long(self) -> Iterator[Finding]:
        middle, high = _quantile(self.targets, 0.5), _quantile(self.targets, 0.99)
        far = max(line.LONG_TARGET * middle, float(high), float(line.LONG_TARGET_CHARACTERS))
        found = Tally()
        for size, row, text in self.longest:
            if size > far:
                found.add(row, text)
        found.count = sum(count for size, count in self.targets.items() if size > far)
        extreme = bool(self.longest) and self.longest[0][0] > max(line.LONG_TARGET * high, far)
        if count := found.count:
            times, longest = line.LONG_TARGET, self.longest[0][0]
            yield found.finding(
                "long-answers",
                "warn" if extreme else "note",
                _(
                    "{count} targets are more than {times:g} times as long as the median ({middle} characters); the "
                    "longest has {longest}",
                    count=count,
                    times=times,
                    middle=middle,
                    longest=longest,
                ),
                do=_("Look at them: prose around the target proper, or an unclosed quote."),
            )


def _quantile(counts: Counter[int], at: float) -> int:
    left = at * counts.total()
    for size in sorted(counts):
        left -= counts[size]
        if left <= 0:
            return size
    return max(counts)


def _lengths(name: str, counts: Counter[int]) -> Finding:
    """A histogram of lengths: characters, in bins of doubling width."""
    bins: Counter[int] = Counter()
    for size, count in counts.items():
        bins[size.bit_length()] += count
    named = [(f"<{2**power}", float(bins[power])) for power in sorted(bins)]
    middle, high, most = _quantile(counts, 0.5), _quantile(counts, 0.99), max(counts)
    column, histogram = COLUMN_NAMES[name], bars(named)
    return Finding(
        "lengths",
        "note",
        _(
            "{column} have a median length of {middle}, {high} at the 99th percentile, {most} at most: {histogram}",
            column=column,
            middle=middle,
            high=high,
            most=most,
            histogram=histogram,
        ),
        values={"median": float(middle), "high": float(high), "most": float(most)} | dict(named),
    )
