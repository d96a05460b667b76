"""Where the errors of an exam lie, from the lines of its predictions.jsonl.

Four families of exact tests share an error rate of 5%: properties of the source, fields of the target, edits, and how
whole predictions relate to their targets; for label sets, labels in place of the last three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.scoring.error_analysis.items import ErrorItem, NamedError, read_items
from terakoya.scoring.error_analysis.labels import named_labels
from terakoya.scoring.error_analysis.properties import named_properties
from terakoya.scoring.error_analysis.substitutions import named_relations, named_substitutions
from terakoya.scoring.error_analysis.target_fields import TargetForm, fields_of, named_fields

MOST_ITEMS = 5_000  # that are looked at, evenly spaced over the exam


@dataclass(frozen=True)
class ErrorAnalysis:
    """What was found.

    items      that were looked at
    named      what errors have in common, the most significant first
    form       that all targets share; None where they share none, and for label sets
    halves     whether "wrong" means the worse half of a graded metric
    labels     whether targets are label sets
    """

    items: tuple[ErrorItem, ...]
    named: tuple[NamedError, ...]
    form: TargetForm | None
    halves: bool
    labels: bool

    @property
    def wrong(self) -> list[ErrorItem]:
        """The items that count as wrong."""
        return [item for item in self.items if item.wrong]


def explain_errors(lines: Sequence[Mapping[str, Any]], *, labels: bool = False) -> ErrorAnalysis:
    """Where the errors of an exam's main subset lie.

    lines   of predictions.jsonl
    labels  True where targets are sets of labels
    """
    sample = lines if len(lines) <= MOST_ITEMS else [lines[i * len(lines) // MOST_ITEMS] for i in range(MOST_ITEMS)]
    items, halves = read_items(sample, labels=labels)
    form = None if labels else fields_of([item.target for item in items])
    found: list[NamedError] = []
    if any(item.wrong for item in items):
        if labels:
            found = [*named_labels(items, 2), *named_properties(items, 2)]
        else:
            for family in (named_properties, named_fields, named_substitutions, named_relations):
                found += family(items, 4)
    return ErrorAnalysis(tuple(items), tuple(sorted(found, key=lambda one: one.p)), form, halves, labels)
