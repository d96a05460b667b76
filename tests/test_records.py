"""The values that flow: known by what they are, never by where they stood."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from random import Random

import pytest

from terakoya.errors import ConfigError, nearest, need
from terakoya.records import Example, Turn, fingerprint, set_fingerprint


def test_parts_of_a_fingerprint_do_not_run_together() -> None:
    """("ab", "c") and ("a", "bc") are two things."""
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("三万") == fingerprint("三万")
    assert len(fingerprint("\ud800")) == 16


def test_an_example_is_known_by_source_and_target_alone() -> None:
    """Row, file and part may change; the example is the same, and is never paid for or trained on twice."""
    example = Example("三", "3", origin="a.csv", row=4)
    assert replace(example, origin="b.csv", row=9, subset="memorised").fingerprint == example.fingerprint
    assert replace(example, target="4").fingerprint != example.fingerprint
    assert replace(example, turns=(Turn("user", "やあ"),)).fingerprint != example.fingerprint


def test_a_set_has_one_fingerprint_whatever_its_order() -> None:
    examples = [Example(str(number), "x") for number in range(20)]
    shuffled = Random(1).sample(examples, len(examples))
    assert set_fingerprint(shuffled) == set_fingerprint(examples)
    assert set_fingerprint(examples[1:]) != set_fingerprint(examples)


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Example("a", "b").target = "c"  # type: ignore[misc]


def test_the_nearest_name_is_offered_and_a_missing_package_says_how_to_get_it() -> None:
    assert nearest("epoch", ["epochs", "steps"]) == "Did you mean 'epochs'?"
    assert "epochs, steps" in nearest("zzz", ["steps", "epochs"])
    with pytest.raises(ConfigError, match="not installed") as refusal:
        need("no_such_package_at_all", extra="hub")
    assert "terakoya[hub]" in refusal.value.do
