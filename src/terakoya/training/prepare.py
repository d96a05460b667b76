"""A training made ready: the task with its split and config, the model made for it, and the rows of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch

from terakoya.codec.labels import LabelsCodec
from terakoya.config import Config, ModelConfig
from terakoya.data.split import group_of
from terakoya.decoding.predict import generation_limit, query_of
from terakoya.errors import DataError
from terakoya.errors.third_party import broken_contract
from terakoya.i18n import _
from terakoya.models.conformance import check_model
from terakoya.models.cores import available_cores
from terakoya.models.protocol import Model, Pair
from terakoya.records import Example, Split
from terakoya.task import Task
from terakoya.training.batches import Batches, EpochBatches, StreamBatches
from terakoya.training.corruption import RejectedRows
from terakoya.training.defaults import resolve

_ORDERS = 8  # of each row where the order of labels is shuffled
_ROWS_PER_TRY = 32
MAX_DRAWS = 1000  # held-out draws in a row before a task's `draw` is called broken


@dataclass(frozen=True)
class TrainingSetup:
    """What a training needs besides its model.

    task    codec, metrics and, for tasks that sample their rows, `draw`
    split   train, dev and exam
    config  every `auto` of its `train` section resolved
    """

    task: Task
    split: Split
    config: Config


def prepare_training(
    task: Task, split: Split, config: Config, make: Callable[..., Model]
) -> tuple[TrainingSetup, Model, int]:
    """Resolve every `auto` and create a fresh model for the data.

    task    what is to be learnt
    split   train, dev and exam
    config  as the user wrote it
    make    creates the model: make(ModelConfig, pairs, labels, seed=…), with `label_names` for tasks that have them
    Returns the setup, the model, and the tokens that a prediction may have at most.
    """
    torch.set_num_threads(config.train.threads or min(torch.get_num_threads(), available_cores()))
    pairs = sample_pairs(task, split, config.seed)
    wanted = supported_precision(config.model).model_copy(
        update={"instruction": config.model.instruction or task.instruction}
    )
    # Only labels have names, and only makers that know labels take them.
    named = {"label_names": task.label_names} if task.label_names else {}
    model = make(wanted, pairs, tuple(getattr(task.codec, "labels", ())), seed=config.seed, **named)
    check_model(model, _("the model '{base}'", base=config.model.base), make, pairs)
    dev = min(sum(1 for row in split.dev if row.subset == ""), config.train.dev_items)
    train = resolve(config.train, model.info, len(split.train), streaming=task.draw is not None, dev=dev)
    torch.set_num_threads(train.threads)
    if hasattr(model, "configure"):  # pretrained models: loss mask, shared prefixes, checkpointing
        model.configure(train)
    max_tokens = config.decode.max_tokens or generation_limit(model, pairs)
    return TrainingSetup(task, split, config.model_copy(update={"train": train})), model, max_tokens


def supported_precision(model: ModelConfig) -> ModelConfig:
    """The same `model` section with a precision that this machine can train in.

    The setup keeps the user's choice, and preflight reports what becomes of it.
    """
    if model.dtype == "float16" and not torch.cuda.is_available():
        return model.model_copy(update={"dtype": "float32"})
    return model


def pair_of(task: Task, example: Example) -> Pair:
    """An example as a model is trained on it.

    task     its codec writes the target
    example  its file and row, or its source, become the name that errors show
    """
    name = f"{example.origin}, row {example.row}" if example.row else example.source
    try:
        written = task.codec.write(example.target)
    except DataError as error:  # a codec knows the target, and not where it stands
        raise DataError(error.what, where=error.where or name, do=error.do) from error
    if not isinstance(written, str):
        raise broken_contract(
            task.codec.write, _("a codec must write a target as text, and wrote {given}", given=repr(written))
        )
    return Pair(query_of(example), written, name)


def make_sampler(task: Task, split: Split) -> Callable[[Random, float], Pair]:
    """The task's `draw` without held-out rows: no group of dev or exam is trained on, in any form.

    task   has a `draw`; what it declares as memorised may be drawn all the same
    split  its dev and exam are held out
    Returns a function of a random generator and the training's progress, 0 to 1. That function raises DataError where
    1000 draws in a row are held out.
    """
    draw = task.draw
    assert draw is not None
    held_out = {group_of(item) for part in (split.dev, split.exam) for item in part if not task.is_memorised(item)}

    def sample(rng: Random, progress: float) -> Pair:
        for _attempt in range(MAX_DRAWS):
            example = draw(rng, progress)
            if not isinstance(example, Example):
                raise broken_contract(
                    draw, _("a task's `draw` must return an Example, and returned {given}", given=repr(example))
                )
            if group_of(example) not in held_out:
                return pair_of(task, example)
        raise DataError(
            _("{max_draws} examples drawn in a row belong to the exam or dev", max_draws=MAX_DRAWS),
            where=_("task '{name}'", name=task.name),
            do=_("Its `draw` must reach beyond what is held out."),
        )

    return sample


def sample_pairs(task: Task, split: Split, seed: int, count: int = 4000) -> list[Pair]:
    """Rows by which a model's size and characters are chosen: all fixed rows, and a sample of those drawn.

    task   what is to be learnt
    split  its train rows are used, and its held-out groups are not drawn
    seed   of the sample
    count  rows drawn, where the task has a `draw`
    """
    fixed = [pair_of(task, example) for example in split.train]
    if task.draw is None:
        return fixed
    draw = make_sampler(task, split)
    return fixed + [draw(Random(f"{seed}/sample/{number}"), 1.0) for number in range(count)]


def rejected_rows(model: Model, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, DataError]]:
    """Rows that the model cannot take, each with the reason. One by one only where a batch of rows is rejected.

    model  collates the rows
    pairs  the rows to be tried
    """
    for start in range(0, len(pairs), _ROWS_PER_TRY):
        batch = pairs[start : start + _ROWS_PER_TRY]
        try:
            model.collate(batch)
        except DataError:
            for row in batch:
                try:
                    model.collate([row])
                except DataError as error:
                    yield row, error


def make_batches(setup: TrainingSetup, model: Model) -> Batches:
    """The rows of every step, as the config says.

    setup  a task with `draw` gives sampled rows, any other those of the train split
    model  gives the length of a row
    """
    batches = _accepted_batches(setup, model)
    if model.head == "set" or not setup.config.decode.reject:
        return batches
    return RejectedRows(batches, setup.task, setup.split, setup.config.train.reject_share, setup.config.seed)


def _accepted_batches(setup: TrainingSetup, model: Model) -> Batches:
    config, train = setup.config, setup.config.train
    length = model.length if train.bucket else None
    size = int(train.batch_size)
    if setup.task.draw is not None:
        draw = make_sampler(setup.task, setup.split)
        batches = int(train.steps) * train.accumulate  # several to a step where gradients are accumulated
        return StreamBatches(draw, size, config.seed, batches, length, curriculum=bool(train.curriculum))
    rows = [row for example in setup.split.train for row in label_order_variants(setup, pair_of(setup.task, example))]
    return EpochBatches(rows, size, config.seed, length)


def label_order_variants(setup: TrainingSetup, row: Pair) -> list[Pair]:
    """The row with its labels in the order of `train.label_order`: as given, canonical, or eight shuffled orders.

    For sequences of labels only: a set head knows no order, and other codecs have none to change.

    setup  codec, order and seed; the orders depend on seed and row alone
    row    a training row
    """
    codec, order = setup.task.codec, setup.config.train.label_order
    if order == "as-given" or not isinstance(codec, LabelsCodec):
        return [row]
    target = codec.read(row.target) or row.target
    rng = Random(f"{setup.config.seed}/{row.query.source}/{target}")
    targets = [codec.reorder(target, order, rng) for _ in range(_ORDERS if order == "shuffled" else 1)]
    return [Pair(row.query, one, row.key) for one in targets]
