"""Whole groups go to one split, and the same example to the same split."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.config import SplitConfig
from terakoya.data.split import group_of, hash_position, is_stable, parse_split_name, split_examples, split_of
from terakoya.errors import DataError
from terakoya.records import Example, Split, Turn

METHODS = ("hash", "exact", "stratified")


def drawn(random: Random, rows: int = 0) -> list[Example]:
    """Rows with repeated sources in several spellings, groups of their own, and few targets."""
    found = []
    for _ in range(rows or random.randint(8, 60)):
        number = random.randint(0, 40)
        text = random.choice(["{}", " {} ", "{}\u200b", "{}　"]).format(number)
        text = text.translate({48 + n: 0xFF10 + n for n in range(10)}) if random.random() < 0.3 else text
        group = f"g{number % 7}" if random.random() < 0.2 else ""
        found.append(Example(text, random.choice("abc"), group=group, tags=(("kind", str(number % 3)),)))
    return found


def how(method: str = "hash", **more: object) -> SplitConfig:
    return SplitConfig.model_validate({"method": method, "dev": 0.2, "exam": 0.2} | more)


def splits_of(split: Split) -> dict[str, set[str]]:
    """Group → splits that hold it."""
    found: dict[str, set[str]] = {}
    for name in ("train", "dev", "exam"):
        for example in getattr(split, name):
            found.setdefault(group_of(example), set()).add(name)
    return found


def test_no_group_is_in_two_splits_in_a_thousand_data_sets() -> None:
    """十 was in train and in test of the numerals log: that score was memory."""
    cut = 0
    for seed in range(1000):
        random = Random(seed)
        rows = drawn(random)
        try:
            split = split_examples(rows, how(random.choice(METHODS), salt=str(seed)))
        except DataError:
            continue  # fewer than three groups, or nothing left to train on
        cut += 1
        assert all(len(splits) == 1 for splits in splits_of(split).values()), seed
        assert len(split.train) + len(split.dev) + len(split.exam) == len(rows)
    assert cut > 950


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_name_their_group_stay_together_whatever_their_text(method: str) -> None:
    """The groups are counted here by the rows' own names, not by the function under test."""
    rows = [Example(f"文{number}", "a", group=f"g{number % 40}") for number in range(400)]
    rows += [Example(text, "b") for number in range(400, 480) for text in (f"項目{number}", f" 項目{number}　")]
    split = split_examples(rows, how(method))
    sides: dict[str, set[str]] = {}
    for side in ("train", "dev", "exam"):
        for row in getattr(split, side):
            sides.setdefault(row.group or row.source.strip(), set()).add(side)
    assert len(sides) == 40 + 80
    assert all(len(found) == 1 for found in sides.values())
    assert all(side in set().union(*sides.values()) for side in ("train", "dev", "exam"))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([*METHODS, "folds"]))
def test_the_order_of_rows_has_no_say(seed: int, method: str) -> None:
    """janum scored .3 in one order of its rows and .7 in another."""
    random = Random(seed)
    rows = drawn(random, 40)
    config = how(folds=4, fold=seed % 4) if method == "folds" else how(method)
    one, two = split_examples(rows, config), split_examples(random.sample(rows, len(rows)), config)
    for name in ("train", "dev", "exam"):
        assert sorted(map(repr, getattr(one, name))) == sorted(map(repr, getattr(two, name)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_a_stable_split_stays_when_rows_are_added(seed: int, folds: bool) -> None:
    """An exam that moves with every new row can never be compared with itself."""
    random = Random(seed)
    config = how(folds=5) if folds else how()
    assert is_stable(config)
    before, more = drawn(random, 40), drawn(random, 40)
    was, now = splits_of(split_examples(before, config)), splits_of(split_examples([*more, *before], config))
    assert all(now[group] == splits for group, splits in was.items())


def test_what_is_not_stable_says_so() -> None:
    assert [is_stable(how(method)) for method in ("hash", "column", "exact", "stratified", "tail")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_a_larger_dev_never_moves_the_exam() -> None:
    for number in range(500):
        assert (split_of(str(number), dev=0.1) == "exam") == (split_of(str(number), dev=0.4) == "exam")


def test_shares_are_kept_on_the_whole() -> None:
    rows = [Example(f"row {number}", "x") for number in range(5000)]
    split = split_examples(rows, how(dev=0.1, exam=0.2))
    assert abs(len(split.exam) / 5000 - 0.2) < 0.02 and abs(len(split.dev) / 5000 - 0.1) < 0.02


def test_exact_sizes_are_exact() -> None:
    rows = [Example(f"row {number}", "x") for number in range(200)]
    split = split_examples(rows, how("exact", exam_items=40, dev_items=7))
    assert (len(split.train), len(split.dev), len(split.exam)) == (153, 7, 40)
    with pytest.raises(DataError, match="200 rows"):
        split_examples(rows, how("exact", exam_items=150, dev_items=60))


def test_strata_have_their_share_of_every_split() -> None:
    """A rare kind that is missing from the exam by chance is not measured at all."""
    rows = [Example(f"row {n}", "rare" if n % 20 == 0 else "usual") for n in range(1000)]
    split = split_examples(rows, how("stratified", dev=0.1, exam=0.1))
    rare = [sum(e.target == "rare" for e in part) for part in (split.train, split.dev, split.exam)]
    assert rare == [40, 5, 5]


def test_strata_of_single_rows_are_cut_together() -> None:
    """Sets of labels hardly ever repeat: cut one by one, each would go to train and the exam would be empty."""
    split = split_examples(
        [Example(f"row {n}", f"target {n}") for n in range(300)], how("stratified", dev=0.1, exam=0.1)
    )
    assert (len(split.dev), len(split.exam)) == (30, 30)


def test_a_tag_can_be_the_stratum() -> None:
    rows = [Example(f"row {n}", str(n), tags=(("kind", "a" if n % 4 else "b"),)) for n in range(400)]
    split = split_examples(rows, how("stratified", dev=0.1, exam=0.1, stratify="kind"))
    assert sum(example.tag("kind") == "b" for example in split.exam) == 10


def test_every_row_is_in_the_exam_of_one_fold() -> None:
    rows = [Example(f"row {number}", "x") for number in range(200)]
    folds = [split_examples(rows, how(folds=5, fold=fold)) for fold in range(5)]
    assert sorted(e.source for fold in folds for e in fold.exam) == sorted(row.source for row in rows)
    with pytest.raises(DataError, match="fold"):
        split_examples(rows, how(folds=5, fold=5))


def test_the_authors_own_column_is_respected() -> None:
    rows = [Example(str(n), "x") for n in range(6)]
    split = split_examples(
        rows, how("column"), split_column=["train", "Test ", "validation", "dev", "exam", "training"]
    )
    assert [e.source for e in split.train] == ["0", "5"] and [e.source for e in split.exam] == ["1", "4"]
    with pytest.raises(DataError, match="1 rows do not name a split"):
        split_examples(rows, how("column"), split_column=["train"] * 5 + ["later"])
    with pytest.raises(DataError, match="later"):
        parse_split_name("later")


def test_memorised_examples_are_in_train_and_scored_apart() -> None:
    """Idioms can only be memorised: they are in train, and scored apart."""
    rows = [Example(f"row {number}", "x", origin="idiom" if number < 50 else "") for number in range(200)]
    split = split_examples(rows, how(), memorised=lambda example: example.origin == "idiom")
    assert sum(e.origin == "idiom" for e in split.train) == 50
    memorised = [e for e in split.exam if e.subset == "memorised"]
    assert memorised and all(e.origin == "idiom" for e in memorised)


def test_another_salt_is_another_split() -> None:
    rows = [Example(f"row {number}", "x") for number in range(200)]
    assert split_examples(rows, how(salt="a")).exam_fingerprint != split_examples(rows, how(salt="b")).exam_fingerprint


def test_a_conversation_is_its_turns_too() -> None:
    """「はい」 after two different questions is two examples, not one."""
    one, two = (Example("はい", "x", turns=(Turn("user", text),)) for text in ("行く？", "食べる？"))
    assert group_of(one) != group_of(two)


def test_too_little_to_part_is_refused() -> None:
    with pytest.raises(DataError, match="fewer than 3 groups"):
        split_examples([Example("1", "x"), Example("１", "x"), Example("2", "y")], how())


def test_a_group_has_the_same_position_in_every_version() -> None:
    """Recorded positions: another hash, or another salt by default, would move rows between the splits of old runs."""
    assert hash_position("雨") == hash_position("雨", "")
    found = [hash_position("雨"), hash_position("a b"), hash_position("雨", "2")]
    assert found == pytest.approx([0.57361021111075, 0.88108428439842, 0.45167096177721], abs=1e-12)
    assert [split_of("雨", dev=0.0, exam=found[0] + 1e-9), split_of("雨", dev=1e-9, exam=found[0])] == ["exam", "dev"]
