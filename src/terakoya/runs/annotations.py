"""What people said about a run's exam after it ended, read from `annotations.json` beside the sealed results.

The file holds counts and intervals only; it is written again from the logs of the entries whenever one is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import _, joined
from terakoya.runs.disk import read_json

ANNOTATIONS = "annotations.json"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether the given targets of an exam are right, as people judged a sample of its rows.

    rows       size of the sample
    right      rows whose given target is right
    wrong      rows whose given target is wrong
    unclear    rows of which nobody could tell, or on which people disagree
    low, high  95% interval of the share right / (right + wrong)
    groups     number of groups that these rows lie in; 0 where every row is independent
    """

    rows: int = 0
    right: int = 0
    wrong: int = 0
    unclear: int = 0
    low: float = 0.0
    high: float = 1.0
    groups: int = 0

    @property
    def judged(self) -> int:
        """Rows that somebody judged, those of which nobody could tell included."""
        return self.right + self.wrong + self.unclear

    @property
    def complete(self) -> bool:
        """Whether the whole sample was judged."""
        return 0 < self.rows <= self.judged

    @property
    def agreement(self) -> float | None:
        """The share of given targets that are right, among those of which people could tell; None without any."""
        known = self.right + self.wrong
        return self.right / known if known else None


@dataclass(frozen=True, slots=True)
class MarkedTargets:
    """An exam's score as it was given, and with the wrong predictions counted as right that are right after all.

    marked             exam items whose given target a person called wrong and the prediction right
    metric             name of the deciding one
    value, low, high   as the sealed result has it, with its 95% interval
    counted_value      with marked items counted as right
    counted_low        lower end of its 95% interval
    counted_high       upper end of it
    n                  items of the main subset
    """

    marked: int
    metric: str
    value: float
    low: float
    high: float
    counted_value: float
    counted_low: float
    counted_high: float
    n: int


@dataclass(frozen=True, slots=True)
class Annotations:
    """What people said about an exam.

    confirmation  of a sample of its targets; with no row judged where nobody did
    marked        the score both ways; None where no item is marked
    """

    confirmation: Confirmation = Confirmation()
    marked: MarkedTargets | None = None


def read_annotations(folder: Path) -> Annotations:
    """What people said about the exam of the run in `folder`; nothing where the file does not exist.

    Raises CorruptError where the file does not hold what it should.
    """
    path = folder / ANNOTATIONS
    if not path.is_file():
        return Annotations()
    values = read_json(path)
    try:
        marked = values.get("marked")
        return Annotations(
            _read(Confirmation, values["confirmation"]), _read(MarkedTargets, marked) if marked else None
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            _("this file is incomplete or was edited by hand"),
            where=str(path),
            do=_("Delete it: `terakoya confirm RUN` writes it again from what people said."),
        ) from error


def _read(kind: Any, values: Mapping[str, Any]) -> Any:
    numbers = {name: value for name, value in values.items() if name in kind.__slots__}
    if not all(isinstance(value, str if name == "metric" else (int, float)) for name, value in numbers.items()):
        raise TypeError(f"{kind.__name__} holds what is no number")
    return kind(**numbers)


def confirmation_message(confirmation: Confirmation) -> str:
    """One clause for every verdict: whether a person confirmed the exam's targets, as a message.

    confirmation  of the exam
    """
    rows, judged, known = confirmation.rows, confirmation.judged, confirmation.right + confirmation.wrong
    if not judged:
        return _("No person has confirmed the targets of this exam.")
    right, low, high, unclear = confirmation.right, confirmation.low, confirmation.high, confirmation.unclear
    message: str
    if confirmation.complete:
        message = _("People judged a sample of {rows} targets of this exam", rows=rows)
    else:
        message = _(
            "People have judged {judged} of a sample of {rows} targets of this exam so far", judged=judged, rows=rows
        )
    if not known:
        return joined("", (message, _(": they could tell of none.")))
    share = right / known
    found = _(
        ": {right} of {known} are right ({share:.0%} [{low:.0%}, {high:.0%}])",
        right=right,
        known=known,
        share=share,
        low=low,
        high=high,
    )
    rest = _("; of {unclear} they could not tell.", unclear=unclear) if unclear else _(".")
    return joined("", (message, found, rest))


def marked_message(marked: MarkedTargets) -> str:
    """The score both ways, as a message.

    marked  the score of a run
    """
    return _(
        "{count} wrong predictions were marked as right after all (their given target is wrong). {metric} as given: "
        "{value:.3f} [{low:.3f}, {high:.3f}]; with them counted as right: {counted_value:.3f} [{counted_low:.3f}, "
        "{counted_high:.3f}], n = {n}. Only wrong predictions are looked at for this: the second value is an upper "
        "one, and the verdict keeps to the first.",
        count=marked.marked,
        metric=marked.metric,
        value=marked.value,
        low=marked.low,
        high=marked.high,
        counted_value=marked.counted_value,
        counted_low=marked.counted_low,
        counted_high=marked.counted_high,
        n=marked.n,
    )
