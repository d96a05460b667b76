"""Figures computed from a record's items: by kind, by error, by confidence. Each with its n and interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from terakoya.report.record import Record
from terakoya.scoring.statistics.calibration import Calibration, calibration
from terakoya.scoring.statistics.intervals import mean_interval

Item = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """The mean score of the items of one kind (95% interval), and how many of them were fully right."""

    name: str
    n: int
    right: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Answer:
    """How often an answer (or label) stands in the data and in the model's answers, as shares."""

    name: str
    data: float
    model: float


def is_right(item: Item) -> bool:
    return float(item.get("verdict") or 0) >= 1


def outcome(item: Item) -> str:
    """right, partly, unreadable, withheld or wrong."""
    if is_right(item):
        return "right"
    if item.get("withheld"):
        return "withheld"
    if item.get("prediction") is None:
        return "unreadable"
    return "partly" if float(item.get("verdict") or 0) > 0 else "wrong"


def by_kind(record: Record) -> dict[str, list[Kind]]:
    """For every tag of the exam's main part: each value that it takes, in order of value."""
    groups: dict[str, dict[str, list[float]]] = {}
    for item in _main_part(record):
        for tag, value in dict(item.get("tags") or {}).items():
            groups.setdefault(str(tag), {}).setdefault(str(value), []).append(float(item.get("verdict") or 0))
    return {
        tag: [_kind(value, scores) for value, scores in sorted(values.items(), key=lambda pair: _order(pair[0]))]
        for tag, values in groups.items()
        if len(values) > 1
    }


def by_error(record: Record) -> list[tuple[str, int]]:
    """Kinds of error among what was not right, most frequent first; all parts of the exam."""
    wrong = [item for item in record.predictions if not is_right(item)]
    return Counter(str(item.get("error") or outcome(item)) for item in wrong).most_common()


def reliability(record: Record) -> Calibration | None:
    """How far confidences can be trusted; None where answers carry none, or too few do."""
    items = [item for item in _main_part(record) if item.get("probability") is not None]
    if len(items) < 10:
        return None
    return calibration([float(item["probability"]) for item in items], [is_right(item) for item in items])


def answer_shares(record: Record, most: int = 15) -> list[Answer]:
    """The most frequent answers of the data beside the model's; [] where hardly any answer occurs twice."""
    counted = {str(name): int(count) for name, count in record.dataset.get("answers") or []}
    total = int(record.dataset.get("answers_total") or 0)
    given = Counter(part for item in record.predictions for part in _parts(item.get("prediction"), record))
    if not total or not given:
        return []
    often = [name for name, count in counted.items() if count > 1][:most]
    if sum(counted[name] for name in often) < total / 10:
        return []
    names = dict.fromkeys([*often, *(name for name, count in given.most_common(5) if count > given.total() / 20)])
    return [Answer(name, counted.get(name, 0) / total, given[name] / given.total()) for name in names]


def examples(record: Record, most: int = 8) -> tuple[list[Item], list[Item]]:
    """Right ones, spread over the exam, and wrong ones, the surest first: those teach most."""
    right = [item for item in _main_part(record) if is_right(item)]
    wrong = [item for item in record.predictions if not is_right(item)]
    wrong.sort(key=lambda item: -float(item.get("probability") or 0))
    step = max(1, len(right) // most)
    return right[::step][:most], wrong[:most]


def side_by_side(record: Record, most: int = 12) -> list[Item]:
    """Items whose line holds a baseline's answer too, evenly spaced over the exam: nobody chose them."""
    items = [item for item in _main_part(record) if item.get("beside")]
    return items if len(items) <= most else [items[place * len(items) // most] for place in range(most)]


def _main_part(record: Record) -> list[Item]:
    main = [item for item in record.predictions if not item.get("part")]
    return main or list(record.predictions)


def _parts(text: Any, record: Record) -> Iterable[str]:
    if text is None:
        return ()
    return str(text).split(_separator(record)) if record.dataset.get("labels") else (str(text),)


def _separator(record: Record) -> str | None:
    return (record.config.get("task") or {}).get("separator") or None


def _kind(name: str, values: list[float]) -> Kind:
    figure = mean_interval(values)
    return Kind(name, figure.n, sum(value >= 1 for value in values), figure.value, figure.low, figure.high)


def _order(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)
