"""Calibration of a set head on predictions for texts that the predicting model was not trained on.

Its temperature and the penalties of frequent labels can only be estimated on texts that are not in training. A small
dev split says little of a label's share among the predictions: with 100 texts and 270 labels it is known to a seventh
of itself. So the training rows are used too: split into folds, each fold is predicted by a model trained on the other
ones (cross-fitting: Stone, 1974; Chernozhukov et al., 2018, doi:10.1111/ectj.12097), with the same recipe and as many
epochs. These models are thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from terakoya.config import Config
from terakoya.decoding import set_calibration
from terakoya.decoding.set_scores import pad_size_logits
from terakoya.models.protocol import Model, Pair, Query, SetScores
from terakoya.training.retrain import retrain

FOLDS = 5
ENOUGH_DEV_ROWS = 400  # dev rows that determine a label's share well enough by themselves


def calibrate(
    model: Model,
    train: Sequence[Pair],
    dev: Sequence[Pair],
    config: Config,
    augmented_from: Mapping[Query, Query] = MappingProxyType({}),
) -> None:
    """Set temperature, mixing weight and label penalties of a set head, in place.

    model   trained on `train`; pretrained ones, which cannot be rebuilt, are calibrated on dev alone
    train   its training rows, used by out-of-fold predictions where dev has fewer than 400 rows and `train.crossfit`
    dev     rows that it was not trained on
    config  resolved
    augmented_from  row made by rule → the row that it was made from, both by their queries: it goes into the same
                    folds, and nothing is estimated on it
    """
    rebuild = getattr(model, "rebuild", None)
    model.inverse_temperature, model.penalties = 1.0, ()  # type: ignore[attr-defined]
    if len(dev) >= ENOUGH_DEV_ROWS or rebuild is None or len(train) < FOLDS * FOLDS or not config.train.crossfit:
        predictor: Any = model
        rows: Sequence[Pair] = dev
    else:
        unique = _unique_rows([row for row in train if row.query not in augmented_from], dev)
        predictor, rows = _CrossFitModel(model), [*dev, *unique]
        steps = int(config.train.steps) * (FOLDS - 1) / FOLDS
        for fold in range(FOLDS):
            kept = [row for index, row in enumerate(unique) if index % FOLDS != fold]
            sources = {row.query for row in kept}
            kept += [row for row in train if augmented_from.get(row.query) in sources]
            predictor.add(retrain(rebuild, kept, config, steps), unique[fold::FOLDS])
    targets = [row.target.split() for row in rows]
    set_calibration.calibrate(predictor, [row.query for row in rows], targets, config.decode, fit_base=True)
    model.inverse_temperature, model.penalties = predictor.inverse_temperature, predictor.penalties  # type: ignore[attr-defined]


def _unique_rows(train: Sequence[Pair], dev: Sequence[Pair]) -> list[Pair]:
    """Every text once: in two folds it would be predicted by a model that was trained on it."""
    known = {row.query for row in dev}
    return list({row.query: row for row in train if row.query not in known}.values())


@dataclass
class _CrossFitModel:
    """Several models as one: each text is predicted by a model that was not trained on it.

    base     predicts the texts of no fold
    members  one model for each fold
    folds    the fold of a query
    """

    base: Any
    inverse_temperature: float = 1.0
    penalties: tuple[Any, ...] = ()
    members: list[Any] = field(default_factory=list)
    folds: dict[Query, int] = field(default_factory=dict)

    def add(self, member: Model, rows: Sequence[Pair]) -> None:
        self.folds |= {row.query: len(self.members) for row in rows}
        self.members.append(member)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    @property
    def mixing_weight(self) -> float:
        return float(self.base.mixing_weight)

    @mixing_weight.setter
    def mixing_weight(self, weight: float) -> None:
        for one in (self.base, *self.members):
            one.mixing_weight = weight

    def set_scores(self, queries: Sequence[Query]) -> SetScores:
        folds = [self.folds.get(query, -1) for query in queries]
        labels: Any = [None] * len(queries)
        sizes: Any = [None] * len(queries)
        for fold in set(folds):
            indices = [index for index, one in enumerate(folds) if one == fold]
            model = self.members[fold] if fold >= 0 else self.base
            scores = model.set_scores([queries[index] for index in indices])
            for row, index in enumerate(indices):
                labels[index], sizes[index] = scores.labels[row], scores.sizes[row]
        largest = max(len(one) for one in sizes)
        return SetScores(
            self.inverse_temperature * torch.stack(labels),
            torch.stack([pad_size_logits(one, largest) for one in sizes]),
            self.penalties,
        )
