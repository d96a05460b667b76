"""Whether the splits are large enough to train on and to evaluate on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import AuditContext, AuditRow
from terakoya.data.split import SPLIT_NAMES
from terakoya.i18n import _
from terakoya.records import MEMORISED, Finding

if TYPE_CHECKING:
    from terakoya.data.audit.row_blocks import RowBlock

_Z = 1.96 + 0.84  # two-sided 5%, power 80%


class SplitSizes:
    """Counts the rows of each split.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.counts = {"train": 0, "dev": 0, "exam": 0}

    def add(self, row: AuditRow) -> None:
        """Counts the row.

        row  in the order of the file
        """
        if row.example.subset != MEMORISED:
            self.counts[row.split] += 1

    def add_block(self, block: RowBlock) -> None:
        """Counts the rows of `block`."""
        for at, name in enumerate(SPLIT_NAMES):
            self.counts[name] += int((block.splits == at).sum())

    def findings(self) -> Iterator[Finding]:
        """Findings on empty splits, and on the difference that the exam can detect."""
        if not self.counts["train"] and not self.subject.drawn:
            yield Finding(
                "empty-side",
                "stop",
                _("there is nothing to train on"),
                where="train",
                do=_("Bring more rows."),
            )
        if not self.counts["exam"]:
            yield Finding(
                "empty-side",
                "warn",
                _("the exam is empty: nothing will be known"),
                where="exam",
                do=_MORE,
            )
            return
        if not self.counts["dev"] and not self.subject.drawn:
            yield Finding(
                "empty-side",
                "warn",
                _("dev is empty: choices would be made on the exam"),
                where="dev",
                do=_MORE,
            )
        yield self._exam(self.counts["exam"])

    def _exam(self, items: int) -> Finding:
        least = detectable(items, graded=self.subject.metric.graded)
        enough = math.ceil(items * (least / line.DETECTABLE) ** 2)
        metric, wanted = self.subject.metric.name, line.DETECTABLE
        return Finding(
            "exam-size",
            "warn" if least > line.DETECTABLE else "note",
            _(
                "an exam of {items} items detects differences of about {least:.2f} {metric} and more (80% power); "
                "smaller ones disappear in the noise",
                items=items,
                least=least,
                metric=metric,
            ),
            do=_("About {enough} items would detect a difference of {wanted:g}. ", enough=enough, wanted=wanted) + _MORE
            if least > line.DETECTABLE
            else "",
            where="exam",
            values={"items": float(items), "detectable": least},
        )


_MORE = _("Raise split.exam or split.dev, or name files of your own (task.exam, task.dev).")


def detectable(items: int, *, graded: bool) -> float:
    """The smallest difference between two models that a paired test detects with 80% power (normal approximation).

    items   of the exam
    graded  whether the metric gives values between 0 and 1, and not only these two
    """
    spread = line.SPREAD if graded else math.sqrt(line.DISCORDANT)
    return min(1.0, _Z * spread / math.sqrt(items))
