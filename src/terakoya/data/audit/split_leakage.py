"""Whether the sides of the split are large enough to learn from and to judge by."""

from __future__ import annotations

import math
from collections.abc import Iterator

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import Seen, Subject
from terakoya.i18n import both
from terakoya.records import Finding

_Z = 1.96 + 0.84  # two-sided 5%, power 80%


class Sides:
    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.counts = {"train": 0, "dev": 0, "exam": 0}

    def see(self, seen: Seen) -> None:
        if seen.example.part != "recall":
            self.counts[seen.side] += 1

    def findings(self) -> Iterator[Finding]:
        if not self.counts["train"] and not self.subject.drawn:
            yield Finding(
                "empty-side",
                "stop",
                both("there is nothing to train on", "学習する行がない"),
                where="train",
                do=both("Bring more rows.", "行を増やすこと。"),
            )
        if not self.counts["exam"]:
            yield Finding(
                "empty-side",
                "warn",
                both("the exam is empty: nothing will be known", "試験が空である：何もわからない"),
                where="exam",
                do=_MORE,
            )
            return
        if not self.counts["dev"] and not self.subject.drawn:
            yield Finding(
                "empty-side",
                "warn",
                both("dev is empty: choices would be made on the exam", "検証が空である：選択を試験で行うことになる"),
                where="dev",
                do=_MORE,
            )
        yield self._exam(self.counts["exam"])

    def _exam(self, items: int) -> Finding:
        least = detectable(items, graded=self.subject.metric.graded)
        enough = math.ceil(items * (least / line.DETECTABLE) ** 2)
        return Finding(
            "exam-size",
            "warn" if least > line.DETECTABLE else "note",
            both(
                f"an exam of {items} items shows differences of about {least:.2f} {self.subject.metric.name} and more "
                "(four times in five); smaller ones drown in chance",
                f"試験{items}問で見分けられる差は約 {least:.2f} {self.subject.metric.name} 以上（五回に四回）。"
                "それより小さい差は偶然に紛れる",
            ),
            do=both(
                f"About {enough} items would show a difference of {line.DETECTABLE:g}. ",
                f"約{enough}問あれば {line.DETECTABLE:g} の差を見分けられる。",
            )
            + _MORE
            if least > line.DETECTABLE
            else "",
            where="exam",
            values={"items": float(items), "detectable": least},
        )


_MORE = both(
    "Raise split.exam or split.dev, or name files of your own (task.exam, task.dev).",
    "split.exam か split.dev を大きくするか、自分のファイルを指定すること（task.exam、task.dev）。",
)


def detectable(items: int, *, graded: bool) -> float:
    """The smallest difference between two models that a paired test shows with 80% power (normal approximation)."""
    spread = line.SPREAD if graded else math.sqrt(line.DISCORDANT)
    return min(1.0, _Z * spread / math.sqrt(items))
