"""What a run came to, read from its folder: the figures, a few answers, and where the record lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.i18n import gathered
from terakoya.records import Finding, Score, Signature, finding_keys
from terakoya.runs import read_json, read_lines

SHOWN = 5  # right and wrong answers shown at the end


@dataclass(frozen=True)
class Shown:
    """One answer, as it is shown: `prediction` is None where it was unreadable or withheld."""

    source: str
    target: str
    raw: str
    prediction: str | None


@dataclass(frozen=True)
class Result:
    """What a run or an evaluation came to. `state` is the verdict's: learned, not learned, cannot be told."""

    folder: Path
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    state: str
    words: Mapping[str, str]
    right: tuple[Shown, ...]
    wrong: tuple[Shown, ...]
    report: Path | None

    @property
    def exit_code(self) -> int:
        return int(self.state == "not learned" or any(finding.level == "stop" for finding in self.findings))

    def document(self) -> dict[str, Any]:
        """The whole as plain values, for --json."""
        return {
            "run": str(self.folder),
            "verdict": self.state,
            "words": self.words,
            "scores": self.scores,
            "findings": self.findings,
            "report": str(self.report) if self.report else None,
        }


def read_result(folder: Path) -> Result:
    """The outcome in a run's folder (or an evaluation's)."""
    told = read_json(folder / "scores.json")
    lines = list(read_lines(folder / "predictions.jsonl"))
    report = folder / "report.html"
    return Result(
        folder=folder,
        scores=tuple(_score(values) for values in told["scores"]),
        findings=tuple(_finding(values) for values in read_lines(folder / "findings.jsonl")),
        state=told["verdict"]["state"],
        words=told["verdict"]["words"],
        right=_shown(line for line in lines if line["verdict"] >= 1),
        wrong=_shown(line for line in lines if line["verdict"] < 1),
        report=report if report.is_file() else None,
    )


def unexamined(folder: Path) -> Result:
    """A run that is taught and whose exam is closed."""
    findings = tuple(_finding(values) for values in read_lines(folder / "findings.jsonl"))
    words = {"en": "Taught; the exam was not opened.", "ja": "学習済み。試験はまだ開いていない。"}
    return Result(folder, (), findings, "not examined", words, (), (), None)


def _score(values: Mapping[str, Any]) -> Score:
    return Score(**{**values, "signature": Signature(**values["signature"])})


def _finding(values: Mapping[str, Any]) -> Finding:
    return Finding(**{**gathered(finding_keys(values)), "rows": tuple(values.get("rows", ()))})


def _shown(lines: Iterable[Mapping[str, Any]]) -> tuple[Shown, ...]:
    """A few, spread over the exam: its first ones are often all of one kind."""
    rows = list(lines)
    chosen = rows if len(rows) <= SHOWN else [rows[place * len(rows) // SHOWN] for place in range(SHOWN)]
    return tuple(Shown(row["source"], row["target"], row["raw"], row["prediction"]) for row in chosen)
