"""Output of a generation: accepted rows, rejected rows, and a summary of both."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from terakoya.data.formats import read_rows, require_columns
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.records import Example, fingerprint
from terakoya.runs import write_text
from terakoya.runs.display import Displayed

DATA, REJECTED = "data.jsonl", "rejected.jsonl"  # accepted and rejected rows in the generation folder
HEADER = ("source", "target", "origin", "group", "original", "fingerprint")


@dataclass(frozen=True, slots=True)
class GeneratedRow:
    """An accepted row.

    source, target  the example
    origin          where its sentence came from, recipe and teacher
    group           rows of one group stay in one split
    original        the source sentence that the first prompt contained
    labels          labels parsed from the target; () where it is not a label set
    """

    source: str
    target: str
    origin: str
    group: str
    original: str
    labels: tuple[str, ...] = ()

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
    """

    original: str
    origin: str
    step: str
    check: str
    reason: str
    raw: tuple[str, ...] = ()


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
    estimate: CostEstimate | None = None

    @property
    def top_share(self) -> float:
        """Share of the most frequent label among all label uses, in [0, 1]."""
        return self.labels[0][1] / self.uses if self.uses else 0.0


def write_rows(path: Path, rows: Sequence[GeneratedRow]) -> None:
    """Write accepted `rows` atomically to `path` (.csv or .jsonl). Raises DataError for another suffix."""
    if path.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(row.cells() for row in rows)
        write_text(path, text.getvalue())
    elif path.suffix in {".jsonl", ".ndjson"}:
        lines = (dict(zip(HEADER, row.cells(), strict=True)) for row in rows)
        write_text(path, _lines(lines))
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
