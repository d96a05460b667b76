"""What a generation brings forth: rows, rejected rows, and an account of both."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from terakoya.data.formats import columns, read_rows
from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Example, fingerprint
from terakoya.runs import write_text

HEADER = ("source", "target", "origin", "group", "original", "fingerprint")


@dataclass(frozen=True, slots=True)
class Made:
    """An accepted row. `original` is the sentence that the teacher was shown first."""

    source: str
    target: str
    origin: str
    group: str
    original: str
    labels: tuple[str, ...] = ()

    def cells(self) -> tuple[str, ...]:
        made = fingerprint(fingerprint(self.source), self.target)  # as records.Example has it
        return self.source, self.target, self.origin, self.group, self.original, made


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row set aside: at which step, by which check, why, and every raw answer that was bought for it."""

    original: str
    origin: str
    step: str
    check: str
    reason: str
    raw: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a generation will cost: `likely`, and `worst` when every answer is as long as allowed and asked twice."""

    requests: int
    likely: float
    worst: float
    basis: str


@dataclass(frozen=True)
class Generated:
    """What a generation did. Money in `currency`; `unknown` is the part of `cost` that was sent without an outcome."""

    rows: int
    wanted: int
    complete: bool
    output: Path | None
    ledger: Path
    rejected: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0
    unknown: float = 0.0
    currency: str = "USD"
    requests: int = 0
    reused: int = 0
    seconds: float = 0.0
    labels: tuple[tuple[str, int], ...] = ()
    uses: int = 0
    kinds: int = 0
    notes: tuple[str, ...] = ()
    estimate: Estimate | None = None

    @property
    def top_share(self) -> float:
        return self.labels[0][1] / self.uses if self.uses else 0.0


def write_made(path: Path, rows: Sequence[Made]) -> None:
    """A .csv or .jsonl that is either whole or not there."""
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
            both(f"'{path.suffix}' cannot be written", f"'{path.suffix}' の形式では書けない"),
            where=str(path),
            do=both("Name a .jsonl or .csv file.", ".jsonl か .csv のファイルを指定すること。"),
        )


def write_rejected(path: Path, rows: Iterable[Rejected]) -> None:
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
    """The examples of a generated file, with origin and group."""
    rows = columns(read_rows(path), ["source", "target"], str(path))
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
