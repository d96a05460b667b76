"""`terakoya calibrate`: what a finished model's probabilities are worth, measured on dev without a training.

New runs measure it by themselves; for older ones it costs one pass over dev. The exam is not predicted again: its
predictions get the calibrated probability.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terakoya import registry
from terakoya.config import Config
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.pipeline.curve import write_record_again
from terakoya.pipeline.dataset import load_dataset, require_same_data
from terakoya.records import Finding, Prediction, subset_of
from terakoya.registry import Experiment
from terakoya.runs import Run
from terakoya.runs.display import Displayed
from terakoya.runs.lifecycle import record_finding
from terakoya.runs.progress import Listener, SilentListener
from terakoya.runs.validation import PREDICTION, STEP

if TYPE_CHECKING:
    from terakoya.decoding.confidence import Confidence

_FINDINGS = ("calibration", "promise", "novel-sources")  # that are made anew


@dataclass(frozen=True)
class Calibrated(Displayed):
    """What was measured.

    items          of dev
    right          of them, predicted rightly
    before, after  expected calibration error of the model's own probabilities, and of calibrated ones, out of fold;
                   None where there are too few items
    promise        highest share of right predictions that can be promised; 0: none can
    findings       what is worth knowing before the model is used
    """

    items: int
    right: int
    before: float | None
    after: float | None
    promise: float
    findings: tuple[Finding, ...]

    def messages(self) -> Iterator[str]:
        """The result in sentences."""
        yield _("{right} of {items} dev items are predicted rightly.", right=self.right, items=self.items)
        if self.before is not None and self.after is not None:
            yield _(
                "The model's own probabilities are off by {before:.3f} on average, calibrated ones by {after:.3f} (out "
                "of fold).",
                before=self.before,
                after=self.after,
            )
        if self.promise:
            yield _("A share of right predictions of up to {share:g} can be promised.", share=self.promise)
        else:
            yield _("No share of right predictions can be promised with this dev split.")


def calibrate(path: Path, listener: Listener | None = None) -> Calibrated:
    """Measure on dev, write it beside the model, and bring exam and record up to date.

    path      the run folder
    listener  informed of the stages
    Raises ConfigError without a trained model or dev split, DataError where the data is not that of the run.
    """
    receiver = listener or SilentListener()
    with Run.resume(path) as run:
        receiver.stage("calibrate", path.name)
        confidence, config = _measure(run)
        from terakoya.training.confidence import confidence_findings

        found = confidence_findings(confidence, config.decode)
        _forget_findings(run)
        for finding in found:
            record_finding(run, finding)
        if run.has("scores.json") and run.has("predictions.jsonl"):
            found += _recalibrate_exam(run, confidence, config)
            write_record_again(run)
        for finding in found:
            receiver.finding(finding)
        if run.manifest.get("sealed"):
            run.seal_results()
    return _calibrated(confidence, tuple(found))


def _measure(run: Run) -> tuple[Confidence, Config]:
    """Confidence of the run's model, written into its folder; and the run's config."""
    from terakoya.pipeline.dataset import read_run_config
    from terakoya.saved_model import model_folder, read_skill, restore_confidence, write_confidence
    from terakoya.training.before_refit import is_refitted, restore_before_refit
    from terakoya.training.confidence import measure_confidence, predict_dev
    from terakoya.training.prepare import prepare_training

    folder, config = model_folder(run.path), read_run_config(run.path)
    restore_confidence(folder)
    dataset = load_dataset(Experiment(config.name, config, run.path, own=False))
    require_same_data(run, dataset)
    skill = read_skill(run.path, task=dataset.task)
    maker = registry.find_model_maker(config.model.base, dataset.folder)
    setup, model, max_tokens = prepare_training(dataset.task, dataset.split, config, maker)
    if is_refitted(run):
        restore_before_refit(run, model, skill.model)
    else:
        model, max_tokens = skill.model, skill.max_tokens
    dev = predict_dev(setup, model, max_tokens=max_tokens)
    if dev is None:
        raise ConfigError(
            _("there is no dev split, on which probabilities could be calibrated"),
            where=str(run.path),
            do=_("Train with one: terakoya run {config} --set split.dev=0.1", config=run.path / "config.toml"),
        )
    choices = sum(line.get("dev") is not None for line in run.read_lines("steps.jsonl", STEP))
    confidence = measure_confidence(setup, dev, choices=max(1, choices))
    write_confidence(folder, confidence)
    return confidence, config


def _forget_findings(run: Run) -> None:
    lines = run.read_lines("findings.jsonl")
    kept = [line for line in lines if line["check"] not in _FINDINGS]
    if len(kept) < len(lines):
        run.rewrite("findings.jsonl", kept)


def _recalibrate_exam(run: Run, confidence: Confidence, config: Config) -> list[Finding]:
    """The exam's predictions with calibrated probabilities, and what the exam says of these."""
    from terakoya.evaluation.confidence_on_exam import JudgedPrediction, confidence_of_predictions

    lines, judged = [], list[JudgedPrediction]()
    for line in run.read_lines("predictions.jsonl", PREDICTION):
        found = confidence.applied(_prediction(line))
        values = {name: value for name, value in line.items() if name != "novel"}
        if found.uncalibrated is not None:
            values |= {"probability": found.probability, "uncalibrated": found.uncalibrated}
        lines.append({**values, "novel": True} if found.novel else values)
        if not subset_of(line):
            judged.append(JudgedPrediction(found, float(line["verdict"]) >= 1, str(line.get("group") or "")))
    run.rewrite("predictions.jsonl", lines)
    measured = confidence_of_predictions(judged, confidence, config.decode)
    if measured is None:
        return []
    run.write_json("scores.json", {**run.read_json("scores.json"), "confidence": measured.to_dict()})
    findings = list(measured.findings())
    for finding in findings:
        record_finding(run, finding)
    return findings


def _prediction(line: dict[str, Any]) -> Prediction:
    """The prediction of a line, with the probability that the model itself gave it."""
    own = line.get("uncalibrated")
    own = line.get("probability") if own is None else own
    return Prediction(str(line["source"]), str(line["raw"]), line["prediction"], None if own is None else float(own))


def _calibrated(confidence: Confidence, findings: tuple[Finding, ...]) -> Calibrated:
    from terakoya.scoring.statistics.calibration import calibration
    from terakoya.scoring.statistics.recalibration import FEWEST, out_of_fold_probabilities

    known = [(score, right) for score, right in zip(confidence.scores, confidence.right, strict=True) if score > 0]
    scores, rights = [score for score, _right in known], [right for _score, right in known]
    errors: list[float | None] = [None, None]
    if len(known) >= FEWEST:
        reached = (calibration(scores, rights), calibration(out_of_fold_probabilities(scores, rights), rights))
        errors = [None if one is None else one.error for one in reached]
    return Calibrated(
        len(confidence.right), sum(confidence.right), errors[0], errors[1], confidence.highest_promise(), findings
    )
