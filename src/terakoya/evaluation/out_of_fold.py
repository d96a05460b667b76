"""Predictions for every row by a model that was not trained on it: cross-validation with the settings of a run.

Confident learning needs such predictions (Northcutt et al., 2021, section 3): a model has partly memorised the rows
that it was trained on, errors included, and is sure of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from terakoya.config import Config
from terakoya.data.split import group_of
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.records import Example, Prediction, Split
from terakoya.saved_model import Skill
from terakoya.training.prepare import pair_of, prepare_training
from terakoya.training.retrain import fit

Make = Callable[..., Model]


def predict_out_of_fold(
    skill: Skill,
    rows: Sequence[Example],
    folds: int,
    make: Make,
    *,
    on_fold: Callable[[int], None] = lambda fold: None,
) -> list[Prediction]:
    """One prediction for each row, in their order, by a model that was trained without the row's fold.

    skill    its task and its config, resolved as its training resolved it, are used again; its weights are not
    rows     whose targets the task's codec can write
    folds    number of parts and of trainings, each as long as the skill's own; rows of one group stay together
    make     creates a model, as `registry.find_model_maker` returns it
    on_fold  called with the number of a fold, from 0, before its training begins
    Raises ConfigError where there are fewer groups than folds, or fewer than two folds.
    """
    fold_of = assign_folds(rows, folds, skill.config.seed)
    task = replace(skill.task, draw=None, split=None)
    decode = skill.config.decode.model_copy(update={"abstain_below": 0.0, "verify": False})
    found: dict[int, Prediction] = {}
    for fold in range(folds):
        on_fold(fold)
        kept = tuple(row for row, its in zip(rows, fold_of, strict=True) if its != fold)
        setup, model, max_tokens = prepare_training(task, Split(kept, (), ()), _without_dev(skill.config), make)
        steps = float(setup.config.train.steps)
        trained = fit(model, [pair_of(task, row) for row in kept], setup.config, steps)
        held_out = [index for index, its in enumerate(fold_of) if its == fold]
        predictions = predict_queries(
            trained,
            [query_of(rows[index]) for index in held_out],
            task,
            decode,
            max_tokens=max_tokens,
            seed=skill.config.seed,
        )
        found |= dict(zip(held_out, predictions, strict=True))
    return [found[index] for index in range(len(rows))]


def assign_folds(rows: Sequence[Example], folds: int, seed: int) -> list[int]:
    """The fold of every row, from 0 to folds - 1: groups in random order, dealt out one by one.

    rows   of any order, which does not matter
    folds  number of parts
    seed   of the order
    Raises ConfigError where there are fewer groups than folds, or fewer than two folds.
    """
    groups = sorted({group_of(row) for row in rows})
    if not 2 <= folds <= len(groups):
        raise ConfigError(
            _("{rows} rows cannot be divided into {folds} folds", rows=len(groups), folds=folds),
            where="--folds",
            do=_("Say --folds 2 or more, up to the number of rows."),
        )
    Random(seed).shuffle(groups)
    number = {group: index % folds for index, group in enumerate(groups)}
    return [number[group_of(row)] for row in rows]


def _without_dev(config: Config) -> Config:
    """The last weights are taken: nothing is left to choose better ones by."""
    return config.model_copy(update={"train": config.train.model_copy(update={"select": "last", "patience": 0})})
