"""The exam of a run, item by item, as people look at it; read once and kept while its file does not change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from terakoya.annotation.log import Row
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.records import Example, Turn, subset_of
from terakoya.runs import Run
from terakoya.runs.validation import PREDICTION

KEPT = 4  # exams held in memory; one of 10,000 items is about 10 MB


@dataclass(frozen=True, slots=True)
class ExamRow:
    """One item of an exam with the model's prediction.

    row          the item itself: source, given target, fingerprints
    prediction   what the codec decoded; None where it was unreadable
    raw          the output as generated
    score        under the deciding metric; 1 is right
    probability  that the prediction is right, None where not known
    kind         of the error; "" where it is right
    group        of items that it belongs to
    subset       of the exam; "" the main one
    accepted     further right targets
    turns        the conversation before, as (role, text)
    """

    row: Row
    prediction: str | None
    raw: str
    score: float
    probability: float | None
    kind: str
    group: str
    subset: str
    accepted: tuple[str, ...] = ()
    turns: tuple[tuple[str, str], ...] = ()


def read_exam_rows(run: Path) -> tuple[ExamRow, ...]:
    """Every item of a run's exam, in its order.

    run  the run folder
    Raises ConfigError where there is no run or its exam was not opened, CorruptError where predictions were changed.
    """
    return _read(*exam_version(run))


def exam_version(run: Path) -> tuple[Path, int, int]:
    """What a run's exam is known by while it does not change: the folder, time and size of its predictions.

    run  the run folder
    Raises ConfigError where there is no run or its exam was not opened.
    """
    path = run / "predictions.jsonl"
    opened = Run.open(run)
    if not path.is_file() or not opened.has("scores.json"):
        raise ConfigError(
            _("the exam of this run was not opened"),
            where=str(run),
            do=_("Open it with: terakoya run {run}", run=run),
        )
    stat = path.stat()
    return run.resolve(), stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=KEPT)
def _read(run: Path, _changed: int, _size: int) -> tuple[ExamRow, ...]:
    return tuple(_exam_row(line) for line in Run.open(run).read_lines("predictions.jsonl", PREDICTION))


def _exam_row(line: Mapping[str, Any]) -> ExamRow:
    turns = tuple((str(role), str(text)) for role, text in line.get("turns") or ())
    example = Example(str(line["source"]), str(line["target"]), turns=tuple(Turn(*turn) for turn in turns))
    known = str(line.get("fingerprint") or example.fingerprint)
    probability = line.get("probability")
    return ExamRow(
        row=Row(example.source, example.target, known, example.source_fingerprint),
        prediction=line["prediction"],
        raw=line["raw"],
        score=float(line["verdict"]),
        probability=None if probability is None else float(probability),
        kind=str(line.get("error") or ""),
        group=str(line.get("group") or ""),
        subset=subset_of(line),
        accepted=tuple(map(str, line.get("accepted") or ())),
        turns=turns,
    )


def find_row(rows: tuple[ExamRow, ...], fingerprint: str) -> ExamRow:
    """The item with this fingerprint.

    rows         of an exam
    fingerprint  of the item
    Raises ConfigError where the exam has none.
    """
    found = next((row for row in rows if row.row.fingerprint == fingerprint), None)
    if found is None:
        raise ConfigError(
            _("no item of this exam has the fingerprint '{fingerprint}'", fingerprint=fingerprint),
            do=_("Take a fingerprint from predictions.jsonl of the run."),
        )
    return found
