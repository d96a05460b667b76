"""Fields of structured targets: what lies between the separators that all targets share, or their positions.

fields_of(["2024-01-05", "1999-12-31"]).values("2024-01-05")     # ("2024", "01", "05")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.i18n import _
from terakoya.scoring.error_analysis.exact_tests import ALPHA, binomial_tail
from terakoya.scoring.error_analysis.items import ErrorItem, NamedError

_MOST_FIELDS = 24
_LEAST_TARGETS = 5  # different ones, from which a form can be read at all


@dataclass(frozen=True)
class TargetForm:
    """The form that all targets share.

    separators  texts that stand in every target, once each and in this order; () where the length alone is shared
    length      of every target, where there are no separators; 0 otherwise
    """

    separators: tuple[str, ...] = ()
    length: int = 0

    def values(self, text: str) -> tuple[str, ...] | None:
        """The fields of a text; None where it is not of this form.

        text  a target or a prediction
        """
        if self.length:
            return tuple(text) if len(text) == self.length else None
        found, rest = [], text
        for separator in self.separators:
            field, mark, rest = rest.partition(separator)
            if not mark:
                return None
            found.append(field)
        if any(separator in rest for separator in self.separators):
            return None
        return (*found, rest)

    def title(self, field: int) -> str:
        """A field in words.

        field  its number, from 0
        """
        if self.length:
            return _("character {number} of {count}", number=field + 1, count=self.length)
        before = self.separators[field - 1] if field else ""
        after = self.separators[field] if field < len(self.separators) else ""
        if before and after:
            return _("field {number} (between '{before}' and '{after}')", number=field + 1, before=before, after=after)
        if after:
            return _("field {number} (before '{after}')", number=field + 1, after=after)
        return _("field {number} (after '{before}')", number=field + 1, before=before)


def fields_of(targets: Sequence[str]) -> TargetForm | None:
    """The form that all targets share; None where they share none.

    targets  of the exam, in canonical form
    """
    distinct = sorted(set(targets))
    if len(distinct) < _LEAST_TARGETS:
        return None
    counts = [Counter(target) for target in distinct]
    shared = {mark for mark, n in counts[0].items() if all(count[mark] == n for count in counts)}
    # Digits differ by nature: one that all targets share is an accident, or their first digit.
    shared = {mark for mark in shared if not mark.isdigit()}
    skeletons = {"".join(mark for mark in target if mark in shared) for target in distinct}
    if shared and len(skeletons) == 1 and (marks := _joined(distinct, skeletons.pop())):
        form = TargetForm(marks)
        fields = [form.values(target) for target in distinct]
        used = len(marks) < _MOST_FIELDS and all(fields) and sum(any(column) for column in zip(*fields, strict=True))
        if used and used > 1:
            return form
    lengths = {len(target) for target in distinct}
    if len(lengths) == 1 and 2 <= (length := lengths.pop()) <= _MOST_FIELDS:
        return TargetForm(length=length)
    return None


def _joined(targets: Sequence[str], skeleton: str) -> tuple[str, ...]:
    """The separators: neighbours of the skeleton that touch in every target are one."""
    joined: list[str] = []
    for at, mark in enumerate(skeleton):
        if joined and all(_touches(target, skeleton, at) for target in targets):
            joined[-1] += mark
        else:
            joined.append(mark)
    return tuple(joined)


def _touches(target: str, skeleton: str, at: int) -> bool:
    position = -1
    positions = []
    for mark in skeleton[: at + 1]:
        position = target.index(mark, position + 1)
        positions.append(position)
    return positions[-1] == positions[-2] + 1


@dataclass(frozen=True, slots=True)
class FieldErrors:
    """How often a field is wrong.

    title  in words
    wrong  items where it differs from the target
    n      items whose prediction has the form
    rows   numbers of the wrong items
    """

    title: str
    wrong: int
    n: int
    rows: tuple[int, ...]


def errors_by_field(items: Sequence[ErrorItem], form: TargetForm) -> list[FieldErrors]:
    """Errors of every field, in the order of the form.

    items  of the exam
    form   that their targets share
    """
    wrong: list[list[int]] = [[] for _field in range(form.length or len(form.separators) + 1)]
    n = 0
    for row, item in enumerate(items):
        predicted = form.values(item.prediction) if item.prediction is not None else None
        wanted = form.values(item.target)
        if predicted is None or wanted is None:
            continue
        n += 1
        for at, (said, should) in enumerate(zip(predicted, wanted, strict=True)):
            if said != should:
                wrong[at].append(row)
    return [FieldErrors(form.title(at), len(rows), n, tuple(rows)) for at, rows in enumerate(wrong)]


def named_fields(items: Sequence[ErrorItem], families: int = 1) -> list[NamedError]:
    """Fields in which errors gather, beyond what a model without a weakness would show.

    items     of the exam
    families  of tests that share the error rate of 5%
    """
    form = fields_of([item.target for item in items])
    if form is None:
        return []
    positions = [row for row, item in enumerate(items) if item.wrong]
    errors = errors_by_field([items[row] for row in positions], form)
    total = sum(field.wrong for field in errors)
    shares = _expected_shares([item.target for item in items], form)
    used = sum(share > 0 for share in shares)
    if not total or used < 2:
        return []
    found = []
    for at, (field, share) in enumerate(zip(errors, shares, strict=True)):
        p = min(1.0, binomial_tail(field.wrong, total, share) * used * families) if share else 1.0
        if p <= ALPHA:
            rows = tuple(positions[row] for row in field.rows)
            found.append(_named(at, field, total, field.n, p, rows))
    return sorted(found, key=lambda one: one.p)


def _expected_shares(targets: Sequence[str], form: TargetForm) -> list[float]:
    """The share of errors that each field has without a weakness: the largest of three spreads of errors, evenly over
    fields that vary, over characters, and by how often two targets differ in the field (a wrong target altogether). 0
    for a field that is always empty."""
    columns = list(zip(*(values for target in targets if (values := form.values(target))), strict=True))
    varied = [float(len(set(column)) > 1) for column in columns]
    sizes = [float(sum(map(len, column))) for column in columns]
    differ = [1 - sum((n / len(column)) ** 2 for n in Counter(column).values()) for column in columns]
    spreads = [[value / max(1e-9, sum(values)) for value in values] for values in (varied, sizes, differ)]
    return [max(shares) for shares in zip(*spreads, strict=True)]


def _named(at: int, field: FieldErrors, total: int, n: int, p: float, rows: tuple[int, ...]) -> NamedError:
    message = _(
        "{what}: {wrong} of the {total} wrong fields",
        what=field.title,
        wrong=field.wrong,
        total=total,
    )
    return NamedError("field", ("field", str(at + 1)), message, p, field.wrong, n, total - field.wrong, n, rows)
