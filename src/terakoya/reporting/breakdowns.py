"""Scores of a run broken down by tag, by error and by confidence, each with its n and interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from terakoya.records import subset_of
from terakoya.reporting.record import RunRecord
from terakoya.scoring.statistics.calibration import Calibration, calibration
from terakoya.scoring.statistics.intervals import mean_interval

PredictionLine = Mapping[str, Any]


@dataclass(frozen=True)
class TagScore:
    """The mean score of the items with one value of a tag (95% interval), and how many of them are fully right."""

    name: str
    n: int
    right: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelShare:
    """How often a target (or label) occurs in the data and among the model's predictions, as shares."""

    name: str
    data: float
    model: float


@dataclass(frozen=True)
class TargetCounts:
    """Counts of the most frequent targets (or labels), of all targets, and of distinct ones."""

    frequent: Mapping[str, int]
    total: int
    distinct: int


def is_right(item: PredictionLine) -> bool:
    """Whether a prediction is fully right.

    item  a line of predictions.jsonl
    """
    return float(item.get("verdict") or 0) >= 1


def outcome(item: PredictionLine) -> str:
    """ "right", "partly", "unreadable", "withheld" or "wrong".

    item  a line of predictions.jsonl
    """
    if is_right(item):
        return "right"
    if item.get("withheld"):
        return "withheld"
    if item.get("prediction") is None:
        return "unreadable"
    return "partly" if float(item.get("verdict") or 0) > 0 else "wrong"


def by_kind(record: RunRecord) -> dict[str, list[TagScore]]:
    """For every tag of the exam's main subset: the score of each value that it takes, in order of value.

    record  the run
    """
    groups: dict[str, dict[str, list[float]]] = {}
    for item in _main_subset(record):
        for tag, value in dict(item.get("tags") or {}).items():
            groups.setdefault(str(tag), {}).setdefault(str(value), []).append(float(item.get("verdict") or 0))
    return {
        tag: [_kind(value, scores) for value, scores in sorted(values.items(), key=lambda pair: _order(pair[0]))]
        for tag, values in groups.items()
        if len(values) > 1
    }


def by_error(record: RunRecord) -> list[tuple[str, int]]:
    """Kinds of error with their counts, most frequent first; all subsets of the exam.

    record  the run
    """
    wrong = [item for item in record.predictions if not is_right(item)]
    return Counter(str(item.get("error") or outcome(item)) for item in wrong).most_common()


def reliability(record: RunRecord) -> Calibration | None:
    """Calibration of the model's probabilities; None where fewer than ten predictions have one.

    record  the run
    """
    items = [item for item in _main_subset(record) if item.get("probability") is not None]
    if len(items) < 10:
        return None
    return calibration([float(item["probability"]) for item in items], [is_right(item) for item in items])


def label_shares(record: RunRecord, most: int = 15) -> list[LabelShare]:
    """The most frequent targets (or labels) of the data beside the model's; [] where hardly any occurs twice.

    record  the run
    most    how many of the data's are listed (15); the model's own most frequent are added
    """
    counts = target_counts(record)
    data, total = counts.frequent, counts.total
    predicted = Counter(label for item in record.predictions for label in _labels(item.get("prediction"), record))
    if not total or not predicted:
        return []
    frequent = [name for name, count in data.items() if count > 1][:most]
    if sum(data[name] for name in frequent) < total / 10:
        return []
    own = (name for name, count in predicted.most_common(5) if count > predicted.total() / 20)
    names = dict.fromkeys([*frequent, *own])
    return [LabelShare(name, data.get(name, 0) / total, predicted[name] / predicted.total()) for name in names]


def target_counts(record: RunRecord) -> TargetCounts:
    """How often the targets (or labels) of the data occur.

    record  the run; folders of format 2 and older have the counts under "answers"
    """
    listed, total, distinct = (
        record.dataset.get(f"targets{suffix}") or record.dataset.get(f"answers{suffix}")
        for suffix in ("", "_total", "_distinct")
    )
    return TargetCounts({str(name): int(count) for name, count in listed or []}, int(total or 0), int(distinct or 0))


def examples(record: RunRecord, most: int = 8) -> tuple[list[PredictionLine], list[PredictionLine]]:
    """Right predictions, evenly spaced over the exam, and wrong ones, the most confident first: most informative.

    record  the run
    most    how many of each (8)
    """
    right = [item for item in _main_subset(record) if is_right(item)]
    wrong = [item for item in record.predictions if not is_right(item)]
    wrong.sort(key=lambda item: -float(item.get("probability") or 0))
    step = max(1, len(right) // most)
    return right[::step][:most], wrong[:most]


def side_by_side(record: RunRecord, most: int = 12) -> list[PredictionLine]:
    """Items whose line holds a baseline's prediction too, evenly spaced over the exam: not selected.

    record  the run
    most    how many (12)
    """
    items = [item for item in _main_subset(record) if item.get("beside")]
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def _main_subset(record: RunRecord) -> list[PredictionLine]:
    main = [item for item in record.predictions if not subset_of(item)]
    return main or list(record.predictions)


def _labels(text: Any, record: RunRecord) -> Iterable[str]:
    if text is None:
        return ()
    return str(text).split(_separator(record)) if record.dataset.get("labels") else (str(text),)


def _separator(record: RunRecord) -> str | None:
    return (record.config.get("task") or {}).get("separator") or None


def _kind(name: str, values: list[float]) -> TagScore:
    mean = mean_interval(values)
    return TagScore(name, mean.n, sum(value >= 1 for value in values), mean.value, mean.low, mean.high)


def _order(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)
