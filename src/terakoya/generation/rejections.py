"""Rejected rows: counted by check, and summed up for people by the commonest reason with an example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from terakoya.generation.output import GeneratedRow, RejectedRow
from terakoya.generation.teacher.responses import defect_advice
from terakoya.i18n import _, joined

NOT_THE_TEACHER = frozenset({"quota", "duplicate"})  # rejections that do not count against the teacher
_ALIKE = 10  # rows of which none was accepted and all have one defect: the next ones will have it too
_SHOWN = 80  # characters of an example
# What the checks' names mean. Their reasons are Japanese, because they are part of the retry prompt.
_MEANINGS: Mapping[str, str] = {
    "labels": _("no set of distinct emoji"),
    "label-set": _("a label that is not permitted"),
    "no-emoji": _("emoji inside the text"),
    "no-refusal": _("a refusal or an apology"),
    "no-preamble": _("a preamble, a label, quotation marks or markup around the text"),
    "japanese": _("no Japanese sentence"),
    "length": _("too short or too long"),
    "whole": _("an unfinished sentence"),
    "control-token": _("a control token of the model"),
    "prompt-mark": _("a part of the prompt"),
    "broken-text": _("characters that are no text"),
    "unanswered": _("no usable response"),
    "duplicate": _("a sentence that exists already"),
    "quota": _("a label that has reached its quota"),
}
_DEFECTS: Mapping[str, str] = {
    "cut by the length limit": _("cut by the length limit"),
    "not finished": _("not finished"),
    "thinking left inside": _("thinking inside the text"),
    "no text in the answer": _("no text"),
    "empty answer": _("an empty text"),
    "refused by the provider": _("refused by the provider"),
    "a tool call instead of text": _("a tool call instead of text"),
    "broken characters": _("characters that are no text"),
}


class Rejections:
    """The rejected rows of a generation, in planned order; `reported` once they have ended it."""

    def __init__(self) -> None:
        self.rows: list[RejectedRow] = []
        self.counts: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self.reported = False

    def add(self, row: RejectedRow) -> None:
        """Count `row`."""
        self.rows.append(row)
        self.counts[row.check] += 1
        self._reasons[row.check, _defect(row)] += 1

    @property
    def by_teacher(self) -> int:
        """Rows for which the teacher is to blame, not a quota or a duplicate."""
        return sum(count for check, count in self.counts.items() if check not in NOT_THE_TEACHER)

    @property
    def all_alike(self) -> bool:
        """Whether ten or more rows were rejected, all for the same defect of the response."""
        return len(self.rows) >= _ALIKE and len(self._reasons) == 1 and "answer" in self.counts

    def top(self) -> str:
        """The commonest checks with their counts."""
        return ", ".join(f"{check} {count}" for check, count in self.counts.most_common(4))

    def commonest(self) -> str:
        """The commonest reason in words, with the newest example of it; "" where no row was rejected."""
        if not self._reasons:
            return ""
        check, defect = self._reasons.most_common(1)[0][0]
        row = next(row for row in reversed(self.rows) if (row.check, _defect(row)) == (check, defect))
        meaning = _DEFECTS.get(defect) or _MEANINGS.get(check, check)
        detail = row.reason.removeprefix(defect).strip(" ()") if defect else row.reason
        parts = [_("mostly {meaning}", meaning=meaning), f" ({detail})" if detail else ""]
        if row.raw and row.raw[-1]:
            parts.append(_(", as in {example}", example=repr(_short(row.raw[-1]))))
        return joined("", parts)

    @property
    def advice(self) -> str:
        """What to do about the commonest reason."""
        check, defect = self._reasons.most_common(1)[0][0] if self._reasons else ("", "")
        if check == "unanswered":
            return _("Correct in [teacher] what the provider's message names, or use other source sentences.")
        return defect_advice(defect) or _(
            "Look at rejected.jsonl; use another model or prompt, or raise teacher.max_rejected."
        )


@dataclass(slots=True)
class TeacherTally:
    """What became of one teacher's rows.

    rows        accepted
    open        left open, because it was exhausted or down
    rejections  the rejected ones
    """

    rows: int = 0
    open: int = 0
    rejections: Rejections = field(default_factory=Rejections)

    def count(self, row: GeneratedRow | RejectedRow) -> None:
        """Count `row`."""
        if isinstance(row, RejectedRow):
            self.rejections.add(row)
        else:
            self.rows += 1


def _defect(row: RejectedRow) -> str:
    return row.reason.partition(" (")[0] if row.check == "answer" else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
