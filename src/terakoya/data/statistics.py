"""What the data is like: counted once when it is split, and kept in the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from terakoya.records import AUGMENTED, Example, Split

LabelsOf = Callable[[str], Sequence[str]]
KEPT = 60  # targets listed by name; the rest is counted


def dataset_statistics(split: Split, labels_of: LabelsOf | None = None, drawn: bool = False) -> dict[str, Any]:
    """Counts, lengths (in characters) and distribution of targets for each split, ready for JSON.

    split      train, dev and exam
    labels_of  target → its labels, where targets are sets of labels; None: a target counts as a whole
    drawn      whether further training examples are drawn by rule, so that the fixed ones are not all
    Returns the keys method, drawn, labels, splits, exam_parts, answers (the KEPT most frequent targets with their
    counts), answers_total, answers_distinct and tags.
    """
    splits = {"train": split.train, "dev": split.dev, "exam": split.exam}
    everything = [example for examples in splits.values() for example in examples]
    targets = Counter(label for example in everything for label in (labels_of or _whole)(example.target))
    return {
        "method": split.method,
        "drawn": drawn,
        "labels": labels_of is not None,
        "splits": {name: _split_statistics(examples) for name, examples in splits.items()},
        "exam_parts": _exam_parts(split),
        "answers": [[target, count] for target, count in targets.most_common(KEPT)],
        "answers_total": targets.total(),
        "answers_distinct": len(targets),
        "tags": _tags(everything),
    }


def _exam_parts(split: Split) -> dict[str, dict[str, int]]:
    """Items, groups, and items of a source that made training examples too, for each subset of the exam.

    An exam made by the program or drawn from the table that made the training examples does not show what happens on
    data that others wrote.
    """
    trained = {_source_of(example) for example in split.train}
    parts: dict[str, list[Example]] = {}
    for item in split.exam:
        parts.setdefault(item.subset, []).append(item)
    return {
        subset: {
            "items": len(items),
            "groups": len({item.group or item.source for item in items}),
            "same_source": sum(_source_of(item) in trained for item in items),
        }
        for subset, items in parts.items()
    }


def _source_of(example: Example) -> str:
    """The file, rule or list that an example came from: "hand s0001" and "hand s0002" are of one list."""
    return example.origin.split(" ")[0]


def _whole(target: str) -> Sequence[str]:
    return (target,)


def _split_statistics(examples: Sequence[Example]) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "examples": len(examples),
        "groups": len({item.group or item.source for item in examples}),
    }
    if examples:
        counts["source"] = _lengths(example.source for example in examples)
        counts["target"] = _lengths(example.target for example in examples)
    return counts


def _lengths(texts: Iterable[str]) -> dict[str, float]:
    lengths = [len(text) for text in texts]
    return {"mean": round(mean(lengths), 2), "median": median(lengths), "max": max(lengths)}


def _tags(examples: Sequence[Example]) -> Mapping[str, list[list[Any]]]:
    counts: dict[str, Counter[str]] = {}
    for example in examples:
        for key, value in example.tags:
            if key == AUGMENTED:  # one value for each row
                continue
            counts.setdefault(key, Counter())[value] += 1
    return {key: [[value, count] for value, count in counter.most_common(KEPT)] for key, counter in counts.items()}
