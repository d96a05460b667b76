"""Output of a generation: accepted rows, rejected rows, and a summary of both."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya.data.formats import read_rows, require_columns
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import Example, fingerprint
from terakoya.runs import write_text
from terakoya.runs.display import Displayed

DATA, REJECTED = "data.jsonl", "rejected.jsonl"  # accepted and rejected rows in the generation folder
TEACHER = "teacher"  # column of the teacher's name, where there are several
HEADER = ("source", "target", "origin", "group", "original", "fingerprint")


@dataclass(frozen=True, slots=True)
class GeneratedRow:
    """An accepted row.

    source, target  the example
    origin          where its sentence came from, recipe and teacher
    group           rows of one group stay in one split
    original        the source sentence that the first prompt contained
    labels          labels parsed from the target; () where it is not a label set
    teacher         its name in `teacher.pool`; "" for the only one (see `joined_teachers`)
    """

    source: str
    target: str
    origin: str
    group: str
    original: str
    labels: tuple[str, ...] = ()
    teacher: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row's values in the order of `HEADER`."""
        own = fingerprint(fingerprint(self.source), self.target)  # equals records.Example.fingerprint
        return self.source, self.target, self.origin, self.group, self.original, own


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was rejected, with every response that was paid for.

    original  the source sentence
    origin    where that sentence came from
    step      the recipe step that failed; "" where the finished row was rejected
    check     the check that failed
    reason    why, in the words of the retry prompt
    raw       the responses, oldest first
    teacher   its name in `teacher.pool`; "" for the only one
    """

    original: str
    origin: str
    step: str
    check: str
    reason: str
    raw: tuple[str, ...] = ()
    teacher: str = ""


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row that `teacher`, exhausted or down, has left over."""

    teacher: str


def joined_teachers(names: Iterable[str]) -> str:
    """The teachers of a row by their `names`: one mostly; "a+b" where b made what a had left over."""
    return "+".join(dict.fromkeys(names))


def last_teacher(names: str) -> str:
    """The teacher that finished a row, of those in `names`."""
    return names.rpartition("+")[2]


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a generation would cost.

    requests  number of requests without retries
    likely    expected cost, in the teacher's currency
    worst     cost if every response had the maximum length and every request were sent twice
    basis     what the expected cost is based on
    """

    requests: int
    likely: float
    worst: float
    basis: str


@dataclass(frozen=True)
class GenerationResult(Displayed):
    """Summary of a generation. Money is in `currency`.

    rows, wanted  accepted rows, and rows requested
    complete      whether the data set was finished and written to `output`
    ledger        the journal of all requests
    rejected      check → number of rejected rows
    cost          all that was or may have been charged: the sum of the next three
    reported      charged as the provider reported
    estimated     charged; the amount is an estimate from token counts, or the whole reservation
    unknown       at risk: sent and failed, possibly charged
    requests      requests sent; `reused`: responses taken from the ledger instead
    seconds       wall-clock time
    labels        the most frequent labels with their counts; `uses`: all label uses, `kinds`: distinct labels
    notes         sentences for people
    teachers      of several teachers each one's rows, requests, tokens and money (by_teacher.TeacherSummary); () of one
    estimate      only where an estimate was requested
    """

    rows: int
    wanted: int
    complete: bool
    output: Path | None
    ledger: Path
    rejected: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0
    reported: float = 0.0
    estimated: float = 0.0
    unknown: float = 0.0
    currency: str = "USD"
    requests: int = 0
    reused: int = 0
    seconds: float = 0.0
    labels: tuple[tuple[str, int], ...] = ()
    uses: int = 0
    kinds: int = 0
    notes: tuple[str, ...] = ()
    teachers: tuple[Any, ...] = ()
    estimate: CostEstimate | None = None

    @property
    def top_share(self) -> float:
        """Share of the most frequent label among all label uses, in [0, 1]."""
        return self.labels[0][1] / self.uses if self.uses else 0.0


def write_rows(path: Path, rows: Sequence[GeneratedRow]) -> None:
    """Write accepted `rows` atomically to `path` (.csv or .jsonl), with the column `teacher` where there are several.

    Raises DataError for another suffix.
    """
    several = any(row.teacher for row in rows)
    header = (*HEADER, TEACHER) if several else HEADER
    cells = ((*row.cells(), row.teacher) if several else row.cells() for row in rows)
    if path.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(cells)
        write_text(path, text.getvalue())
    elif path.suffix in {".jsonl", ".ndjson"}:
        write_text(path, _lines(dict(zip(header, values, strict=True)) for values in cells))
    else:
        raise DataError(
            _("'{suffix}' cannot be written", suffix=path.suffix),
            where=str(path),
            do=_("Name a .jsonl or .csv file."),
        )


def write_rejected(path: Path, rows: Iterable[RejectedRow]) -> None:
    """Write rejected `rows` atomically as JSON Lines to `path`."""
    write_text(
        path,
        _lines(
            {
                "original": row.original,
                "origin": row.origin,
                "step": row.step,
                "check": row.check,
                "reason": row.reason,
                "raw": list(row.raw),
            }
            | ({TEACHER: row.teacher} if row.teacher else {})
            for row in rows
        ),
    )


def read_generated(path: Path) -> tuple[Example, ...]:
    """The examples of the generated file at `path`, with origin and group."""
    rows = require_columns(read_rows(path), ["source", "target"], str(path))
    return tuple(
        Example(
            row.cells["source"],
            row.cells["target"],
            group=row.cells.get("group", ""),
            origin=row.cells.get("origin", ""),
            row=row.line,
        )
        for row in rows
    )


def _lines(objects: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)
