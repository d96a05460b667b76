"""The result of a run, read from its folder: scores, findings, verdict, sample predictions, and the report's path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import _, gathered, in_every_language, joined
from terakoya.records import Finding, Score, Signature, finding_keys, score_keys
from terakoya.runs import read_json, read_lines
from terakoya.runs.annotations import Annotations, confirmation_message, marked_message, read_annotations
from terakoya.runs.disk import to_jsonable
from terakoya.runs.display import Displayed
from terakoya.runs.sealing import verify_file
from terakoya.runs.validation import FINDING, PREDICTION

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
class RunResult(Displayed):
    """Result of a run or an evaluation.

    folder      the run folder
    scores      of the model and the baselines
    findings    of all checks
    state       the verdict: "learned", "not learned", "cannot be told", or "not examined"
    words       the verdict as a sentence, by language ("en", "ja")
    right       sample of correct predictions
    wrong       sample of wrong predictions
    report      path of report.html; None where there is none
    overridden  checks whose findings of level stop were overridden with `anyway`
    summary     how many predictions are right and whether that is good enough, by language; {} where not recorded
    annotations what people said about the exam since: whether they confirmed its targets, and which are wrong
    """

    folder: Path
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    state: str
    words: Mapping[str, str]
    right: tuple[SamplePrediction, ...]
    wrong: tuple[SamplePrediction, ...]
    report: Path | None
    overridden: tuple[str, ...] = ()
    summary: Mapping[str, str] = field(default_factory=dict)
    annotations: Annotations = field(default_factory=Annotations)

    @property
    def exit_code(self) -> int:
        """0, or 1 for "not learned" or a finding of level stop that was not overridden."""
        stops = {finding.check for finding in self.findings if finding.level == "stop"}
        return int(self.state == "not learned" or bool(stops - set(self.overridden)))

    @property
    def exam_words(self) -> str:
        """What people said about the exam, as a message: whether its targets are right, and the score both ways."""
        confirmed, marked = confirmation_message(self.annotations.confirmation), self.annotations.marked
        return joined(" ", (confirmed, marked_message(marked))) if marked else confirmed

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each score: system, subset, metric, value with its 95% interval, n."""
        return [_score_row(score) for score in self.scores]

    def to_dict(self) -> dict[str, Any]:
        """All values as a dict, for --json."""
        return {
            "run": str(self.folder),
            "verdict": self.state,
            "words": self.words,
            "summary": self.summary,
            "annotations": to_jsonable(self.annotations),
            "scores": to_jsonable(self.scores),
            "findings": to_jsonable(self.findings),
            "overridden": list(self.overridden),
            "report": str(self.report) if self.report else None,
        }


def _score_row(score: Score) -> dict[str, Any]:
    return {
        "system": score.who,
        "subset": score.subset,
        "metric": score.metric,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "n": score.n,
    }


def read_result(folder: Path) -> RunResult:
    """The result recorded in the run folder `folder` (or an evaluation's folder).

    Raises CorruptError where a file was changed since the run ended, or does not hold what it should.
    """
    verify_file(folder / "scores.json")
    document = read_json(folder / "scores.json")
    try:
        scores = tuple(_score(values) for values in document["scores"])
        state, words = str(document["verdict"]["state"]), dict(document["verdict"]["words"])
        summary = dict((document.get("summary") or {}).get("words") or {})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        fault = repr(error)
        raise CorruptError(
            _("these are no scores of a run ({fault})", fault=fault), where=str(folder / "scores.json")
        ) from error
    verify_file(folder / "predictions.jsonl")
    lines = list(read_lines(folder / "predictions.jsonl", PREDICTION))
    report = folder / "report.html"
    return RunResult(
        folder=folder,
        scores=scores,
        findings=_findings(folder),
        state=state,
        words=words,
        right=_shown(line for line in lines if line["verdict"] >= 1),
        wrong=_shown(line for line in lines if line["verdict"] < 1),
        report=report if report.is_file() else None,
        overridden=_overridden(folder),
        summary=summary,
        annotations=read_annotations(folder),
    )


def read_unexamined(folder: Path) -> RunResult:
    """The result of the run in `folder` that is trained and whose exam has not been opened."""
    findings = _findings(folder)
    words = in_every_language(_("Trained; the exam was not opened."))
    return RunResult(folder, (), findings, "not examined", words, (), (), None, _overridden(folder))


def _overridden(folder: Path) -> tuple[str, ...]:
    """Checks that a run went on in spite of; none for an evaluation, which has no manifest."""
    path = folder / "manifest.json"
    kept = read_json(path).get("overridden", ()) if path.is_file() else ()
    return tuple(map(str, kept))


def _score(values: Mapping[str, Any]) -> Score:
    return Score(**{**score_keys(values), "signature": Signature(**values["signature"])})


def _findings(folder: Path) -> tuple[Finding, ...]:
    verify_file(folder / "findings.jsonl")
    return tuple(_finding(values) for values in read_lines(folder / "findings.jsonl", FINDING))


def _finding(values: Mapping[str, Any]) -> Finding:
    lists = {name: tuple(values.get(name, ())) for name in ("rows", "files")}
    return Finding(**{**gathered(finding_keys(values)), **lists})


def _shown(lines: Iterable[Mapping[str, Any]]) -> tuple[SamplePrediction, ...]:
    """A few, evenly spread over the exam: its first ones are often all of one kind."""
    rows = list(lines)
    chosen = rows if len(rows) <= SHOWN else [rows[index * len(rows) // SHOWN] for index in range(SHOWN)]
    return tuple(SamplePrediction(row["source"], row["target"], row["raw"], row["prediction"]) for row in chosen)
