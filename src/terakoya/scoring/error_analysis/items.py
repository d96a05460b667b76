"""What an error analysis looks at: one item of an exam, and one thing that wrong items have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType
from typing import Any, Literal

from terakoya.records import subset_of
from terakoya.scoring.error_analysis.alignment import edit_distance

ErrorFamily = Literal["property", "field", "substitution", "relation", "label"]
_MANY = 0.8  # share of items that a graded metric calls not fully right, from which on the worse half is looked at


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """One item of an exam.

    source      the input text
    target      the acceptable target nearest to the prediction, in canonical form
    prediction  None where the output could not be read or was withheld
    wrong       whether it counts as wrong here
    group       items of one group are right or wrong together; "": it is independent
    tags        properties that the task names
    nearest     target of the nearest training row, and how similar its source is (0 to 1); None: not known
    """

    source: str
    target: str
    prediction: str | None
    wrong: bool
    group: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    nearest: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class NamedError:
    """Something that wrong items have in common.

    family           of tests that it comes from
    key              what it is: ("word", "午後"), ("field", "2")
    message          in words, with its counts
    p                corrected for everything that was tried
    wrong, n         errors and items (or edits, or fields) with it
    wrong_elsewhere, n_elsewhere  and without it
    rows             numbers of the items, from 0, that are wrong with it
    """

    family: ErrorFamily
    key: tuple[str, str]
    message: str
    p: float
    wrong: int
    n: int
    wrong_elsewhere: int
    n_elsewhere: int
    rows: tuple[int, ...] = ()


def read_items(lines: Sequence[Mapping[str, Any]], *, labels: bool = False) -> tuple[list[ErrorItem], bool]:
    """The main subset of an exam, from the lines of its predictions.jsonl.

    lines   of predictions.jsonl
    labels  True where targets are sets of labels
    Returns the items, and whether "wrong" means the worse half: by a graded metric hardly any item is fully right.
    """
    main = [line for line in lines if not subset_of(line)] or list(lines)
    values = [float(line.get("verdict") or 0) for line in main]
    graded = any(0 < value < 1 for value in values)
    halves = graded and sum(value < 1 for value in values) > _MANY * len(values)
    bar = median(values) if halves else 1.0
    items = [_item(line, value < bar, labels) for line, value in zip(main, values, strict=True)]
    return items, halves


def _item(line: Mapping[str, Any], wrong: bool, labels: bool) -> ErrorItem:
    prediction = line.get("prediction")
    said = None if prediction is None or line.get("withheld") else str(prediction)
    first = str(line.get("canonical") or line.get("target") or "")
    targets = [first, *(str(other) for other in line.get("accepted") or ())]
    near = line.get("nearest")
    target = targets[0]
    if said is not None and wrong and len(targets) > 1 and not labels:
        target = min(targets, key=lambda other: edit_distance(said, other))
    return ErrorItem(
        source=str(line.get("source", "")),
        target=target,
        prediction=said,
        wrong=wrong,
        group=str(line.get("group") or ""),
        tags={str(key): str(value) for key, value in dict(line.get("tags") or {}).items()},
        nearest=(str(near["target"]), float(near["similarity"])) if isinstance(near, Mapping) else None,
    )
