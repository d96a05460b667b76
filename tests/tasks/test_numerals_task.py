"""The task numerals: what is drawn, what is held out, and how an exam is made."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from terakoya.config import SplitConfig
from terakoya.data.split import split_of
from terakoya.errors import ConfigError
from terakoya.records import Example
from terakoya.task import Task
from terakoya.tasks.numerals import task
from terakoya.tasks.numerals.exam import held_out, kannume_items
from terakoya.tasks.numerals.kinds import any_number, is_memorised_number, pattern
from terakoya.tasks.numerals.reader import read
from terakoya.tasks.numerals.small import withheld_digits
from terakoya.tasks.numerals.writer import FORMS


@pytest.fixture(scope="module")
def numerals() -> Task:
    return task(items=1500)


@pytest.fixture(scope="module")
def drawn(numerals: Task) -> list[Example]:
    assert numerals.draw is not None
    random = Random(11)
    return [numerals.draw(random, 1.0) for _ in range(40_000)]


def test_nothing_held_out_is_ever_drawn(numerals: Task, drawn: list[Example]) -> None:
    """A score on numbers that training shows in another form says nothing about new numbers."""
    numbers, sources = held_out()
    assert all(split_of(item.group) == "train" or is_memorised_number(int(item.target)) for item in drawn)
    assert not numbers & {int(item.target) for item in drawn}
    assert not sources & {item.source for item in drawn}
    assert numerals.split is not None and numerals.memorised is not None
    evaluated = {item.group for item in (*numerals.split.dev, *numerals.split.exam) if not numerals.memorised(item)}
    in_train = {item.group for item in (*drawn, *numerals.split.train)}
    assert not evaluated & in_train and len(evaluated) > 1500


def test_every_drawn_example_is_labelled_by_the_oracle(drawn: list[Example]) -> None:
    """The label is the number that was written, whatever the form."""
    assert all(str(read(item.source)) == item.target and item.group == f"n:{item.target}" for item in drawn)


def test_drawing_covers_every_form_magnitude_and_pattern(drawn: list[Example]) -> None:
    """Nothing extrapolates beyond the training data: cover the range."""
    forms = Counter(item.tag("form") for item in drawn)
    total = sum(FORMS.values())
    assert all(forms[form] > 0.6 * weight / total * len(drawn) for form, weight in FORMS.items())
    magnitudes = Counter(item.tag("magnitude") for item in drawn)
    assert all(magnitudes[str(power)] > 0.04 * len(drawn) for power in range(3, 16)) and len(magnitudes) == 16
    patterns = Counter(item.tag("pattern") for item in drawn)
    assert all(patterns[name] > 0.05 * len(drawn) for name in ("plain", "skip", "zeros", "repeat"))


def test_the_curriculum_begins_small_and_can_be_switched_off() -> None:
    """Small magnitudes first learn faster; whoever doubts it switches it off and looks."""

    def share_large(curriculum: bool, progress: float) -> float:
        draw = task(items=10, curriculum=curriculum).draw
        assert draw is not None
        random = Random(3)
        return sum(int(draw(random, progress).target) >= 10**8 for _ in range(2000)) / 2000

    assert share_large(True, 0.0) < 0.1 < 0.4 < share_large(True, 1.0)
    assert share_large(False, 0.0) > 0.4


def test_the_same_random_draws_the_same_examples(numerals: Task) -> None:
    """An interrupted run goes on to the same bits only if its examples do."""
    assert numerals.draw is not None
    one, other = Random(7), Random(7)
    assert [numerals.draw(one, 0.3) for _ in range(300)] == [numerals.draw(other, 0.3) for _ in range(300)]


def test_the_exam_is_balanced_over_forms_and_magnitudes(numerals: Task) -> None:
    """Also by form: no form may hide behind the frequent ones."""
    assert numerals.split is not None
    main = [item for item in numerals.split.exam if not item.subset]
    forms = Counter(item.tag("form") for item in main)
    assert len(main) == 1500 == len({item.source for item in main})
    assert set(forms) == set(FORMS) - {"bare"} and min(forms.values()) > 0.8 * max(forms.values())
    assert {item.tag("magnitude") for item in main} == {str(power) for power in range(3, 16)}
    assert all(int(item.target) >= 1000 and split_of(item.group) == "exam" for item in main)


def test_memorised_items_and_kannume_are_subsets_of_their_own(numerals: Task) -> None:
    """Memorised items are scored apart; the hand-written exam has its own line."""
    assert numerals.split is not None
    parts = Counter(item.subset for item in numerals.split.exam)
    assert parts == {"": 1500, "memorised": 200, "kannume-200": 200}
    assert all(is_memorised_number(int(item.target)) for item in numerals.split.exam if item.subset == "memorised")
    alone = task(exam="kannume-200").split
    assert alone is not None and {item.source for item in alone.exam} == {item.source for item in kannume_items()}


def test_the_exam_depends_on_its_own_seed_alone() -> None:
    """Runs with different seeds sit the same exam, or they could not be compared."""
    one, same, other = task(items=60), task(items=60, notation="exponent"), task(items=60, exam_seed=1)
    assert one.split is not None and same.split is not None and other.split is not None
    assert one.split.exam_fingerprint == same.split.exam_fingerprint != other.split.exam_fingerprint


def test_the_small_regime_has_160_rows_and_draws_nothing() -> None:
    """The log's regime beside the log's values: 160 to train on, 40 in the exam."""
    small = task(regime="160", notation="exponent")
    assert small.split is not None and small.draw is None
    train, dev, exam = (
        {item.group for item in part} for part in (small.split.train, small.split.dev, small.split.exam)
    )
    assert (len(small.split.train), len(small.split.exam)) == (160, 40)
    assert not train & exam and not train & dev and not dev & exam
    assert all(str(read(item.source)) == item.target for item in (*small.split.train, *small.split.exam))
    other = task(regime=160, exam_seed=1).split  # as TOML and --set give it
    assert other is not None and other.exam_fingerprint != small.split.exam_fingerprint


def test_the_small_regime_has_the_same_rows_with_a_larger_exam() -> None:
    """40 items tell .80 from .90 by luck alone; the rows of earlier records stay."""
    small, large = task(regime="160").split, task(regime="160", items=300).split
    assert small is not None and large is not None
    assert (small.train, small.dev, small.exam) == (large.train, large.dev, large.exam[:40])
    assert len({item.source for item in large.exam}) == 300
    others = {item.group for item in (*large.train, *large.dev)}
    assert not others & {item.group for item in large.exam}


def test_every_item_of_the_exam_has_a_digit_that_training_never_shows() -> None:
    """What only pretraining can know is asked in every item, and further rows made by rule do not give it away."""
    small = task(regime="160", items=60, unseen=6)
    assert small.split is not None and small.augment is not None
    withheld = withheld_digits(0, 6)
    assert len(withheld) == 6
    rng = Random(0)
    made = [small.augment(row, rng) for row in small.split.train for _ in range(5)]
    shown = {char for row in (*small.split.train, *small.split.dev, *filter(None, made)) for char in row.source}
    assert not withheld & shown and sum(row is not None for row in made) > 100
    assert all(withheld & set(item.source) for item in small.split.exam)
    other = task(regime="160", items=60, unseen=6, exam_seed=1).split
    assert other is not None and other.exam_fingerprint != small.split.exam_fingerprint


def test_the_rule_and_its_reverse_use_the_codecs_canonical_form(numerals: Task) -> None:
    """Verified decoding gives only predictions that can have produced their source."""
    assert numerals.rule is not None and numerals.reverse is not None and numerals.rule_exempt
    assert numerals.rule("三万八千") == "38000" and numerals.rule("三万八千円") is None
    assert numerals.reverse("三万八千", "38000") and not numerals.reverse("三万八千", "3800")
    assert not numerals.reverse("三万八千円", "38000") and not numerals.reverse("三万八千", "-1.5")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"exam": "frsh"}, "fresh"), ({"regime": "16"}, "160"), ({"notation": "group"}, "groups"),
        ({"regime": "160", "exam": "kannume-200"}, "no effect"), ({"exam": "kannume-200", "items": 5}, "no effect"),
        ({"split": SplitConfig(method="exact")}, "hash"), ({"split": SplitConfig(exam=0)}, "split.exam"),
        ({"unseen": 3}, "no effect"), ({"regime": "160", "unseen": 13}, "at most 12"),
        ({"items": -1}, "items"), ({"exam_seed": "x"}, "whole number"),
        ({"forms": ("bare",)}, "forms"), ({"forms": "kanj"}, "kanji"),
        ({"forms": ("twenty",), "items": 100, "split": SplitConfig(exam=1e-9)}, "fewer items"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_met_are_refused(options: dict[str, object], says: str) -> None:
    """A setting without effect is an error, not a surprise in the report."""
    with pytest.raises(ConfigError, match=says):
        task(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "name"), [(1024, "skip"), (30000, "zeros"), (7777, "repeat"), (12345, "plain"), (1200, "plain")]
)
def test_patterns_are_named_for_the_tables(number: int, name: str) -> None:
    """Where models fail is seen only by pattern."""
    assert pattern(number) == name


@pytest.mark.parametrize("magnitude", range(2, 16))
def test_numbers_have_the_wanted_magnitude(magnitude: int) -> None:
    """Balanced tables need it."""
    random = Random(magnitude)
    assert all(10**magnitude <= any_number(random, magnitude) < 10 ** (magnitude + 1) for _ in range(500))
