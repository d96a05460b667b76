"""What an accuracy hides: one prediction for everything, repetition, illegal and unreadable predictions.

Whether the predictions depend on the input at all is measured while training (training/guards/collapse.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The predictions of one system on an exam, seen together. Shares lie in [0, 1]; entropy is in nats.

    n             number of predictions
    top           the most frequent prediction ("" when none is readable) and `top_share`, its share of readable ones
    distinct      number of distinct readable predictions; `entropy` of their distribution
    outside_top   share of readable predictions that are none of the five most frequent ones
    label_top     for sets: the most frequent label, and `label_top_share`, its share of all predicted labels
    repetition    mean share of a prediction that repeats itself: labels given twice, or 4-grams of characters seen
                  before (seq-rep-4, Welleck et al. 2020, on characters)
    illegal       share of predicted labels that are no legal label (0 where no label set is given)
    unreadable    share of all predictions that could not be read
    """

    n: int
    top: str
    top_share: float
    distinct: int
    entropy: float
    outside_top: float
    label_top: str
    label_top_share: float
    repetition: float
    illegal: float
    unreadable: float

    def values(self) -> Mapping[str, float]:
        """The numeric fields by name, for a Finding or a table."""
        return {name: float(value) for name, value in asdict(self).items() if not isinstance(value, str)}


def entropy(counts: Counter[str]) -> float:
    """Entropy of a distribution in nats; 0 for a single value and for none.

    counts  how often each value occurs
    """
    total = counts.total()
    return max(0.0, -sum(c / total * math.log(c / total) for c in counts.values() if c))


def repeated_labels(raw: str) -> float:
    """Share of the labels in a prediction that occur in it a second time.

    raw  labels separated by white space
    """
    pieces = raw.split()
    return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0


def repeated_text(raw: str, n: int = 4) -> float:
    """Share of the character n-grams of a prediction that occur in it a second time.

    raw  the prediction as the model wrote it
    n    characters of an n-gram (4)
    """
    grams = [raw[i : i + n] for i in range(len(raw) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _top(counts: Counter[str]) -> tuple[str, float]:
    if not counts:
        return "", 0.0
    name, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return name, count / counts.total()


def health(
    predictions: Sequence[str | None],
    *,
    raw: Sequence[str] | None = None,
    labels: bool = False,
    legal: Collection[str] | None = None,
) -> Health:
    """Degeneration of a system's predictions that no single item shows.

    predictions  canonical, None where unreadable
    raw          as the model wrote them, labels separated by white space: a codec that reads sets drops repeated
                 labels, so repetition and illegal labels are counted here (default: the canonical predictions)
    labels       True where predictions are sets of labels
    legal        the labels that may be predicted (None: not checked)
    """
    readable = Counter(prediction for prediction in predictions if prediction is not None)
    written = list(raw) if raw is not None else [prediction or "" for prediction in predictions]
    written_labels = Counter(label for text in written for label in text.split()) if labels else Counter[str]()
    read_labels = Counter(label for text in predictions for label in (text or "").split()) if labels else Counter[str]()
    illegal = sum(count for label, count in written_labels.items() if legal is not None and label not in legal)
    five = sum(sorted(readable.values(), reverse=True)[:5])
    total = readable.total()
    top, top_share = _top(readable)
    label_top, label_top_share = _top(read_labels)
    repeats = [repeated_labels(text) if labels else repeated_text(text) for text in written]
    return Health(
        n=len(predictions),
        top=top,
        top_share=top_share,
        distinct=len(readable),
        entropy=entropy(readable),
        outside_top=(total - five) / total if total else 0.0,
        label_top=label_top,
        label_top_share=label_top_share,
        repetition=sum(repeats) / len(repeats) if repeats else 0.0,
        illegal=illegal / written_labels.total() if written_labels else 0.0,
        unreadable=(len(predictions) - total) / len(predictions) if predictions else 0.0,
    )
