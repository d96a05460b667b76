"""A learning curve: the same training with a quarter, a half and all of the rows, each judged on dev.

    curve = learning_curve(task, split, config, make)   # a LearningCurve; the exam stays closed
    curve.doubled                                       # what twice the rows would bring, and how certain that is

Each training is kept in the run folder as soon as it ended, so that an interrupted curve goes on (`curve_parts`). Every
size takes as many optimizer steps as all rows do and keeps its last weights, and a set head is not calibrated:
dev, which would choose both, is what judges. The model of the half also judges the rows that it was not trained on:
which of them look wrong costs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from time import monotonic
from typing import Any

import numpy as np

from terakoya.codec.labels import LabelsCodec
from terakoya.config import Config
from terakoya.data.split import group_of
from terakoya.decoding.predict import predict_queries, query_of
from terakoya.errors import ConfigError
from terakoya.evaluation.curve_parts import KeptParts, SuspectRow, TrainedPart, TrainedRow, key_of
from terakoya.evaluation.out_of_fold import Make
from terakoya.evaluation.wrong_rows import suspected_labels, suspected_targets
from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.records import Example, Prediction, Split
from terakoya.runs import Run
from terakoya.runs.display import Displayed
from terakoya.scoring.baselines.standard import evenly_spaced
from terakoya.scoring.score_predictions import MAIN, score_predictions
from terakoya.scoring.statistics.intervals import mean_interval
from terakoya.scoring.statistics.power_law import Expectation, extrapolate
from terakoya.task import Task
from terakoya.training.prepare import pair_of, prepare_training
from terakoya.training.retrain import fit
from terakoya.training.train_dev_gap import LEAST_DEV, LEAST_ROWS

PARTS = (0.25, 0.5, 1.0)
_DEV_ITEMS = 1_000
_TRAIN_ITEMS = 200  # of the rows a model was trained on, for the gap
_JUDGED = 2_000  # training rows that are searched for wrong ones
_NAMED = 20  # rows that are listed
_LEARNED = 0.8  # mean score on rows that were trained on, from which on a row that is wrong there stands out


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One size of the training set.

    rows              that were trained on
    value, low, high  mean score on dev, with its 95% interval
    trained           mean score on rows that were trained on
    seconds           of all trainings of this size
    """

    rows: int
    value: float
    low: float
    high: float
    trained: float
    seconds: float


@dataclass(frozen=True)
class LearningCurve(Displayed):
    """What the curve says.

    metric     that decides
    items      of dev
    seeds      trainings of each size
    points     one for each size, the smallest first
    doubled    the mean score expected with twice the rows
    suspects   training rows that look wrong to a model that was not trained on them
    unlearned  rows of the table that no seed gets right although they were trained on
    """

    metric: str
    items: int
    seeds: int
    points: tuple[CurvePoint, ...]
    doubled: Expectation
    suspects: tuple[SuspectRow, ...]
    unlearned: tuple[SuspectRow, ...]

    @property
    def gap(self) -> float:
        """How much better the model is on rows that it was trained on than on dev."""
        return self.points[-1].trained - self.points[-1].value

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each size."""
        return [
            {name: getattr(point, name) for name in ("rows", "value", "low", "high", "trained", "seconds")}
            for point in self.points
        ]


def learning_curve(
    task: Task,
    split: Split,
    config: Config,
    make: Make,
    *,
    parts: Sequence[float] = PARTS,
    seeds: int = 1,
    on_training: Callable[[int, int], None] = lambda rows, seed: None,
    run: Run | None = None,
) -> LearningCurve:
    """Train with parts of the rows and with all of them, and extrapolate.

    task         what is learned; its rows come from the split
    split        train and dev; groups of train stay together
    config       of the training; every size takes as many optimizer steps as all rows do
    make         creates a model, as `registry.find_model_maker` returns it
    parts        shares of the training rows, the last one all of them
    seeds        trainings of each size
    on_training  called with rows and seed before each training
    run          open for writing: keeps each training that ended, until `curve.json` is written; None keeps none
    Raises ConfigError where there are too few rows, no dev split, or rows that a rule draws.
    """
    _require_rows(task, split)
    task = replace(task, draw=None, split=None)
    dev = evenly_spaced([item for item in split.dev if item.subset == MAIN] or split.dev, _DEV_ITEMS)
    kept = KeptParts(run, key_of(config, split, tuple(parts)))
    bench = _Bench(task, split, config, make, dev, on_training, kept)
    trained: dict[float, list[TrainedPart]] = {share: [] for share in parts}
    # All rows come first: their number of steps holds for every size, so that sizes differ in rows alone.
    for share in sorted(parts, reverse=True):
        for seed in range(seeds):
            trained[share].append(bench.part(share, config.seed + seed))
    ordered = sorted(parts)
    scores = np.array([[one.scores for one in trained[share]] for share in ordered])
    groups = [group_of(item) for item in dev]
    rows = [trained[share][0].rows for share in ordered]
    doubled = extrapolate(rows, scores, 2 * rows[-1], groups=groups, seed=config.seed)
    points = tuple(_point(trained[share], groups, config.seed) for share in ordered)
    return LearningCurve(
        task.metric, len(dev), seeds, points, doubled, trained[ordered[-2]][0].suspects,
        _unlearned([one.trained for one in trained[ordered[-1]]]),
    )  # fmt: skip


@dataclass
class _Bench:
    task: Task
    split: Split
    config: Config
    make: Make
    dev: Sequence[Example]
    on_training: Callable[[int, int], None]
    kept: KeptParts
    steps: int = 0

    def part(self, share: float, seed: int) -> TrainedPart:
        """One training, or what was kept of it."""
        part = self.kept.get(share, seed)
        if part is None:
            part = self._trained(part_of(self.split.train, share, self.config.seed), seed)
            self.kept.add(share, seed, part)
        self.steps = self.steps or part.steps
        return part

    def _trained(self, rows: Sequence[Example], seed: int) -> TrainedPart:
        self.on_training(len(rows), seed)
        started = monotonic()
        train = {"select": "last", "patience": 0} | ({"steps": self.steps} if self.steps else {})
        config = self.config.model_copy(update={"seed": seed, "train": self.config.train.model_copy(update=train)})
        setup, model, max_tokens = prepare_training(self.task, Split(tuple(rows), (), ()), config, self.make)
        steps = self.steps or int(setup.config.train.steps)
        fit(model, [pair_of(self.task, row) for row in rows], setup.config, float(steps))
        seconds = monotonic() - started

        def scored(rows: Sequence[Example]) -> tuple[list[Prediction], list[float]]:
            predictions = self._predict(model, rows, max_tokens, seed)
            metrics = {self.task.metric: self.task.metrics[self.task.metric]}
            made = score_predictions("model", rows, predictions, self.task.codec, metrics)
            return predictions, made.item_scores(self.task.metric)

        seen = evenly_spaced(rows, _TRAIN_ITEMS)
        trained = tuple(
            TrainedRow(row.source, self.task.codec.canonical(row.target), prediction.text or "", row.row, value)
            for row, prediction, value in zip(seen, *scored(seen), strict=True)
        )
        inside = {row.fingerprint for row in rows}
        unseen = evenly_spaced([row for row in self.split.train if row.fingerprint not in inside], _JUDGED)
        predictions = self._predict(model, unseen, max_tokens, seed)
        judged = [
            (row, self.task.codec.canonical(row.target), found) for row, found in zip(unseen, predictions, strict=True)
        ]
        dev = tuple(scored(self.dev)[1])
        return TrainedPart(len(rows), steps, dev, trained, _suspects(judged, self.task), seconds)

    def _predict(self, model: Model, rows: Sequence[Example], max_tokens: int, seed: int) -> list[Prediction]:
        decode = self.config.decode.model_copy(update={"abstain_below": 0.0, "verify": False, "promise": 0.0})
        return predict_queries(
            model, [query_of(row) for row in rows], self.task, decode, max_tokens=max_tokens, seed=seed
        )


def part_of(rows: Sequence[Example], share: float, seed: int) -> tuple[Example, ...]:
    """A share of the rows, whole groups; a smaller share is contained in every larger one.

    rows   to choose from; their order does not matter
    share  0 to 1
    seed   of the order of groups
    """
    groups: dict[str, list[Example]] = {}
    for row in sorted(rows, key=lambda row: row.fingerprint):
        groups.setdefault(group_of(row), []).append(row)
    names = sorted(groups)
    Random(seed).shuffle(names)
    kept: list[Example] = []
    for name in names:
        if len(kept) >= share * len(rows):
            break
        kept += groups[name]
    chosen = {row.fingerprint for row in kept}
    return tuple(row for row in rows if row.fingerprint in chosen)


def _require_rows(task: Task, split: Split) -> None:
    if task.draw is not None and not split.train:
        raise ConfigError(
            _("the training rows of this task are drawn by rule, as many as are wanted: there is no curve over rows"),
            where="curve",
            do=_("Name an experiment whose rows come from a table."),
        )
    if len(split.train) < LEAST_ROWS or len(split.dev) < LEAST_DEV:
        raise ConfigError(
            _(
                "a learning curve needs {rows} training rows and {dev} dev rows; there are {have} and {have_dev}",
                rows=LEAST_ROWS,
                dev=LEAST_DEV,
                have=len(split.train),
                have_dev=len(split.dev),
            ),
            where="split",
            do=_("Bring more rows, or hold out more of them: --set split.dev=0.2"),
        )


def _point(parts: Sequence[TrainedPart], groups: Sequence[str], seed: int) -> CurvePoint:
    means = np.mean([one.scores for one in parts], axis=0)
    interval = mean_interval(means, groups=groups, seed=seed)
    trained = float(np.mean([row.score for one in parts for row in one.trained]))
    seconds = sum(one.seconds for one in parts)
    return CurvePoint(parts[0].rows, interval.value, interval.low, interval.high, trained, seconds)


def _suspects(judged: Sequence[tuple[Example, str, Prediction]], task: Task) -> tuple[SuspectRow, ...]:
    """Rows that look wrong to a model that was not trained on them; none where it agrees with fewer than half."""
    equal = sum(prediction.text == form for _row, form, prediction in judged)
    if 2 * equal < len(judged):
        return ()
    found = suspected_labels(judged) if isinstance(task.codec, LabelsCodec) else suspected_targets(judged)
    return tuple(
        SuspectRow(one.example.source, one.example.target, one.instead, one.example.row) for one in found[:_NAMED]
    )


def _unlearned(seeds: Sequence[Sequence[TrainedRow]]) -> tuple[SuspectRow, ...]:
    """Rows that every model got wrong which was trained on them."""
    if np.mean([row.score for rows in seeds for row in rows]) < _LEARNED:
        return ()
    found = [
        SuspectRow(rows[0].source, rows[0].target, rows[0].prediction, rows[0].row)
        for rows in zip(*seeds, strict=True)
        if all(row.score == 0 for row in rows)
    ]
    return tuple(found[:_NAMED])
