"""What the numerals log and our prototypes showed about held-out numbers."""

from __future__ import annotations

from random import Random

from terakoya.data.split import split_of
from terakoya.tasks.numerals import task
from terakoya.tasks.numerals.coverage import coverage_gaps


def _in_train(number: int) -> bool:
    return split_of(f"n:{number}") == "train"


def test_a_hold_out_of_all_multiples_of_a_hundred_million_is_found() -> None:
    """A prototype made this gap without noticing: 84.8% right inside it, 99.98% outside."""
    findings = coverage_gaps(lambda number: bool(number % 10**8) and _in_train(number), Random(1))
    assert any("multiples of 10^8:" in finding.what and finding.level == "stop" for finding in findings)


def test_a_magnitude_missing_from_training_is_found() -> None:
    """Nothing extrapolates to numbers longer than in training."""
    findings = coverage_gaps(lambda number: number < 10**15 and _in_train(number), Random(1))
    assert any("magnitude 10^15" in finding.what and finding.level == "stop" for finding in findings)


def test_numbers_with_skipped_digits_held_out_are_found_even_in_part() -> None:
    """Two of three missing is a hole too."""
    findings = coverage_gaps(
        lambda number: _in_train(number) and ("0" not in str(number).rstrip("0") or number % 3 == 0), Random(1)
    )
    assert any("pattern 'skip'" in finding.what and finding.level == "warn" for finding in findings)


def test_the_task_itself_has_no_hole() -> None:
    """The audit runs on what we ship, and is quiet."""
    numerals = task(items=50)
    assert numerals.split is not None
    assert [finding for check in numerals.checks for finding in check(numerals.split)] == []


def test_no_number_is_in_two_splits_in_another_spelling() -> None:
    """In the log 十 was in train and in test; here all spellings of a number share a split."""
    numerals = task(items=300)
    assert numerals.split is not None and numerals.memorised is not None
    train = {item.target for item in numerals.split.train}
    assert not train & {item.target for item in numerals.split.exam if not numerals.memorised(item)}


def test_a_skipped_place_is_caught_by_the_reverse_rule() -> None:
    """七千二十 read as 720: a prediction that cannot have produced its source is withheld."""
    reverse = task(items=1).reverse
    assert reverse is not None
    assert not reverse("七千二十", "720") and reverse("七千二十", "7020")
