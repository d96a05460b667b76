"""Errors of label sets by label: which labels are missed, and which are predicted where they do not belong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.i18n import _
from terakoya.scoring.error_analysis.exact_tests import ALPHA, Counts, correction_factor, fisher_greater, least_p
from terakoya.scoring.error_analysis.items import ErrorItem, NamedError


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """One label.

    label      its name
    targets    items that have it
    missed     numbers of the items that have it and whose prediction lacks it
    predicted  items whose prediction has it
    wrong      numbers of the items whose prediction has it and that do not
    """

    label: str
    targets: int
    missed: tuple[int, ...]
    predicted: int
    wrong: tuple[int, ...]


def errors_by_label(items: Sequence[ErrorItem]) -> list[LabelErrors]:
    """Every label of targets and predictions, the most errors first.

    items  of the exam; labels are separated by white space
    """
    targets: defaultdict[str, int] = defaultdict(int)
    predicted: defaultdict[str, int] = defaultdict(int)
    missed: defaultdict[str, list[int]] = defaultdict(list)
    wrong: defaultdict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        wanted, said = set(item.target.split()), set((item.prediction or "").split())
        for label in wanted:
            targets[label] += 1
            if label not in said:
                missed[label].append(row)
        for label in said:
            predicted[label] += 1
            if label not in wanted:
                wrong[label].append(row)
    found = [
        LabelErrors(label, targets[label], tuple(missed[label]), predicted[label], tuple(wrong[label]))
        for label in sorted({*targets, *predicted})
    ]
    return sorted(found, key=lambda one: (-len(one.missed) - len(one.wrong), one.label))


def named_labels(items: Sequence[ErrorItem], families: int = 1) -> list[NamedError]:
    """Labels that are missed, or predicted wrongly, significantly more often than the others.

    items     of the exam
    families  of tests that share the error rate of 5%
    """
    labels = errors_by_label(items)
    tests: list[tuple[LabelErrors, bool, Counts]] = []
    for missing in (True, False):
        n = sum(one.targets if missing else one.predicted for one in labels)
        bad = sum(len(one.missed if missing else one.wrong) for one in labels)
        for one in labels:
            own, own_bad = (one.targets, len(one.missed)) if missing else (one.predicted, len(one.wrong))
            if own:
                tests.append((one, missing, Counts(own_bad, own, bad - own_bad, n - own)))
    tried = correction_factor([least_p(counts) for _one, _missing, counts in tests], ALPHA / families) * families
    found = []
    for one, missing, counts in tests:
        p = min(1.0, fisher_greater(counts) * tried)
        if p <= ALPHA:
            found.append(_named(one, missing, counts, p))
    return sorted(found, key=lambda one: one.p)


def _named(one: LabelErrors, missing: bool, counts: Counts, p: float) -> NamedError:
    values = {
        "label": one.label,
        "wrong": counts.wrong,
        "n": counts.n,
        "wrong_elsewhere": counts.wrong_elsewhere,
        "n_elsewhere": counts.n_elsewhere,
    }
    if missing:
        message = _(
            "the label {label} is missed in {wrong} of {n} items, other labels in {wrong_elsewhere} of {n_elsewhere}",
            **values,
        )
    else:
        message = _(
            "the label {label} is wrong in {wrong} of {n} predictions, other labels in {wrong_elsewhere} of "
            "{n_elsewhere}",
            **values,
        )
    key = ("missed label" if missing else "wrong label", one.label)
    rows = one.missed if missing else one.wrong
    return NamedError(
        "label", key, message, p, counts.wrong, counts.n, counts.wrong_elsewhere, counts.n_elsewhere, rows
    )
