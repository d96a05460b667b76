"""Do you need a model? Everything that could predict a task, from what costs nothing upwards, on one exam.

    contenders = baseline_contenders(task, split, config)       # and trained models, a pretrained base, a teacher
    found = climb(contenders, task, split, …)                   # chosen on dev, the exam opened once for all

The best on dev is the reference; the cheapest that is less than `smallest_gain` below it on dev is chosen, and
the exam says with an interval whether it is worse (a non-inferiority margin: Schuirmann 1987).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from terakoya.codec.text import normalise_source
from terakoya.config import Config
from terakoya.data.split import group_of
from terakoya.errors import DataError, TerakoyaError
from terakoya.evaluation.exam import BASELINE_ROWS
from terakoya.i18n import _
from terakoya.records import Example, Prediction, Split
from terakoya.runs.display import Displayed
from terakoya.scoring.baselines.standard import (
    Baseline,
    baseline_title,
    evenly_spaced,
    installed_baselines,
    make_baselines,
)
from terakoya.scoring.score_predictions import MAIN, score_predictions
from terakoya.scoring.statistics.intervals import mean_interval
from terakoya.scoring.statistics.paired import paired
from terakoya.task import Task

DEV_ITEMS = 500
_PROBED = 8  # items by which a contender's pace is told
_SHORT = 0.1  # minutes that are always left: tables and rules are the point of a ladder
LOOKUP = "lookup"
RungState = Literal["not worse", "worse", "cannot be told", "left out"]
PredictExamples = Callable[[Sequence[Example]], Sequence[Prediction]]


@dataclass(frozen=True)
class Contender:
    """Something that predicts.

    name     in tables, a message where it is one of ours
    predict  one prediction for each item
    weights  of its model; 0: it has none
    minutes  that its training took
    paid     what it has cost so far, in the currency of [teacher]; None: only the time of this machine
    """

    name: str
    predict: PredictExamples
    weights: int = 0
    minutes: float = 0.0
    paid: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One contender, measured.

    name             in tables
    dev              mean score on dev; None: it was left out
    exam, low, high  mean score on the exam with its 95% interval
    milliseconds     a prediction, batched as it predicts dev
    price            of 1,000 predictions
    weights          of its model
    minutes          that its training took
    difference, difference_low, difference_high  to the best on dev, on the exam (paired)
    state            against the best on dev, on the exam
    note             why it was left out
    """

    name: str
    dev: float | None = None
    exam: float | None = None
    low: float = 0.0
    high: float = 0.0
    milliseconds: float = 0.0
    price: float = 0.0
    weights: int = 0
    minutes: float = 0.0
    difference: float = 0.0
    difference_low: float = 0.0
    difference_high: float = 0.0
    state: RungState = "left out"
    note: str = ""


@dataclass(frozen=True)
class Ladder(Displayed):
    """All rungs, the cheapest first.

    metric          that decides
    rungs           measured, then those that were left out
    best            the name of the best on dev
    chosen          the cheapest that is not worse than it on dev
    items           of the exam
    dev_items       of dev
    openings        how often the exam was opened, this time included
    smallest_gain   margin below which a difference does not matter
    price_per_hour  of this machine, by which predictions that cost only time are priced
    minutes         that were taken, of the `budget`
    budget          in minutes
    """

    metric: str
    rungs: tuple[Rung, ...]
    best: str
    chosen: str
    items: int
    dev_items: int
    openings: int
    smallest_gain: float
    price_per_hour: float
    minutes: float
    budget: float

    def table_rows(self) -> list[dict[str, Any]]:
        """One dictionary for each rung."""
        return [{name: getattr(rung, name) for name in Rung.__dataclass_fields__} for rung in self.rungs]


def baseline_contenders(task: Task, split: Split, config: Config) -> list[Contender]:
    """The standard baselines, those of the task and of installed packages, and a lookup of training sources.

    task    brings codec, metrics, rule and baselines
    split   train, from which they are made, and dev, on which some of them choose
    config  names baselines of installed packages
    """
    made: Mapping[str, Baseline] = {}
    if split.train:
        made = make_baselines(
            split.train[:BASELINE_ROWS],
            split.dev,
            metric=task.metrics[task.metric],
            canonical=task.codec.canonical,
            labels=task.codec.name.startswith("labels"),
            rule=task.rule,
            names=task.label_names,
            more={**task.baselines, **installed_baselines(config.score.baselines), LOOKUP: lookup},
        )
    elif task.rule is not None:
        made = {"rule": Baseline("rule", lambda sources: [task.rule(source) for source in sources])}  # type: ignore[misc]
    return [Contender(_title(name), _by_source(baseline)) for name, baseline in made.items()]


def _title(name: str) -> str:
    return _("lookup of training sources") if name == LOOKUP else baseline_title(name)


def lookup(train: Sequence[Example]) -> Callable[[str], str | None]:
    """The most frequent target of the same source in training; the most frequent of all where it never stood there.

    train  training examples
    """
    targets: dict[str, Counter[str]] = {}
    for example in train:
        targets.setdefault(normalise_source(example.source), Counter())[example.target] += 1
    every = sum(targets.values(), Counter())
    usual = min(every, key=lambda target: (-every[target], target), default=None)
    known = {source: min(counts, key=lambda one: (-counts[one], one)) for source, counts in targets.items()}
    return lambda source: known.get(normalise_source(source), usual)


def _by_source(baseline: Baseline) -> PredictExamples:
    def predict(items: Sequence[Example]) -> list[Prediction]:
        texts = baseline.predict([item.source for item in items])
        return [Prediction(item.source, text or "", text) for item, text in zip(items, texts, strict=True)]

    return predict


@dataclass
class _Measured:
    contender: Contender
    dev: float
    milliseconds: float
    price: float
    scores: list[float] = field(default_factory=list)


def climb(
    contenders: Sequence[Contender],
    task: Task,
    split: Split,
    config: Config,
    *,
    open_exam: Callable[[], int],
    price_per_hour: float,
    left_out: Sequence[Rung] = (),
    clock: Callable[[], float] = perf_counter,
    started: float = 0.0,
    budget: float = 0.0,
) -> Ladder:
    """Measure all on dev, choose there, and open the exam once for all.

    contenders      that predict
    task            its codec and first metric
    split           dev and exam
    config          smallest gain, seed and resamples
    open_exam       records the opening; returns how often it was opened, this time included
    price_per_hour  of this machine
    left_out        rungs that were not measured, and why
    clock           seconds
    started         time of the clock at which the budget began
    budget          in minutes; whoever would take longer than what is left of it is left out. 0: there is none
    """
    dev = evenly_spaced([item for item in split.dev if item.subset == MAIN] or split.dev, DEV_ITEMS)
    exam = [item for item in split.exam if item.subset == MAIN and not task.is_memorised(item)] or list(split.exam)
    time = _Time(clock, started + 60 * budget if budget else math.inf, len(exam))
    measured, failed = _on_dev(contenders, task, dev, price_per_hour, time)
    openings = open_exam()
    ordered = sorted(_on_exam(measured, task, exam, failed), key=lambda one: (one.price, one.contender.weights))
    best = max(ordered, key=lambda one: one.dev)  # of equals the cheapest
    margin = config.score.smallest_gain
    chosen = next(one for one in ordered if one.dev >= best.dev - margin)
    groups = [group_of(item) for item in exam]
    rungs = [_rung(one, best, groups, config, margin) for one in ordered]
    return Ladder(
        metric=task.metric,
        rungs=(*rungs, *failed, *left_out),
        best=best.contender.name,
        chosen=chosen.contender.name,
        items=len(exam),
        dev_items=len(dev),
        openings=openings,
        smallest_gain=margin,
        price_per_hour=price_per_hour,
        minutes=(clock() - started) / 60,
        budget=budget,
    )


@dataclass(frozen=True)
class _Time:
    """What is left for predictions: `clock` in seconds until `end`, less the exam that others have still to take.

    clock     seconds
    end       of the budget; infinity where there is none
    items     of the exam
    reserved  seconds that the exam will take of each contender that was let in
    """

    clock: Callable[[], float]
    end: float
    items: int
    reserved: list[float] = field(default_factory=list)

    def require(self, one: Contender, dev: Sequence[Example]) -> None:
        """Refuse who would not be done in time, by the pace of a few predictions; one that is paid has its own limits.

        Raises DataError.
        """
        if self.end == math.inf or one.paid:
            return
        before = self.clock()
        one.predict(dev[:_PROBED])
        pace = (self.clock() - before) / len(dev[:_PROBED])
        needed = pace * (len(dev) + self.items) / 60
        left = max(0.0, (self.end - self.clock() - sum(self.reserved)) / 60)
        if needed > max(left, _SHORT):
            raise DataError(
                _("its predictions would take {needed:.1f} minutes, and {left:.1f} are left", needed=needed, left=left),
                do=_("Raise --minutes."),
            )
        self.reserved.append(pace * self.items)


def _on_dev(
    contenders: Sequence[Contender], task: Task, dev: Sequence[Example], price: float, time: _Time
) -> tuple[list[_Measured], list[Rung]]:
    measured, failed = [], []
    for one in contenders:
        paid = one.paid() if one.paid else 0.0
        try:
            time.require(one, dev)
            before = time.clock()
            scores = _scores(one, task, dev)
        except TerakoyaError as error:
            failed.append(Rung(one.name, weights=one.weights, minutes=one.minutes, note=error.what))
            continue
        seconds = (time.clock() - before) / len(dev)
        cost = (one.paid() - paid) / len(dev) if one.paid else seconds * price / 3600
        measured.append(_Measured(one, sum(scores) / len(scores), 1000 * seconds, 1000 * cost))
    return measured, failed


def _on_exam(measured: Sequence[_Measured], task: Task, exam: Sequence[Example], failed: list[Rung]) -> list[_Measured]:
    """Those that predicted every item of the exam; whoever did not (a budget was spent) is among the `failed`."""
    done = []
    for one in measured:
        try:
            one.scores = _scores(one.contender, task, exam)
        except TerakoyaError as error:
            failed.append(Rung(one.contender.name, weights=one.contender.weights, note=error.what))
            continue
        done.append(one)
    return done


def _scores(one: Contender, task: Task, items: Sequence[Example]) -> list[float]:
    metrics = {task.metric: task.metrics[task.metric]}
    return score_predictions(one.name, items, one.predict(items), task.codec, metrics).item_scores(task.metric)


def _rung(one: _Measured, best: _Measured, groups: Sequence[str], config: Config, margin: float) -> Rung:
    interval = mean_interval(one.scores, groups=groups, seed=config.seed, resamples=config.score.resamples)
    effect = paired(one.scores, best.scores, seed=config.seed, resamples=config.score.resamples, groups=groups)
    state: RungState = "cannot be told"
    if one is best or effect.low > -margin:
        state = "not worse"
    elif effect.high < 0:
        state = "worse"
    return Rung(
        one.contender.name, one.dev, interval.value, interval.low, interval.high, one.milliseconds, one.price,
        one.contender.weights, one.contender.minutes, effect.value, effect.low, effect.high, state,
    )  # fmt: skip


def ladder_messages(ladder: Ladder) -> Iterator[str]:
    """What the ladder says, as messages.

    ladder  of a task
    """
    chosen = next(rung for rung in ladder.rungs if rung.name == ladder.chosen)
    values = {"name": chosen.name, "best": ladder.best, "margin": ladder.smallest_gain}
    difference = {"value": chosen.difference, "low": chosen.difference_low, "high": chosen.difference_high}
    if ladder.chosen == ladder.best:
        yield _(
            "Use {name}: it is the best on dev, and whatever costs less is more than {margin:g} below it there.",
            **values,
        )
    elif chosen.state == "not worse":
        yield _(
            "Use {name}: it costs less than {best}, the best on dev, and on the exam it is not worse by more than "
            "{margin:g} ({value:+.3f} [{low:+.3f}, {high:+.3f}], n = {items}).",
            **values,
            **difference,
            items=ladder.items,
        )
    elif chosen.state == "worse":
        yield _(
            "{name} was not worse than {best} on dev, but it is on the exam ({value:+.3f} [{low:+.3f}, {high:+.3f}], "
            "n = {items}): use {best}.",
            **values,
            **difference,
            items=ladder.items,
        )
    else:
        yield _(
            "Use {name}: on dev it is not worse than {best} by more than {margin:g}; the exam of {items} items cannot "
            "confirm it ({value:+.3f} [{low:+.3f}, {high:+.3f}]).",
            **values,
            **difference,
            items=ladder.items,
        )
    yield _(
        "The exam was opened once for all of them (opening {count} of this exam). Predictions that cost only time are "
        "priced at {price:g} an hour.",
        count=ladder.openings,
        price=ladder.price_per_hour,
    )
    yield _("{minutes:.1f} of {budget:g} minutes were taken.", minutes=ladder.minutes, budget=ladder.budget)
