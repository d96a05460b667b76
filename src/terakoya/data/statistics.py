"""What the data is like, counted once when it is parted and kept in the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from terakoya.records import Example, Split

LabelsOf = Callable[[str], Sequence[str]]
KEPT = 60  # answers listed by name; the rest is counted


def dataset_statistics(split: Split, labels_of: LabelsOf | None = None, drawn: bool = False) -> dict[str, Any]:
    """Counts, lengths (in characters) and distribution of answers for each side of the split, ready for JSON.

    `labels_of` takes a target apart where answers are sets of labels. `drawn`: training examples are made by rule
    as they are needed, so that the fixed ones are not all.
    """
    sides = {"train": split.train, "dev": split.dev, "exam": split.exam}
    everything = [example for side in sides.values() for example in side]
    answers = Counter(part for example in everything for part in (labels_of or _whole)(example.target))
    return {
        "method": split.method,
        "drawn": drawn,
        "labels": labels_of is not None,
        "splits": {name: _side(examples) for name, examples in sides.items()},
        "answers": [[answer, count] for answer, count in answers.most_common(KEPT)],
        "answers_total": answers.total(),
        "answers_distinct": len(answers),
        "tags": _tags(everything),
    }


def _whole(target: str) -> Sequence[str]:
    return (target,)


def _side(examples: Sequence[Example]) -> dict[str, Any]:
    told: dict[str, Any] = {"examples": len(examples), "groups": len({item.group or item.source for item in examples})}
    if examples:
        told["source"] = _lengths(example.source for example in examples)
        told["target"] = _lengths(example.target for example in examples)
    return told


def _lengths(texts: Iterable[str]) -> dict[str, float]:
    lengths = [len(text) for text in texts]
    return {"mean": round(mean(lengths), 2), "median": median(lengths), "max": max(lengths)}


def _tags(examples: Sequence[Example]) -> Mapping[str, list[list[Any]]]:
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        for key, value in example.tags:
            counts.setdefault(key, Counter())[value] += 1
    return {key: [[value, count] for value, count in counter.most_common(KEPT)] for key, counter in counts.items()}
