"""What people say about the exam of a run: rows whose given target is wrong, and a sample that they confirm.

Both are logged beside the run, outside its seal: the sealed result never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from terakoya.annotation.exam_rows import ExamRow, exam_version, find_row, read_exam_rows
from terakoya.annotation.log import UNDO, AnnotationLog, Entry, read_entries
from terakoya.errors import CorruptError, DataError
from terakoya.i18n import _
from terakoya.records import fingerprint, subset_of
from terakoya.runs import read_json, runs_in, write_json
from terakoya.runs.annotations import ANNOTATIONS, Annotations, Confirmation, MarkedTargets, read_annotations
from terakoya.runs.sealing import verify_file
from terakoya.scoring.statistics.intervals import mean_interval

SAMPLE = 50  # rows that a person judges in about ten minutes
WRONG_TARGET = "wrong target"
Judgement = Literal["right", "wrong", "unclear"]
JUDGEMENTS: tuple[Judgement, ...] = ("right", "wrong", "unclear")


def marks_log(run: Path) -> AnnotationLog:
    """The log of a run's wrong targets.

    run  the run folder
    """
    return AnnotationLog(run / "wrong-targets.jsonl")


def judgements_log(run: Path) -> AnnotationLog:
    """The log of judgements on the exam of a run.

    run  the run folder
    """
    return AnnotationLog(run / "exam-judgements.jsonl")


# ── wrong targets ───────────────────────────────────────────────────────────────────────────────────


def mark_wrong_target(run: Path, row: str, *, who: str = "") -> Annotations:
    """Mark a wrong prediction as right after all: the exam's given target is the one that is wrong.

    run  the run folder
    row  fingerprint of the item
    who  the name that the person gave; "" is none
    Returns the score both ways. Raises ConfigError where the exam has no such item, DataError where the prediction
    counts as right already.
    """
    found = find_row(read_exam_rows(run), row)
    if found.score >= 1 or found.prediction is None:
        raise DataError(
            _("only a wrong prediction that could be read can be right after all"),
            where=found.row.source[:80],
            do=_("Correct the target instead."),
        )
    if row not in marked_rows(run):
        marks_log(run).append(WRONG_TARGET, found.row, text=found.prediction, who=who)
    return update_annotations(run)


def unmark(run: Path, row: str) -> Annotations:
    """Take back the mark on an item, whoever made it; nothing happens where it has none.

    run  the run folder
    row  fingerprint of the item
    """
    log = marks_log(run)
    for entry in log.active():
        if entry.row == row:
            log.take_back(entry)
    return update_annotations(run)


def marked_rows(run: Path) -> frozenset[str]:
    """Fingerprints of the items that are marked.

    run  the run folder
    """
    return frozenset(entry.row for entry in marks_log(run).active())


# ── confirming the exam ─────────────────────────────────────────────────────────────────────────────


def exam_sample(rows: Sequence[ExamRow], size: int = SAMPLE) -> tuple[ExamRow, ...]:
    """The rows that people judge: those of the main subset with the smallest hashes, whatever the order of the exam.

    rows  of the exam
    size  of the sample
    An exam that lost some rows keeps all others of the sample.
    """
    unique = {row.row.fingerprint: row for row in rows if not row.subset}
    return tuple(sorted(unique.values(), key=lambda row: fingerprint("confirm", row.row.fingerprint))[:size])


def sample_of(run: Path) -> tuple[ExamRow, ...]:
    """`exam_sample` of a run, drawn once.

    run  the run folder
    """
    return _sample(*exam_version(run))


@lru_cache(maxsize=8)
def _sample(run: Path, _changed: int, _size: int) -> tuple[ExamRow, ...]:
    return exam_sample(read_exam_rows(run))


def judge(run: Path, row: str, judgement: Judgement, right_target: str = "", *, who: str = "") -> Annotations:
    """Log whether the given target of an exam row is right.

    run           the run folder
    row           fingerprint of the row
    judgement     "right", "wrong", or "unclear" where the person cannot tell
    right_target  the right target, where the given one is wrong
    who           the name that the person gave; "" is none
    Raises DataError for "wrong" without a right target.
    """
    log_judgement(run, row, judgement, right_target, who=who)
    return update_annotations(run)


def log_judgement(run: Path, row: str, judgement: str, right_target: str = "", *, who: str = "") -> None:
    """Log a judgement without counting again, as `judge` takes it.

    run           the run folder
    row           fingerprint of the row
    judgement     "right", "wrong" or "unclear"
    right_target  the right target, where the given one is wrong
    who           the name that the person gave; "" is none
    """
    if judgement not in JUDGEMENTS:
        given, known = judgement, ", ".join(JUDGEMENTS)
        raise DataError(_("'{given}' is no judgement", given=given), do=_("Name one of: {known}", known=known))
    found = find_row(read_exam_rows(run), row)
    if judgement == "wrong" and (not right_target.strip() or right_target == found.row.target):
        raise DataError(
            _("a target that is wrong needs the right one beside it"),
            where=found.row.source[:80],
            do=_("Write the right target; if you do not know it, choose that you cannot tell."),
        )
    text = right_target if judgement == "wrong" else ""
    judgements_log(run).append(judgement, found.row, text=text, who=who)


def judgements(run: Path) -> dict[str, Entry]:
    """The last judgement on each row that counts.

    run  the run folder
    """
    return {entry.row: entry for entry in judgements_log(run).active()}


def carry_judgements(run: Path) -> Annotations:
    """Take over what was said about rows of this exam in the other runs of the same folder.

    run  the run folder; its exam was opened
    """
    rows = {row.row.fingerprint for row in read_exam_rows(run)}
    log, found = judgements_log(run), list[Entry]()
    for other in runs_in(run.parent):
        path = judgements_log(other).path
        if other.name != run.name and path.is_file():
            entries = read_entries(path)
            own = {entry.id for entry in entries if entry.row in rows}
            found += [entry for entry in entries if entry.row in (own if entry.action == UNDO else rows)]
    if not found:
        return read_annotations(run)
    log.adopt(found)
    return update_annotations(run)


def confirmation(sample: Sequence[ExamRow], entries: Iterable[Entry]) -> Confirmation:
    """What people's judgements of the sample come to; rows of one group count as one group (see `mean_interval`).

    sample   of the exam, as `exam_sample` draws it
    entries  judgements that count
    """
    said: dict[str, dict[str, str]] = {}
    for entry in entries:
        said.setdefault(entry.row, {})[entry.who] = entry.action
    values, groups, unclear = [], [], 0
    for row in sample:
        verdicts = {word for word in said.get(row.row.fingerprint, {}).values() if word != "unclear"}
        if len(verdicts) == 1:
            values.append(float(verdicts == {"right"}))
            groups.append(row.group)
        else:  # people disagree, or nobody could tell
            unclear += row.row.fingerprint in said
    right = int(sum(values))
    if not values:
        return Confirmation(len(sample), unclear=unclear)
    interval = mean_interval(values, groups=groups if len(set(groups)) < len(groups) else None)
    wrong = len(values) - right
    return Confirmation(len(sample), right, wrong, unclear, interval.low, interval.high, interval.groups)


# ── what the record and every verdict show ──────────────────────────────────────────────────────────


def update_annotations(run: Path) -> Annotations:
    """Write `annotations.json` of a run again from its logs.

    run  the run folder
    """
    rows = read_exam_rows(run)
    entries = judgements_log(run).active()
    found = Annotations(confirmation(sample_of(run), entries), _marked(run, rows))
    marked = asdict(found.marked) if found.marked else None
    write_json(run / ANNOTATIONS, {"format": 1, "confirmation": asdict(found.confirmation), "marked": marked})
    return found


def _marked(run: Path, rows: Sequence[ExamRow]) -> MarkedTargets | None:
    marked = marked_rows(run)
    main = [row for row in rows if not row.subset]
    count = sum(row.row.fingerprint in marked for row in main)
    if not count:
        return None
    given = _sealed_score(run)
    values = [1.0 if row.row.fingerprint in marked else row.score for row in main]
    counted = mean_interval(values, groups=[row.group for row in main])
    return MarkedTargets(
        marked=count,
        metric=str(given["metric"]),
        value=float(given["value"]),
        low=float(given["low"]),
        high=float(given["high"]),
        counted_value=counted.value,
        counted_low=counted.low,
        counted_high=counted.high,
        n=len(main),
    )


def _sealed_score(run: Path) -> dict[str, Any]:
    """The deciding score of the model as the sealed result has it."""
    path = run / "scores.json"
    verify_file(path)
    try:
        scores = list(read_json(path)["scores"])
        return next(dict(one) for one in scores if one["who"] == "model" and not subset_of(one))
    except (KeyError, TypeError, StopIteration) as error:
        raise CorruptError(_("there are no scores in it"), where=str(path)) from error
