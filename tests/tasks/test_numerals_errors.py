"""What is wrong with a wrong number, and how near it came."""

from __future__ import annotations

import pytest

from terakoya.records import Example, Prediction
from terakoya.tasks.numerals.metrics import ERROR_KINDS, digit_accuracy, edit_distance, error_kind


@pytest.mark.parametrize(
    ("target", "answer", "kind"),
    [
        ("40000000000", "4000000000000", "zeros added"), ("7000", "700", "zeros lost"),
        ("7020", "720", "place skipped"),
        ("7020", "7002", "place skipped"), ("100000000", "10000", "unit misread"), ("5", "50000", "unit misread"),
        ("13000", "17000", "digit wrong"), ("13000", "1", "other"), ("13000", None, "unreadable"),
        ("13000", "1.5", "other"),
        ("0", "5", "digit wrong"), ("5", "0", "digit wrong"), ("50", "0", "other"),
    ],
)  # fmt: skip
def test_errors_are_distinguished_by_kind(target: str, answer: str | None, kind: str) -> None:
    """The log's models had the digits right and the zeros wrong: a table by kind shows it at a glance."""
    given = error_kind(Example("x", target), Prediction("x", answer or "?", answer))
    assert given == kind and given in ERROR_KINDS


@pytest.mark.parametrize(
    ("text", "targets", "value"),
    [
        ("7200", ["7200"], 1.0),
        ("720", ["7200"], 0.75),
        ("72000", ["7200"], 0.8),
        (None, ["7200"], 0.0),
        ("1", ["2", "1"], 1.0),
    ],
)
def test_digit_accuracy_counts_edits(text: str | None, targets: list[str], value: float) -> None:
    """Nearly right and far off are both wrong by exact match; this tells how far."""
    assert digit_accuracy.score(text, targets) == pytest.approx(value)
    assert digit_accuracy.graded


def test_edit_distance_is_symmetric_and_bounded() -> None:
    """The textbook pair."""
    assert edit_distance("kitten", "sitting") == 3 == edit_distance("sitting", "kitten")
    assert edit_distance("", "abc") == 3
