"""Another model of the same kind, trained on other rows with the same settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from terakoya.config import Config
from terakoya.models.protocol import Model, Pair
from terakoya.training.batches import EpochBatches
from terakoya.training.loop import run_loop


def retrain(rebuild: Callable[[Sequence[Pair]], Model], rows: Sequence[Pair], config: Config, steps: float) -> Model:
    """A model trained on `rows`, without dev, in evaluation mode.

    rebuild  creates an untrained model for rows, as the model that it stands for was created
    rows     all of them are trained on
    config   resolved; its seed is used again
    steps    instead of `train.steps`, rounded: as many that every row is seen as often as in the first training
    """
    return fit(rebuild(rows), rows, config, steps)


def fit(model: Model, rows: Sequence[Pair], config: Config, steps: float) -> Model:
    """The model itself, trained in place on `rows`, without dev, in evaluation mode.

    model   untrained
    rows    all of them are trained on
    config  resolved; its seed orders the rows
    steps   instead of `train.steps`, rounded
    """
    count = max(1, round(steps))
    train = config.train.model_copy(update={"select": "last", "guards": False, "steps": count, "evaluate_every": count})
    batches = EpochBatches(rows, int(train.batch_size), config.seed, model.length if train.bucket else None)
    run_loop(model, batches, train, seed=config.seed, device=config.device)
    model.module.eval()
    return model
