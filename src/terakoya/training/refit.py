"""Trained once more, on dev too: when everything is chosen, dev need not be held out any longer.

Steps, temperature, label penalties and mixing weights are chosen on rows that were not trained on. With 800 training
rows, 100 more are worth as much as a better model, so the same recipe then goes through train and dev together, as
often through every row as before, and what was chosen is kept (`refit` of a search in scikit-learn: Pedregosa et al.,
2011). Dev metrics are those of the model before; only the exam can judge this one. The baselines beside it get the
same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from terakoya.config import Config
from terakoya.i18n import _
from terakoya.models.protocol import Model, Pair
from terakoya.records import Finding
from terakoya.training.prepare import rejected_rows
from terakoya.training.retrain import retrain

CHECK = "refit"  # name of the finding


def is_enabled(model: Model, dev: Sequence[Pair], config: Config) -> bool:
    """Whether a refit is wanted and possible: a built-in set head, and a dev split.

    model   can be rebuilt for other rows, or not
    dev     its rows, perhaps none
    config  resolved
    """
    return config.train.refit is True and bool(dev) and getattr(model, "rebuild", None) is not None


def trainable_rows(model: Model, dev: Sequence[Pair]) -> list[Pair]:
    """The dev rows that can be trained on: a label that only dev has is none that the model can score.

    model  decides which rows it can take
    dev    the rows of dev
    """
    rejected = {id(row) for row, _ in rejected_rows(model, dev)}
    return [row for row in dev if id(row) not in rejected]


def refit_model(model: Model, train: Sequence[Pair], dev: Sequence[Pair], config: Config) -> Model:
    """Another model like this one, trained on both splits. Dev metrics of it would be those of its training rows.

    model   trained and calibrated; its mixing weight, temperature and label penalties are kept
    train   its training rows
    dev     rows of dev
    config  resolved
    """
    calibrated: Any = model
    rows = [*train, *trainable_rows(model, dev)]
    steps = int(config.train.steps) * len(rows) / len(train)
    refitted: Any = retrain(calibrated.rebuild, rows, config, steps)
    refitted.mixing_weight = calibrated.mixing_weight
    refitted.inverse_temperature, refitted.penalties = calibrated.inverse_temperature, calibrated.penalties
    found: Model = refitted
    return found


def refit_finding(train: int, dev: int) -> Finding:
    """What the record says of a refit.

    train  number of training rows
    dev    number of dev rows added
    """
    rows = train + dev
    return Finding(
        CHECK,
        "note",
        _(
            "everything was chosen on dev; then the model was trained again on {rows} rows, {dev} of dev among them. "
            "Dev metrics are those of the model before",
            rows=rows,
            dev=dev,
        ),
        do=_("To keep dev out of the training: train.refit = false."),
        values={"train": float(train), "dev": float(dev)},
    )
