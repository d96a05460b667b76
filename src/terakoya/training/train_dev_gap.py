"""Whether a model is much better on rows that it was trained on than on dev: it memorised, and more rows may help."""

from __future__ import annotations

import math
from collections.abc import Sequence

from terakoya.config import DecodeConfig
from terakoya.data.split import group_of
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.records import Example, Finding
from terakoya.scoring.baselines.standard import evenly_spaced
from terakoya.scoring.score_predictions import score_predictions
from terakoya.scoring.statistics.intervals import mean_interval
from terakoya.training.prepare import TrainingSetup

CHECK = "train-dev-gap"
GAP = 0.15  # between train and dev, from which on a model has memorised what it does not generalise
LEAST_ROWS, LEAST_DEV = 40, 10  # below which neither the gap nor a learning curve says anything
_TRAIN_ITEMS = 100


def gap_finding(
    setup: TrainingSetup, model: Model, dev: Sequence[Example], scores: Sequence[float], *, max_tokens: int
) -> Finding | None:
    """A note where the model scores much higher on training rows than on dev, beyond sampling error; None elsewhere.

    setup       task, split and resolved config
    model       trained
    dev         items that it was not trained on
    scores      of its predictions for them
    max_tokens  tokens that a prediction may have at most
    The interval of the difference is that of Zou and Donner (2008), from the intervals of both means.
    """
    task, config = setup.task, setup.config
    few = len(setup.split.train) < LEAST_ROWS or len(dev) < LEAST_DEV
    if task.draw is not None or few or sum(scores) / len(scores) + GAP > 1:
        return None
    rows = evenly_spaced(setup.split.train, _TRAIN_ITEMS)
    found = predict_queries(
        model, [query_of(row) for row in rows], task, _plain(config.decode), max_tokens=max_tokens, seed=config.seed
    )
    made = score_predictions("model", rows, found, task.codec, {task.metric: task.metrics[task.metric]})
    trained = mean_interval(made.item_scores(task.metric), groups=[group_of(row) for row in rows], seed=config.seed)
    held_out = mean_interval(scores, groups=[group_of(row) for row in dev], seed=config.seed)
    gap = trained.value - held_out.value
    low = gap - math.hypot(trained.value - trained.low, held_out.high - held_out.value)
    if gap < GAP or low <= 0:
        return None
    return Finding(
        CHECK,
        "note",
        _(
            "on rows that it was trained on the model scores {trained:.3f} (n = {rows}), on dev {value:.3f} "
            "(n = {items}): it has memorised more than it generalises",
            trained=trained.value,
            rows=trained.n,
            value=held_out.value,
            items=held_out.n,
        ),
        where="dev",
        do=_(
            "More rows may help: `terakoya curve RUN` measures what they would bring. A run does so by itself where "
            "that is expected to take no longer than score.curve_minutes."
        ),
        values={"gap": gap, "low": low, "trained": trained.value, "dev": held_out.value},
    )


def _plain(decode: DecodeConfig) -> DecodeConfig:
    return decode.model_copy(update={"abstain_below": 0.0, "verify": False, "promise": 0.0})
