"""One lesson: rows for the loop, dev answers for its evaluations, checkpoints for its memory.

The loop knows batches and callbacks; a run folder knows files. This is where the two meet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from terakoya.config import Config
from terakoya.decoding import asking, set_calibration
from terakoya.decoding.adaptive_batching import in_parts
from terakoya.decoding.predict import predictions, query_of
from terakoya.errors import IncompatibleError, NumericError
from terakoya.i18n import both
from terakoya.models.prepacked import packed
from terakoya.models.protocol import Model, Pair
from terakoya.progress import Listener
from terakoya.records import Finding, Step
from terakoya.runs import Run
from terakoya.runs.lifecycle import enforce, record_finding
from terakoya.scoring.baselines.standard import evenly
from terakoya.scoring.health import health
from terakoya.scoring.judging import judged
from terakoya.training import device as machine
from terakoya.training import out_of_fold, refit
from terakoya.training.defaults import BUILT_IN
from terakoya.training.guards import guards_for
from terakoya.training.guards.collapse import rotated
from terakoya.training.loop import Guard, TrainResult, run_loop
from terakoya.training.losses import plain
from terakoya.training.prepare import TrainingSetup, pair, refusals, rows
from terakoya.training.reproducibility import changes, world
from terakoya.training.state import TrainState
from terakoya.training.trackers import Trackers


def dev_figures(lesson: TrainingSetup, model: Model, max_tokens: int) -> Callable[[int], Mapping[str, float]]:
    """What dev says of the model as it stands: the task's metrics on generated answers, and the plain loss."""
    examples = evenly([row for row in lesson.split.dev if row.part == ""], lesson.config.train.dev_items)
    # A dev answer may hold what the model has never seen and cannot write. It is asked, and wrong; it has no loss.
    written = [pair(lesson.task, example) for example in examples]
    refused = {id(row) for row, _ in refusals(model, written)}
    pairs = [row for row in written if id(row) not in refused]
    asks = [query_of(example) for example in examples]
    first = {lesson.task.metric: lesson.task.metrics[lesson.task.metric]}

    def figures(step: int) -> Mapping[str, float]:
        if model.head == "set":
            settled(model, pairs, lesson.config)
        found = predictions(
            model, asks, lesson.task, lesson.config.decode, max_tokens=max_tokens, seed=lesson.config.seed
        )
        sheet = judged("model", examples, found, lesson.task.codec, first)
        values = sheet.values(lesson.task.metric)
        seen = health([prediction.text for prediction in found])
        gain: dict[str, float] = {}
        loss: dict[str, float] = {}
        if pairs:
            loss["loss"] = plain_loss(model, pairs)
        if pairs and bool(getattr(lesson.task.codec, "labels", ())):
            # What the right input is worth; a second pass over dev, so only where collapse is a known danger.
            gain["gain"] = plain_loss(model, rotated(pairs)) - loss["loss"]
        return {
            **gain,
            lesson.task.metric: sum(values) / len(values),
            **loss,
            "unreadable": seen.unreadable,
            # The collapse meter of the record: one answer for everything shows here long before the loss tells.
            "top_share": seen.top_share,
            "distinct_share": seen.distinct / len(found),
        }

    return figures


def plain_loss(model: Model, pairs: Sequence[Pair], rows_at_once: int = 64) -> float:
    """Mean plain loss in nats per target, comparable across losses."""
    device = next(model.module.parameters()).device
    ordered = sorted(pairs, key=model.length)

    def some(places: Sequence[int]) -> list[tuple[float, int]]:
        batch = model.collate([ordered[place] for place in places]).to(device)
        whole = float(plain(model.outputs(batch))) * batch.targets, batch.targets
        return [whole, *[(0.0, 0)] * (len(places) - 1)]  # a part's sums stand at its first row

    with asking(model), packed(model.module, len(pairs)):
        sums = [told for _, told in in_parts(range(len(ordered)), rows_at_once, some)]
    return sum(loss for loss, _ in sums) / max(1, sum(targets for _, targets in sums))


def train(
    lesson: TrainingSetup,
    model: Model,
    run: Run,
    listener: Listener,
    *,
    max_tokens: int,
    guards: Sequence[Guard] = (),
    anyway: bool = False,
) -> TrainResult:
    """Train the model in this run: from its newest whole checkpoint where there is one.

    `guards` watch besides the house's own (training/guards), which `train.guards = false` turns off. A checkpoint made
    with other settings or versions is refused (IncompatibleError), unless `anyway`.
    """
    config = lesson.config
    here = world(config)
    found = run.latest_checkpoint()
    for finding in found.findings:
        noticed(run, listener, finding)
    resume = None if found.path is None else read_state(found.path)
    if resume is not None:
        enforce(run, changes(resume.facts.get("world", {}), here), listener, anyway, IncompatibleError)
        listener.note(both(f"going on after step {resume.step}", f"ステップ{resume.step}の続きから"))
    cut_steps(run, 0 if resume is None else resume.step)  # killed before its first checkpoint, it begins anew

    def save(state: TrainState) -> None:
        best = int(state.facts.get("best_step", 0))
        kept = replace(state, facts={**state.facts, "world": here})
        run.save_checkpoint(state.step, lambda folder: write_state(kept, folder), keep=config.train.keep, spare={best})

    precision = machine.precision(config.device, pretrained=config.model.base not in BUILT_IN, dtype=config.model.dtype)
    run.note(precision="bf16 beside float32" if precision == "bf16" else "as the weights")
    watching = guards_for(lesson, model, run.path) if config.train.guards else []
    with Trackers(config, run.name, run.path) as trackers:

        def on_step(step: Step) -> None:
            run.append("steps.jsonl", step)
            listener.step(step, int(config.train.steps))
            trackers.step(step)

        try:
            taught = run_loop(
                model,
                rows(lesson, model),
                config.train,
                seed=config.seed,
                metric=lesson.task.metric,
                evaluate=dev_figures(lesson, model, max_tokens) if lesson.split.dev else None,
                on_step=on_step,
                save=save,
                resume=resume,
                guards=(*watching, *guards),
                on_finding=lambda finding: noticed(run, listener, finding),
                device=config.device,
                precision=precision,
            )
        except NumericError as error:
            noticed(run, listener, not_finite(error))
            raise
    if model.head == "set":  # belongs to the weights that shall answer, which need not be the last ones
        out_of_fold.settle(model, *_sides(lesson), config)
    return taught


def again(lesson: TrainingSetup, model: Model, run: Run, listener: Listener) -> Model:
    """The model that shall answer: this one, or where the config says so another that was taught dev too."""
    train_side, dev = _sides(lesson)
    if not refit.wanted(model, dev, lesson.config):
        return model
    made = refit.refitted(model, train_side, dev, lesson.config)
    noticed(run, listener, refit.told(len(train_side), len(refit.known(model, dev))))
    return made


def _sides(lesson: TrainingSetup) -> tuple[list[Pair], list[Pair]]:
    """The training rows, and the rows of dev's main part."""
    dev = [pair(lesson.task, example) for example in lesson.split.dev if example.part == ""]
    return [pair(lesson.task, example) for example in lesson.split.train], dev


def settled(model: Model, dev: Sequence[Pair], config: Config) -> None:
    """How sure a set head is, and what frequent labels cost, by these rows of dev."""
    set_calibration.settle(model, [row.ask for row in dev], [row.written.split() for row in dev], config.decode)


def not_finite(error: NumericError) -> Finding:
    """The end of a training as a finding, so that the record shows it beside the others."""
    return Finding("not-finite", "stop", error.what, where=error.where, do=error.do, values={"step": float(error.step)})


def noticed(run: Run, listener: Listener, finding: Finding) -> None:
    record_finding(run, finding)
    listener.finding(finding)


def cut_steps(run: Run, step: int) -> None:
    """Lines of the step log beyond the checkpoint are made again; they must not stand there twice."""
    known = run.read_lines("steps.jsonl")
    kept = [line for line in known if int(line["step"]) <= step]
    if len(kept) < len(known):
        run.restart("steps.jsonl", kept)


def write_state(state: TrainState, folder: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, folder / "state.safetensors")
    facts: dict[str, Any] = {"step": state.step, "facts": dict(state.facts)}
    (folder / "state.json").write_text(json.dumps(facts), encoding="utf-8")


def read_state(folder: Path) -> TrainState:
    """A sealed checkpoint's training state (the seal was verified by whoever found the folder)."""
    facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return TrainState(int(facts["step"]), load_file(folder / "state.safetensors"), facts["facts"])
