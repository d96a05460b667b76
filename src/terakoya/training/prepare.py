"""One lesson, made ready: what is taught, the model made for it, and the rows of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch

from terakoya.codec.labels import LabelsCodec
from terakoya.config import Config, ModelConfig
from terakoya.data.split import group_of
from terakoya.decoding.predict import longest_answer, query_of
from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.models.protocol import Model, Pair
from terakoya.records import Example, Split
from terakoya.task import Task
from terakoya.training.batches import Batches, Fixed, Stream
from terakoya.training.defaults import resolve

_ORDERS = 8  # of each row where the order of labels is shuffled
_AT_ONCE = 32
TRIES = 1000  # draws in a row on the held-out side before a task's `draw` is called broken


@dataclass(frozen=True)
class TrainingSetup:
    """What is taught, of what, and how; every `auto` of the config is resolved."""

    task: Task
    split: Split
    config: Config


def prepared(task: Task, split: Split, config: Config, make: Callable[..., Model]) -> tuple[TrainingSetup, Model, int]:
    """The lesson with every `auto` resolved, a fresh model made for its data, the tokens that an answer may take."""
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    pairs = sample_pairs(task, split, config.seed)
    told = possible(config.model).model_copy(update={"instruction": config.model.instruction or task.instruction})
    # Only labels have names, and only makers that know labels are told of them.
    named = {"label_names": task.label_names} if task.label_names else {}
    model = make(told, pairs, tuple(getattr(task.codec, "labels", ())), seed=config.seed, **named)
    how = resolve(config.train, model.card, len(split.train), drawn=task.draw is not None)
    torch.set_num_threads(how.threads)
    if hasattr(model, "settle"):  # pretrained models: where the loss is taken, shared prefixes, checkpointing
        model.settle(how)
    asked_for = config.decode.max_tokens or longest_answer(model, pairs)
    return TrainingSetup(task, split, config.model_copy(update={"train": how})), model, asked_for


def possible(model: ModelConfig) -> ModelConfig:
    """The same with a precision that this machine can train in. The wish stays in the lesson: preflight answers it."""
    if model.dtype == "float16" and not torch.cuda.is_available():
        return model.model_copy(update={"dtype": "float32"})
    return model


def pair(task: Task, example: Example) -> Pair:
    name = f"{example.origin}, row {example.row}" if example.row else example.source
    return Pair(query_of(example), task.codec.write(example.target), name)


def drawer(task: Task, split: Split) -> Callable[[Random, float], Pair]:
    """Draws of the task that fall on no held-out group: what the exam asks is never taught, in any form."""
    draw = task.draw
    assert draw is not None
    held = {group_of(item) for side in (split.dev, split.exam) for item in side if not task.is_recall(item)}

    def drawn(chance: Random, progress: float) -> Pair:
        for _ in range(TRIES):
            example = draw(chance, progress)
            if group_of(example) not in held:
                return pair(task, example)
        raise DataError(
            both(
                f"{TRIES} examples drawn in a row belong to the exam or dev",
                f"続けて生成した{TRIES}件の例がすべて試験か検証のものである",
            ),
            where=both(f"task '{task.name}'", f"タスク '{task.name}'"),
            do=both(
                "Its `draw` must reach beyond what is held out.", "`draw` は取り置いたもの以外にも及ぶ必要がある。"
            ),
        )

    return drawn


def sample_pairs(task: Task, split: Split, seed: int, count: int = 4000) -> list[Pair]:
    """Pairs from which a model is sized and its characters are known: all of a fixed set, a sample of a drawn one."""
    fixed = [pair(task, example) for example in split.train]
    if task.draw is None:
        return fixed
    draw = drawer(task, split)
    return fixed + [draw(Random(f"{seed}/sample/{number}"), 1.0) for number in range(count)]


def refusals(model: Model, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, DataError]]:
    """Rows that the model does not take, with why. Many are tried at a time; one by one only where they are refused."""
    for place in range(0, len(pairs), _AT_ONCE):
        batch = pairs[place : place + _AT_ONCE]
        try:
            model.collate(batch)
        except DataError:
            for row in batch:
                try:
                    model.collate([row])
                except DataError as error:
                    yield row, error


def rows(lesson: TrainingSetup, model: Model) -> Batches:
    """The rows of every step, as the config says."""
    config, how = lesson.config, lesson.config.train
    length = model.length if how.bucket else None
    size = int(how.batch_size)
    if lesson.task.draw is not None:
        draw = drawer(lesson.task, lesson.split)
        draws = int(how.steps) * how.accumulate  # batches, several to a step where gradients are accumulated
        return Stream(draw, size, config.seed, draws, length, curriculum=bool(how.curriculum))
    taught = [row for example in lesson.split.train for row in in_orders(lesson, pair(lesson.task, example))]
    return Fixed(taught, size, config.seed, length)


def in_orders(lesson: TrainingSetup, row: Pair) -> list[Pair]:
    """The row with its labels in the order that the config wants: canonical, or eight orders drawn by seed and row.

    For sequences of labels only: a set head knows no order, and other codecs have none to change.
    """
    codec, order = lesson.task.codec, lesson.config.train.label_order
    if order == "as-given" or not isinstance(codec, LabelsCodec):
        return [row]
    target = codec.read(row.written) or row.written
    chance = Random(f"{lesson.config.seed}/{row.ask.source}/{target}")
    written = [codec.ordered(target, order, chance) for _ in range(_ORDERS if order == "shuffled" else 1)]
    return [Pair(row.ask, one, row.key) for one in written]
