"""Metrics on dev between two training steps: what the guards watch and the choice of the best step rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from terakoya.config import Config
from terakoya.decoding import evaluation_mode, set_calibration
from terakoya.decoding.adaptive_batching import in_batches
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.protocol import Model, Pair
from terakoya.records import Example, Prediction
from terakoya.scoring.baselines.standard import evenly_spaced
from terakoya.scoring.health import health
from terakoya.scoring.score_predictions import score_predictions
from terakoya.training.losses import plain
from terakoya.training.prepare import TrainingSetup, pair_of, rejected_rows

_MAX_ROWS_TRIED = 256  # dev rows whose loss is taken one by one


OnPredictions = Callable[[int, Sequence[Example], Sequence[Prediction]], None]


def dev_evaluator(
    setup: TrainingSetup, model: Model, max_tokens: int, on_predictions: OnPredictions | None = None
) -> Callable[[int], Mapping[str, float]]:
    """A function of the step number that gives the model's current metrics on dev.

    setup       task, split and resolved config; at most `train.dev_items` rows of dev's main subset are used
    model       evaluated with the weights that it holds when the function is called
    max_tokens  tokens that a prediction may have at most
    on_predictions  receives the step, the dev rows and their predictions of each evaluation; None: nobody does
    The function returns, by name: the task's metric on generated predictions, "loss" (`plain_loss`), "unreadable",
    "top_share" and "distinct_share" (shares of predictions), and for tasks with labels "gain" (nats per target by
    which the loss rises when every query is exchanged for another row's).
    """
    examples = _dev_examples(setup)
    pairs = dev_pairs(setup, model)
    queries = [query_of(example) for example in examples]
    metric = {setup.task.metric: setup.task.metrics[setup.task.metric]}

    def evaluate(step: int) -> Mapping[str, float]:
        if model.head == "set":
            calibrate_on_dev(model, pairs, setup.config)
        found = predict_queries(
            model, queries, setup.task, setup.config.decode, max_tokens=max_tokens, seed=setup.config.seed
        )
        if on_predictions is not None:
            on_predictions(step, examples, found)
        values = score_predictions("model", examples, found, setup.task.codec, metric).item_scores(setup.task.metric)
        seen = health([prediction.text for prediction in found])
        gain: dict[str, float] = {}
        loss: dict[str, float] = {}
        if pairs:
            loss["loss"] = plain_loss(model, pairs)
        if pairs and bool(getattr(setup.task.codec, "labels", ())):
            # A second pass over dev, so only where collapse is a known danger.
            gain["gain"] = plain_loss(model, rotate_queries(pairs)) - loss["loss"]
        return {
            **gain,
            setup.task.metric: sum(values) / len(values),
            **loss,
            "unreadable": seen.unreadable,
            # The same prediction for every input shows here long before it shows in the loss.
            "top_share": seen.top_share,
            "distinct_share": seen.distinct / len(found),
        }

    return evaluate


def _dev_examples(setup: TrainingSetup) -> list[Example]:
    return evenly_spaced([row for row in setup.split.dev if row.subset == ""], setup.config.train.dev_items)


def dev_pairs(setup: TrainingSetup, model: Model) -> list[Pair]:
    """The dev rows that have a loss.

    A dev target may hold what the model has never seen and cannot write; such a row is predicted, and wrong, and has no
    loss.

    setup  task, split and resolved config
    model  decides which rows it can take
    """
    pairs = [pair_of(setup.task, example) for example in _dev_examples(setup)]
    rejected = {id(row) for row, _ in rejected_rows(model, pairs)}
    return [row for row in pairs if id(row) not in rejected]


def plain_loss(model: Model, pairs: Sequence[Pair], rows_at_once: int = 64) -> float:
    """Mean cross-entropy in nats per target, comparable across training losses; 0.0 without rows.

    model         evaluated without dropout or gradients
    pairs         rows that the model can collate
    rows_at_once  rows of one forward pass; halved for as long as memory runs out
    Raises ConfigError where not even one row fits into memory.
    """
    device = next(model.module.parameters()).device
    ordered = sorted(pairs, key=model.length)

    def sums_of(indices: Sequence[int]) -> list[tuple[float, int]]:
        batch = model.collate([ordered[index] for index in indices]).to(device)
        whole = float(plain(model.outputs(batch))) * batch.targets, batch.targets
        return [whole, *[(0.0, 0)] * (len(indices) - 1)]  # the sums of a batch stand at its first row

    with evaluation_mode(model), prepacked_weights(model.module, len(pairs)):
        sums = [row for _, row in in_batches(range(len(ordered)), rows_at_once, sums_of)]
    return sum(loss for loss, _ in sums) / max(1, sum(targets for _, targets in sums))


def nonfinite_rows(model: Model, pairs: Sequence[Pair]) -> list[str]:
    """Names of the rows whose own loss is NaN or infinite, so that a dev loss that is not finite can be explained.

    model  with the weights that are to be examined
    pairs  rows that the model can collate; the first 256 are tried one by one
    """
    return [
        row.key or row.query.source for row in pairs[:_MAX_ROWS_TRIED] if not math.isfinite(plain_loss(model, [row]))
    ]


def rotate_queries(pairs: Sequence[Pair]) -> list[Pair]:
    """Every target with another row's query: a model that uses its input has a higher loss on these rows.

    pairs  rows; row i gets the query of row i - 1, the first one that of the last
    """
    return [Pair(pairs[number - 1].query, pair.target, pair.key) for number, pair in enumerate(pairs)]


def calibrate_on_dev(model: Model, dev: Sequence[Pair], config: Config) -> None:
    """Set the temperature and the label penalties of a set head, in place.

    model   a model with a set head
    dev     rows that the model was not trained on
    config  its `decode` section says for which objective
    """
    set_calibration.calibrate(model, [row.query for row in dev], [row.target.split() for row in dev], config.decode)
