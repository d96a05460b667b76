"""The result of a run, read from its folder: scores, findings, verdict, sample predictions, and the report's path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.i18n import gathered
from terakoya.records import Finding, Score, Signature, finding_keys, score_keys
from terakoya.runs import read_json, read_lines

SHOWN = 5  # correct and wrong predictions shown at the end


@dataclass(frozen=True)
class SamplePrediction:
    """One prediction as it is shown.

    source, target  the example
    raw             the output as generated
    prediction      what the codec decoded; None where it was unreadable or withheld
    """

    source: str
    target: str
    raw: str
    prediction: str | None


@dataclass(frozen=True)
class RunResult:
    """Result of a run or an evaluation.

    folder    the run folder
    scores    of the model and the baselines
    findings  of all checks
    state     the verdict: "learned", "not learned", "cannot be told", or "not examined"
    words     the verdict as a sentence, by language ("en", "ja")
    right     sample of correct predictions
    wrong     sample of wrong predictions
    report    path of report.html; None where there is none
    """

    folder: Path
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    state: str
    words: Mapping[str, str]
    right: tuple[SamplePrediction, ...]
    wrong: tuple[SamplePrediction, ...]
    report: Path | None

    @property
    def exit_code(self) -> int:
        """0, or 1 for "not learned" or a finding of level stop."""
        return int(self.state == "not learned" or any(finding.level == "stop" for finding in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """All values as a dict, for --json."""
        return {
            "run": str(self.folder),
            "verdict": self.state,
            "words": self.words,
            "scores": self.scores,
            "findings": self.findings,
            "report": str(self.report) if self.report else None,
        }


def read_result(folder: Path) -> RunResult:
    """The result recorded in the run folder `folder` (or an evaluation's folder)."""
    document = read_json(folder / "scores.json")
    lines = list(read_lines(folder / "predictions.jsonl"))
    report = folder / "report.html"
    return RunResult(
        folder=folder,
        scores=tuple(_score(values) for values in document["scores"]),
        findings=tuple(_finding(values) for values in read_lines(folder / "findings.jsonl")),
        state=document["verdict"]["state"],
        words=document["verdict"]["words"],
        right=_shown(line for line in lines if line["verdict"] >= 1),
        wrong=_shown(line for line in lines if line["verdict"] < 1),
        report=report if report.is_file() else None,
    )


def read_unexamined(folder: Path) -> RunResult:
    """The result of the run in `folder` that is trained and whose exam has not been opened."""
    findings = tuple(_finding(values) for values in read_lines(folder / "findings.jsonl"))
    words = {"en": "Trained; the exam was not opened.", "ja": "学習済み。試験はまだ開いていない。"}
    return RunResult(folder, (), findings, "not examined", words, (), (), None)


def _score(values: Mapping[str, Any]) -> Score:
    return Score(**{**score_keys(values), "signature": Signature(**values["signature"])})


def _finding(values: Mapping[str, Any]) -> Finding:
    return Finding(**{**gathered(finding_keys(values)), "rows": tuple(values.get("rows", ()))})


def _shown(lines: Iterable[Mapping[str, Any]]) -> tuple[SamplePrediction, ...]:
    """A few, evenly spread over the exam: its first ones are often all of one kind."""
    rows = list(lines)
    chosen = rows if len(rows) <= SHOWN else [rows[index * len(rows) // SHOWN] for index in range(SHOWN)]
    return tuple(SamplePrediction(row["source"], row["target"], row["raw"], row["prediction"]) for row in chosen)
