"""How long the training will take: a few of its own steps and one evaluation are timed before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from terakoya.config import Config
from terakoya.decoding.predict import SLACK, generation_limit, query_of
from terakoya.errors import NumericError
from terakoya.i18n import _, joined
from terakoya.models.protocol import Model, Pair
from terakoya.records import Finding, Split
from terakoya.training import device, malloc
from terakoya.training.batches import POOL, Batches
from terakoya.training.defaults import BUILT_IN
from terakoya.training.dev_evaluation import dev_evaluator
from terakoya.training.parallel.processes import is_launched_as_one_of_several
from terakoya.training.prepare import TrainingSetup, make_batches, pair_of
from terakoya.training.step import Engine

_STEPS = (2, 6)  # timed, at least and at most, after one that is not
_ENOUGH_SECONDS = 1.0  # of timed steps, after which no more are done than the fewest
_ITEMS = (8, 64)  # of dev, evaluated: the first few, and where that is soon done a whole batch
_CALIBRATION = ("inverse_temperature", "penalties", "mixing_weight")  # of a set head, which an evaluation changes


@dataclass(frozen=True)
class Duration:
    """What a training will take, in seconds.

    steps        number of optimizer steps
    step         seconds of one
    evaluations  number of evaluations on dev
    evaluation   seconds of one
    limit        `train.minutes` in seconds; 0: none
    """

    steps: int
    step: float
    evaluations: int
    evaluation: float
    limit: float = 0.0

    @property
    def total(self) -> float:
        """Seconds of the whole training."""
        whole = self.steps * self.step + self.evaluations * self.evaluation
        return min(whole, self.limit) if self.limit else whole


def measure_duration(setup: TrainingSetup, model: Model) -> Duration | None:
    """Time a few steps of this training and one evaluation; weights, mode and random generators stay as they were.

    The steps lie evenly over the training and have a learning rate of 0. An evaluation of a model that cannot end its
    predictions yet would be too long, so it generates no more tokens than the targets have.

    setup  task, split and resolved config
    model  the model to be trained
    Returns None among several processes, which would wait for one another, and where a step is not finite.
    """
    if is_launched_as_one_of_several():
        return None
    train = setup.config.train
    with _left_as_it_was(model, train.threads):
        try:
            step = _step_seconds(setup, model)
        except NumericError:
            return None  # reported by the probe of the first step, or by the training, with its cause
        evaluation = _evaluation_seconds(setup, model) if setup.split.dev else 0.0
    steps, every = int(train.steps), int(train.evaluate_every)
    count = -(-steps // every) if setup.split.dev else 0
    return Duration(steps, step, count, evaluation, 60 * train.minutes)


def duration_findings(setup: TrainingSetup, model: Model) -> Iterator[Finding]:
    """The time that the training will take.

    setup  task, split and resolved config
    model  the model to be trained
    """
    found = measure_duration(setup, model)
    if found is None:
        return
    text = _(
        "about {time} of training: {steps:,} steps of {step} each",
        time=format_seconds(found.total),
        steps=found.steps,
        step=format_seconds(found.step),
    )
    if found.evaluations:
        evaluations = _(
            "{count} evaluations on dev of {seconds} each",
            count=found.evaluations,
            seconds=format_seconds(found.evaluation),
        )
        text = joined(", ", [text, evaluations])
    yield Finding(
        "duration",
        "note",
        text,
        values={"seconds": found.total, "step_seconds": found.step, "evaluation_seconds": found.evaluation},
    )


def format_seconds(seconds: float) -> str:
    """Seconds in the unit that suits them: "14 ms", "3.2 s", "25 min", "2.5 h".

    seconds  0 or more
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _TimedBatches:
    """Batches that say how long a step waits for its rows, which several steps share."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.share = batches, int(getattr(batches, "per_epoch", POOL))
        self.waits: list[float] = []

    def at(self, step: int) -> Sequence[Pair]:
        started = time.perf_counter()
        rows = self.batches.at(step)
        self.waits.append(time.perf_counter() - started)
        return rows


def _step_seconds(setup: TrainingSetup, model: Model) -> float:
    """Seconds of an average step, its share of making rows included."""
    config = setup.config
    train = config.train.model_copy(update={"learning_rate": 0.0})
    precision = device.precision(config.device, pretrained=config.model.base not in BUILT_IN, dtype=config.model.dtype)
    batches = _TimedBatches(make_batches(setup, model))
    engine = Engine(model, batches, train, config.seed, config.device, precision)
    try:
        engine.step(0)  # allocates what the others find
        engine.synchronize()
        seconds: list[float] = []
        fewest, most = _STEPS
        batches.waits.clear()
        for number in _spread(int(train.steps), most):
            if len(seconds) >= fewest and sum(seconds) > _ENOUGH_SECONDS:
                break
            started, waited = time.perf_counter(), sum(batches.waits)
            engine.step(number)
            engine.synchronize()
            seconds.append(time.perf_counter() - started - (sum(batches.waits) - waited))
    finally:
        engine.replicas.close()
        malloc.release_freed_memory()
    return sum(seconds) / len(seconds) + sum(batches.waits) / len(seconds) / batches.share


def _spread(steps: int, count: int) -> list[int]:
    """Step numbers that lie evenly over a training, in an order whose first ones do so too."""
    spaced = [int((index + 0.5) * steps / count) for index in range(count)]
    return [*spaced[::2], *spaced[1::2]]


def _evaluation_seconds(setup: TrainingSetup, model: Model) -> float:
    """Seconds of one evaluation on dev: a few items first, and all of them where that is soon done."""
    rows = [row for row in setup.split.dev if row.subset == ""]
    limit = generation_limit(model, [pair_of(setup.task, row) for row in rows[:200]])
    count = min(len(rows), setup.config.train.dev_items)
    if not count:
        return 0.0
    few, batch = (min(count, items) for items in _ITEMS)

    if (base := getattr(model, "evidence", None)) is not None:
        base.evidence_of([query_of(row) for row in rows[:batch]])  # once for each text: base_time_findings

    def seconds(items: int) -> float:
        part = replace(setup, config=_with_items(setup.config, items), split=Split((), tuple(rows), ()))
        evaluate: Callable[[int], Any] = dev_evaluator(part, model, max(1, limit - SLACK))
        started = time.perf_counter()
        evaluate(0)
        return time.perf_counter() - started

    first = seconds(few)
    # A batch of many takes hardly longer than one of few where the model is small.
    found = first / few if batch == few or first > 2 * _ENOUGH_SECONDS else seconds(batch) / batch
    return found * count


def _with_items(config: Config, items: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"dev_items": items})})


@contextmanager
def _left_as_it_was(model: Model, threads: int) -> Iterator[None]:
    """Mode, gradients, calibration, random generators and threads are as before afterwards."""
    training, before = model.module.training, torch.get_num_threads()
    calibration = {name: getattr(model, name) for name in _CALIBRATION if hasattr(model, name)}
    if threads:
        torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        model.module.zero_grad(set_to_none=True)
        model.module.train(training)
        for name, value in calibration.items():
            setattr(model, name, value)
