"""Numbers of recipes with their exact values, and units in every spelling that occurs."""

from __future__ import annotations

from fractions import Fraction

import pytest

from terakoya.codec.recipe_numbers import METRIC, read_number
from terakoya.errors import DataError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250", Fraction(250)), ("２５０", Fraction(250)), ("1.5", Fraction(3, 2)), ("3/4", Fraction(3, 4)),
        ("½", Fraction(1, 2)), ("1½", Fraction(3, 2)), ("1と1/2", Fraction(3, 2)), ("1・1/2", Fraction(3, 2)),
        ("1 1/2", Fraction(3, 2)), ("2半", Fraction(5, 2)), ("三", Fraction(3)), ("ひと", Fraction(1)),
    ],
)  # fmt: skip
def test_every_form_has_its_value(text: str, value: Fraction) -> None:
    assert read_number(text) == value


def test_what_is_no_number_is_refused_with_it() -> None:
    for text in ("", "少々", "1/0", "1..5"):
        with pytest.raises(DataError):
            read_number(text)
    with pytest.raises(DataError, match="'少々'"):
        read_number("少々")


def test_latin_units_occur_in_every_case_and_width() -> None:
    assert {"ml", "ML", "Ml", "mL", "ｍｌ", "ＭＬ", "Ｍｌ", "ｍＬ", "ｇ", "Ｇ", "ｃｍ", "㎏"} <= set(METRIC)
    assert len(METRIC) == len(set(METRIC))
