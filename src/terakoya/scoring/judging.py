"""An exam judged: every item with its verdicts, then figures with their doubt.

A `Sheet` is one examinee's answers to one exam, item by item; a model and each baseline hand in one.
Items of the main part ("") decide; other parts (recall, a user's own) are scored apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from terakoya.codec import Codec
from terakoya.errors import DataError
from terakoya.i18n import both
from terakoya.records import Example, Prediction, Score, Signature, fingerprint, set_fingerprint
from terakoya.scoring.metrics import Metric
from terakoya.scoring.statistics import intervals

MAIN = ""


@dataclass(frozen=True)
class Item:
    """One question of the exam, one answer, and what each metric says of it."""

    example: Example
    prediction: Prediction
    verdicts: Mapping[str, float]


@dataclass(frozen=True)
class ScoredPredictions:
    """One examinee's judged answers, in the exam's order."""

    who: str
    items: tuple[Item, ...]

    def part(self, name: str) -> ScoredPredictions:
        return ScoredPredictions(self.who, tuple(item for item in self.items if item.example.part == name))

    def parts(self) -> list[str]:
        """Parts in the order in which they stand in the exam, the main one first."""
        seen = dict.fromkeys(item.example.part for item in self.items)
        return sorted(seen, key=lambda part: part != MAIN)

    def values(self, metric: str) -> list[float]:
        return [item.verdicts[metric] for item in self.items]


def judged(
    who: str,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    codec: Codec,
    metrics: Mapping[str, Metric],
) -> ScoredPredictions:
    """Hold every answer against all acceptable targets, in the codec's canonical form."""
    if len(examples) != len(predictions):
        raise DataError(
            both(
                f"{len(predictions)} answers to {len(examples)} questions",
                f"問い{len(examples)}件に対して回答が{len(predictions)}件ある",
            ),
            do=both("Answer every item once.", "どの問題にも一度ずつ答えること。"),
        )
    canonical = _Canonical(codec)
    items = []
    for example, prediction in zip(examples, predictions, strict=True):
        targets = [canonical(target) for target in (example.target, *example.accepted)]
        verdicts = {name: metric.judge(prediction.text, targets) for name, metric in metrics.items()}
        items.append(Item(example, prediction, verdicts))
    return ScoredPredictions(who, tuple(items))


def canonical_targets(codec: Codec, targets: Sequence[str]) -> list[str]:
    """The targets in the form in which answers are compared; what the codec cannot read is no target."""
    found = []
    for target in targets:
        with suppress(DataError):
            found.append(codec.canonical(target))
    return found


def signature(
    examples: Sequence[Example], metric: Metric, *, decoding: str, codec: Codec, labels: Sequence[str] = ()
) -> Signature:
    return Signature(
        exam=set_fingerprint(examples),
        metric=metric.signature,
        decoding=decoding,
        normal=codec.name.partition(":")[0],
        labels=fingerprint(*sorted(labels)) if labels else "",
    )


def scores(
    sheet: ScoredPredictions, metrics: Mapping[str, Metric], made: Callable[[Metric], Signature], **doubt: Any
) -> list[Score]:
    """A Score for every part and metric. `doubt` goes to the intervals (seed, resamples)."""
    return [
        intervals.score(sheet.who, metric.name, part.values(metric.name), made(metric), part=name, **doubt)
        for name in sheet.parts()
        for part in (sheet.part(name),)
        for metric in metrics.values()
    ]


def lines(
    sheet: ScoredPredictions,
    metric: str,
    error_kind: Callable[[Example, Prediction], str] | None,
    beside: ScoredPredictions | None = None,
) -> list[dict[str, Any]]:
    """What predictions.jsonl holds: one line an item; `beside` is a baseline whose answers shall stand there too."""
    rows = []
    others = beside.items if beside else (None,) * len(sheet.items)
    for item, other in zip(sheet.items, others, strict=True):
        example, prediction, value = item.example, item.prediction, item.verdicts[metric]
        row: dict[str, Any] = {
            "source": example.source,
            "target": example.target,
            "raw": prediction.raw,
            "prediction": prediction.text,
            "verdict": value,
            "part": example.part,
            "tags": dict(example.tags),
            "probability": prediction.probability,
            "fingerprint": example.fingerprint,
        }
        row |= {"accepted": list(example.accepted)} if example.accepted else {}
        row |= {"turns": [[turn.role, turn.content] for turn in example.turns]} if example.turns else {}
        row |= {"withheld": prediction.withheld} if prediction.withheld else {}
        if beside and other:
            answer = {"who": beside.who, "prediction": other.prediction.text, "verdict": other.verdicts[metric]}
            row["beside"] = answer
        if value < 1:
            row["error"] = _error(item, error_kind)
        rows.append(row)
    return rows


def _error(item: Item, error_kind: Callable[[Example, Prediction], str] | None) -> str:
    if item.prediction.withheld:
        return f"withheld: {item.prediction.withheld}"
    if item.prediction.text is None:
        return "unreadable"
    return error_kind(item.example, item.prediction) if error_kind else "wrong"


class _Canonical:
    """The codec's canonical form, remembered: exams repeat their targets."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.known: dict[str, str] = {}

    def __call__(self, target: str) -> str:
        if target not in self.known:
            self.known[target] = self.codec.canonical(target)
        return self.known[target]
