"""What is settled after training a set head, on answers to texts that the answering model was not taught.

How sure to be and what a frequent label costs are told by texts that are not in training. A small dev side tells little
of a label's share among the answers: of 100 texts with 270 labels it is known to a seventh of itself. So the training
rows speak too: parted into folds, each fold is answered by a model taught the other ones (cross-fitting: Stone, 1974;
Chernozhukov et al., 2018, doi:10.1111/ectj.12097), with the same recipe and steps. The models are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from terakoya.config import Config
from terakoya.decoding import set_calibration
from terakoya.decoding.set_scores import widened
from terakoya.models.protocol import Model, Pair, Query, SetScores
from terakoya.training.batches import Fixed
from terakoya.training.loop import run_loop

FOLDS = 5
ENOUGH = 400  # texts of dev that tell a share well enough by themselves


def settle(model: Model, taught: Sequence[Pair], dev: Sequence[Pair], config: Config) -> None:
    """Settle `model` on dev, and on `taught` by out-of-fold answers where dev is small. `config` is resolved."""
    remake = getattr(model, "remake", None)
    model.scale, model.tolls = 1.0, ()  # type: ignore[attr-defined]
    if len(dev) >= ENOUGH or remake is None or len(taught) < FOLDS * FOLDS or not config.train.crossfit:
        jury: Any = model
        rows: Sequence[Pair] = dev
    else:
        jury, rows = _Jury(model), [*dev, *_once(taught, dev)]
        for fold in range(FOLDS):
            jury.add(_taught(remake, rows[len(dev) :], fold, config), rows[len(dev) + fold :: FOLDS])
    set_calibration.settle(jury, [row.ask for row in rows], [row.written.split() for row in rows], config.decode)
    model.scale, model.tolls = jury.scale, jury.tolls  # type: ignore[attr-defined]


def _once(taught: Sequence[Pair], dev: Sequence[Pair]) -> list[Pair]:
    """Every text once: the same text in two folds would be answered by a model that was taught it."""
    known = {row.ask for row in dev}
    return list({row.ask: row for row in taught if row.ask not in known}.values())


def _taught(remake: Any, rows: Sequence[Pair], fold: int, config: Config) -> Model:
    """A model taught all rows but those of one fold, as the model was that it stands for."""
    kept = [row for place, row in enumerate(rows) if place % FOLDS != fold]
    made: Model = remake(kept)
    steps = max(1, round(int(config.train.steps) * (FOLDS - 1) / FOLDS))  # as often through its rows
    how = config.train.model_copy(update={"select": "last", "guards": False, "steps": steps, "evaluate_every": steps})
    batches = Fixed(kept, int(how.batch_size), config.seed, made.length if how.bucket else None)
    run_loop(made, batches, how, seed=config.seed, device=config.device)
    made.module.eval()
    return made


@dataclass
class _Jury:
    """Models that answer as one: each the texts that it was not taught, the one in the chair all others."""

    chair: Any
    scale: float = 1.0
    tolls: tuple[Any, ...] = ()
    members: list[Any] = field(default_factory=list)
    seats: dict[Query, int] = field(default_factory=dict)

    def add(self, member: Model, rows: Sequence[Pair]) -> None:
        self.seats |= {row.ask: len(self.members) for row in rows}
        self.members.append(member)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chair, name)

    @property
    def blend(self) -> float:
        return float(self.chair.blend)

    @blend.setter
    def blend(self, share: float) -> None:
        for one in (self.chair, *self.members):
            one.blend = share

    def set_scores(self, asks: Sequence[Query]) -> SetScores:
        seats = [self.seats.get(ask, -1) for ask in asks]
        labels: Any = [None] * len(asks)
        sizes: Any = [None] * len(asks)
        for seat in set(seats):
            places = [place for place, one in enumerate(seats) if one == seat]
            scores = (self.members[seat] if seat >= 0 else self.chair).set_scores([asks[place] for place in places])
            for number, place in enumerate(places):
                labels[place], sizes[place] = scores.labels[number], scores.sizes[number]
        most = max(len(one) for one in sizes)
        return SetScores(
            self.scale * torch.stack(labels), torch.stack([widened(one, most) for one in sizes]), self.tolls
        )
