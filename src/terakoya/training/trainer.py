"""Training in a run folder: batches and dev metrics for the loop, checkpoints and findings for the record.

The loop knows batches and callbacks; a run folder knows files. This is where the two meet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from safetensors.torch import load_file, save_file

from terakoya.config import Config
from terakoya.decoding.confidence import Confidence
from terakoya.decoding.predict import query_of
from terakoya.errors import IncompatibleError, NumericError
from terakoya.i18n import _
from terakoya.models.protocol import Model, Pair, Query
from terakoya.records import AUGMENTED, Example, Finding, Prediction, Step
from terakoya.runs import Run
from terakoya.runs.lifecycle import enforce, record_finding
from terakoya.runs.progress import Listener
from terakoya.runs.validation import STEP
from terakoya.scoring.baselines.standard import evenly_spaced
from terakoya.training import device, out_of_fold, refit
from terakoya.training.base_scores import base_share_findings
from terakoya.training.confidence import confidence_findings, measure_confidence, predict_dev
from terakoya.training.defaults import BUILT_IN
from terakoya.training.dev_evaluation import dev_evaluator
from terakoya.training.guards import guards_for
from terakoya.training.loop import DECAY, Guard, TrainResult, run_loop
from terakoya.training.parallel.processes import alone
from terakoya.training.prepare import TrainingSetup, make_batches, pair_of
from terakoya.training.reproducibility import environment_findings, environment_fingerprint, recorded_environment
from terakoya.training.state import TrainState
from terakoya.training.trackers import Trackers
from terakoya.training.train_dev_gap import gap_finding

SAMPLES = "dev-samples.jsonl"  # in the run folder: a few dev rows with their predictions, at every evaluation
_SAMPLED = 6  # rows


def train(
    setup: TrainingSetup,
    model: Model,
    run: Run,
    listener: Listener,
    *,
    max_tokens: int,
    guards: Sequence[Guard] = (),
    anyway: bool = False,
) -> TrainResult:
    """Train the model in a run folder, from the run's newest intact checkpoint where there is one.

    setup       task, split and resolved config
    model       trained in place; afterwards it holds the weights chosen by `train.select`
    run         the open run folder; receives steps, findings and checkpoints
    listener    informed of every step and finding
    max_tokens  tokens that a dev prediction may have at most
    guards      watch besides the built-in ones (training/guards), which `train.guards = false` turns off
    anyway      continue although the checkpoint was made with other settings or versions
    Returns how the training ended. Raises IncompatibleError for such a checkpoint unless `anyway`, NumericError at the
    first loss, gradient or weight that is not finite, Interrupted on Ctrl-C after saving.
    """
    config = setup.config
    environment = environment_fingerprint(config)
    resume = _newest_checkpoint(run, listener)
    if resume is not None:
        before = recorded_environment(resume.facts)
        enforce(run, environment_findings(before, environment), listener, anyway, IncompatibleError)
        listener.note(_("resuming after step {step}", step=resume.step))
    truncate_step_log(run, 0 if resume is None else resume.step)  # killed before its first checkpoint: from step 0

    def save(state: TrainState) -> None:
        kept = replace(state, facts={**state.facts, "environment": environment})
        # The best weights are part of each: no older checkpoint is kept for them.
        run.save_checkpoint(state.step, lambda folder: write_state(kept, folder), keep=config.train.keep)

    precision = _precision(config)
    run.update_manifest(precision="bf16 beside float32" if precision == "bf16" else "as the weights")
    built_in_guards = guards_for(setup, model, run.path) if config.train.guards else []
    last_step = int(config.train.steps if resume is None else resume.facts.get("last_step", config.train.steps))
    with Trackers(config, run.name, run.path) as trackers:

        def on_step(step: Step) -> None:
            run.append("steps.jsonl", step)
            listener.step(step, last_step)
            trackers.step(step)

        def on_predictions(step: int, examples: Sequence[Example], found: Sequence[Prediction]) -> None:
            run.append(SAMPLES, _samples(step, examples, found))

        def on_finding(finding: Finding) -> None:
            nonlocal last_step
            if finding.check == DECAY:
                last_step = int(finding.values["last_step"])
            report_finding(run, listener, finding)

        try:
            with alone(False):
                result = run_loop(
                    model,
                    make_batches(setup, model),
                    config.train,
                    seed=config.seed,
                    metric=setup.task.metric,
                    evaluate=dev_evaluator(setup, model, max_tokens, on_predictions) if setup.split.dev else None,
                    on_step=on_step,
                    save=save,
                    resume=resume,
                    guards=(*built_in_guards, *guards),
                    on_finding=on_finding,
                    device=config.device,
                    precision=precision,
                )
        except NumericError as error:
            report_finding(run, listener, nonfinite_finding(error))
            raise
    if model.head == "set":  # for the weights that will predict, which need not be the last ones
        out_of_fold.calibrate(model, *_split_pairs(setup), config, _augmented_from(setup))
        for finding in base_share_findings(setup, model):
            report_finding(run, listener, finding)
    return result


def train_along(setup: TrainingSetup, model: Model) -> None:
    """Train the model with the process that has the run folder: dev, guards, checkpoints and the record are its own.

    setup  as that process has it
    model  as that process has made it
    """
    config = setup.config
    run_loop(
        model,
        make_batches(setup, model),
        config.train,
        seed=config.seed,
        metric=setup.task.metric,
        evaluate=(lambda step: {}) if setup.split.dev else None,
        device=config.device,
        precision=_precision(config),
    )


def _precision(config: Config) -> Literal["no", "bf16"]:
    return device.precision(config.device, pretrained=config.model.base not in BUILT_IN, dtype=config.model.dtype)


def measure(setup: TrainingSetup, model: Model, run: Run, listener: Listener, *, max_tokens: int) -> Confidence | None:
    """What the model's probabilities are worth, measured on dev; None without a dev split. Compares dev with train too.

    setup       task, split and resolved config
    model       with the weights that `train` chose
    run         receives what is found; its step log says among how many sets of weights dev chose
    listener    informed of it
    max_tokens  tokens that a prediction may have at most
    """
    choices = sum(line.get("dev") is not None for line in run.read_lines("steps.jsonl", STEP))
    dev = predict_dev(setup, model, max_tokens=max_tokens)
    if dev is None:
        return None
    confidence = measure_confidence(setup, dev, choices=max(1, choices))
    gap = gap_finding(setup, model, dev.examples, dev.scores, max_tokens=max_tokens)
    for finding in (*confidence_findings(confidence, setup.config.decode), *([gap] if gap is not None else [])):
        report_finding(run, listener, finding)
    return confidence


def maybe_refit(setup: TrainingSetup, model: Model, run: Run, listener: Listener) -> Model:
    """The final model: this one, or where `train.refit` says so another trained on train and dev together.

    setup     task, split and resolved config
    model     the trained and calibrated model
    run       receives the finding that says so
    listener  informed of it
    """
    train_pairs, dev_pairs = _split_pairs(setup)
    if not refit.is_enabled(model, dev_pairs, setup.config):
        return model
    refitted = refit.refit_model(model, train_pairs, dev_pairs, setup.config)
    added = len(refit.trainable_rows(model, dev_pairs))
    report_finding(run, listener, refit.refit_finding(len(train_pairs), added))
    return refitted


def _split_pairs(setup: TrainingSetup) -> tuple[list[Pair], list[Pair]]:
    """The training rows, and the rows of dev's main subset."""
    dev = [pair_of(setup.task, example) for example in setup.split.dev if example.subset == ""]
    return [pair_of(setup.task, example) for example in setup.split.train], dev


def _augmented_from(setup: TrainingSetup) -> dict[Query, Query]:
    """Each training row that was made by rule → the row that it was made from."""
    rows = {row.fingerprint: row for row in setup.split.train if not row.tag(AUGMENTED)}
    return {query_of(row): query_of(rows[row.tag(AUGMENTED)]) for row in setup.split.train if row.tag(AUGMENTED)}


def nonfinite_finding(error: NumericError) -> Finding:
    """The end of a training as a finding, so that the record shows it beside the others.

    error  what the loop raised
    """
    return Finding("not-finite", "stop", error.what, where=error.where, do=error.do, values={"step": float(error.step)})


def report_finding(run: Run, listener: Listener, finding: Finding) -> None:
    """Write a finding into the run folder and show it.

    run       the open run folder
    listener  shows it
    finding   what was found
    """
    record_finding(run, finding)
    listener.finding(finding)


def truncate_step_log(run: Run, step: int) -> None:
    """Drop the lines of the step log and of the dev samples beyond a checkpoint: these steps are done again and must
    not be logged twice.

    run   the open run folder
    step  steps that the checkpoint has behind it
    """
    for name in ("steps.jsonl", SAMPLES):
        lines = run.read_lines(name, STEP)
        kept = [line for line in lines if line["step"] <= step]
        if len(kept) < len(lines):
            run.rewrite(name, kept)


def _samples(step: int, examples: Sequence[Example], found: Sequence[Prediction]) -> dict[str, Any]:
    """A line of SAMPLES: the same few dev rows at every evaluation, with their predictions."""
    predicted = {id(row): one.text for row, one in zip(examples, found, strict=True)}
    chosen = evenly_spaced(examples, _SAMPLED)
    rows = [{"source": row.source, "target": row.target, "prediction": predicted[id(row)]} for row in chosen]
    return {"step": step, "rows": rows}


def _newest_checkpoint(run: Run, listener: Listener) -> TrainState | None:
    found = run.latest_checkpoint()
    for finding in found.findings:
        report_finding(run, listener, finding)
    return None if found.path is None else read_state(found.path)


def write_state(state: TrainState, folder: Path) -> None:
    """Write a training state as `state.safetensors` and `state.json`.

    state   tensors and facts
    folder  the checkpoint's folder, which exists
    """
    save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, folder / "state.safetensors")
    facts: dict[str, Any] = {"step": state.step, "facts": dict(state.facts)}
    (folder / "state.json").write_text(json.dumps(facts), encoding="utf-8")


def read_state(folder: Path) -> TrainState:
    """The training state of a sealed checkpoint.

    folder  the checkpoint's folder; its seal was verified by whoever found it
    """
    facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return TrainState(int(facts["step"]), load_file(folder / "state.safetensors"), facts["facts"])
