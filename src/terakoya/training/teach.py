"""One lesson: rows for the loop, dev answers for its evaluations, checkpoints for its memory.

The loop knows batches and callbacks; a run folder knows files. This is where the two meet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from terakoya.asking import asked, longest_answer, predictions
from terakoya.config import Config
from terakoya.data.split import group_of
from terakoya.errors import DataError
from terakoya.listener import Listener
from terakoya.models.model import Model, Pair
from terakoya.records import Example, Finding, Split, Step
from terakoya.runs import Run
from terakoya.scoring.baselines import evenly
from terakoya.scoring.exam import judged
from terakoya.scoring.health import health
from terakoya.task import Task
from terakoya.training.batches import Batches, Fixed, Stream
from terakoya.training.loop import Guard, Taught, train
from terakoya.training.losses import plain
from terakoya.training.recipe import resolve
from terakoya.training.state import TrainState

TRIES = 1000  # draws in a row on the held-out side before a task's `draw` is called broken


@dataclass(frozen=True)
class Lesson:
    """What is taught, of what, and how; every `auto` of the config is resolved."""

    task: Task
    split: Split
    config: Config


def prepared(task: Task, split: Split, config: Config, make: Callable[..., Model]) -> tuple[Lesson, Model, int]:
    """The lesson with every `auto` resolved, a fresh model made for its data, the tokens that an answer may take."""
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    pairs = sample_pairs(task, split, config.seed)
    told = config.model.model_copy(update={"instruction": config.model.instruction or task.instruction})
    model = make(told, pairs, tuple(getattr(task.codec, "labels", ())), seed=config.seed)
    how = resolve(config.train, model.card, len(split.train), drawn=task.draw is not None)
    torch.set_num_threads(how.threads)
    if hasattr(model, "settle"):  # pretrained models: where the loss is taken, shared prefixes, checkpointing
        model.settle(how)
    asked_for = config.decode.max_tokens or longest_answer(model, pairs)
    return Lesson(task, split, config.model_copy(update={"train": how})), model, asked_for


def pair(task: Task, example: Example) -> Pair:
    name = f"{example.origin}, row {example.row}" if example.row else example.source
    return Pair(asked(example), task.codec.write(example.target), name)


def drawer(task: Task, split: Split) -> Callable[[Random, float], Pair]:
    """Draws of the task that fall on no held-out group: what the exam asks is never taught, in any form."""
    draw = task.draw
    assert draw is not None
    held = {group_of(example) for side in (split.dev, split.exam) for example in side if example.part != "recall"}

    def drawn(chance: Random, progress: float) -> Pair:
        for _ in range(TRIES):
            example = draw(chance, progress)
            if group_of(example) not in held:
                return pair(task, example)
        raise DataError(
            f"{TRIES} examples drawn in a row belong to the exam or dev",
            where=f"task '{task.name}'",
            do="Its `draw` must reach beyond what is held out.",
        )

    return drawn


def sample_pairs(task: Task, split: Split, seed: int, count: int = 4000) -> list[Pair]:
    """Pairs from which a model is sized and its characters are known: all of a fixed set, a sample of a drawn one."""
    fixed = [pair(task, example) for example in split.train]
    if task.draw is None:
        return fixed
    draw = drawer(task, split)
    return fixed + [draw(Random(f"{seed}/sample/{number}"), 1.0) for number in range(count)]


def rows(lesson: Lesson, model: Model) -> Batches:
    """The rows of every step, as the config says."""
    config, how = lesson.config, lesson.config.train
    length = model.length if how.bucket else None
    size = int(how.batch_size)
    if lesson.task.draw is not None:
        draw = drawer(lesson.task, lesson.split)
        return Stream(draw, size, config.seed, int(how.steps), length, curriculum=bool(how.curriculum))
    return Fixed([pair(lesson.task, example) for example in lesson.split.train], size, config.seed, length)


def dev_figures(lesson: Lesson, model: Model, max_tokens: int) -> Callable[[int], Mapping[str, float]]:
    """What dev says of the model as it stands: the task's metrics on generated answers, and the plain loss."""
    examples = evenly([row for row in lesson.split.dev if row.part == ""], lesson.config.train.dev_items)
    pairs = [pair(lesson.task, example) for example in examples]
    asks = [asked(example) for example in examples]
    first = {lesson.task.metric: lesson.task.metrics[lesson.task.metric]}

    def figures(step: int) -> Mapping[str, float]:
        found = predictions(
            model, asks, lesson.task, lesson.config.decode, max_tokens=max_tokens, seed=lesson.config.seed
        )
        sheet = judged("model", examples, found, lesson.task.codec, first)
        values = sheet.values(lesson.task.metric)
        seen = health([prediction.text for prediction in found])
        return {
            lesson.task.metric: sum(values) / len(values),
            "loss": plain_loss(model, pairs),
            "unreadable": seen.unreadable,
            # The collapse meter of the record: one answer for everything shows here long before the loss tells.
            "top_share": seen.top_share,
            "distinct_share": seen.distinct / len(found),
        }

    return figures


def plain_loss(model: Model, pairs: Sequence[Pair], rows_at_once: int = 64) -> float:
    """Mean plain loss in nats per target, comparable across losses."""
    total, targets = 0.0, 0
    device = next(model.module.parameters()).device
    training = model.module.training
    model.module.eval()
    ordered = sorted(pairs, key=model.length)
    with torch.inference_mode():
        for place in range(0, len(ordered), rows_at_once):
            batch = model.collate(ordered[place : place + rows_at_once]).to(device)
            total += float(plain(model.outputs(batch))) * batch.targets
            targets += batch.targets
    model.module.train(training)
    return total / max(1, targets)


def teach(
    lesson: Lesson, model: Model, run: Run, listener: Listener, *, max_tokens: int, guards: Sequence[Guard] = ()
) -> Taught:
    """Train the model in this run: from its newest whole checkpoint where there is one."""
    config = lesson.config
    found = run.latest_checkpoint()
    for finding in found.findings:
        noticed(run, listener, finding)
    resume = None if found.path is None else read_state(found.path)
    if resume is not None:
        listener.note(f"going on after step {resume.step}")
        cut_steps(run, resume.step)

    def on_step(step: Step) -> None:
        run.append("steps.jsonl", step)
        listener.step(step, int(config.train.steps))

    def save(state: TrainState) -> None:
        best = int(state.facts.get("best_step", 0))
        run.save_checkpoint(state.step, lambda folder: write_state(state, folder), keep=config.train.keep, spare={best})

    return train(
        model,
        rows(lesson, model),
        config.train,
        seed=config.seed,
        metric=lesson.task.metric,
        evaluate=dev_figures(lesson, model, max_tokens) if lesson.split.dev else None,
        on_step=on_step,
        save=save,
        resume=resume,
        guards=guards,
        on_finding=lambda finding: noticed(run, listener, finding),
        device=config.device,
    )


def noticed(run: Run, listener: Listener, finding: Finding) -> None:
    run.append("findings.jsonl", finding)
    listener.finding(finding)


def cut_steps(run: Run, step: int) -> None:
    """Lines of the step log beyond the checkpoint are made again; they must not stand there twice."""
    kept = [line for line in run.read_lines("steps.jsonl") if int(line["step"]) <= step]
    run.restart("steps.jsonl", kept)


def write_state(state: TrainState, folder: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in state.tensors.items()}, folder / "state.safetensors")
    facts: dict[str, Any] = {"step": state.step, "facts": dict(state.facts)}
    (folder / "state.json").write_text(json.dumps(facts), encoding="utf-8")


def read_state(folder: Path) -> TrainState:
    """A sealed checkpoint's training state (the seal was verified by whoever found the folder)."""
    facts = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return TrainState(int(facts["step"]), load_file(folder / "state.safetensors"), facts["facts"])
