"""Whole groups go to one split, and the same example to the same split."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.config import SplitConfig
from terakoya.data.split import (
    group_of,
    hash_position,
    is_split_name,
    is_stable,
    parse_split_name,
    split_examples,
    split_of,
)
from terakoya.errors import DataError
from terakoya.records import Example, Split, Turn, fingerprint

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


def _sides(split: Split) -> list[str]:
    """The split of each row, in the order of their numbers."""
    sides = {int(row.source): name for name in ("train", "dev", "exam") for row in getattr(split, name)}
    return [sides[number] for number in sorted(sides)]


def _numbered(rows: int, **more: str) -> list[Example]:
    return [Example(str(number), "x", row=number + 1, **more) for number in range(rows)]


def test_the_tail_is_the_exam_and_what_stands_before_it_dev() -> None:
    split = split_examples(_numbered(20), how("tail", dev=0.1, exam=0.25))
    assert _sides(split) == ["train"] * 13 + ["dev"] * 2 + ["exam"] * 5 and split.method == "tail"
    sized = split_examples(_numbered(20), how("tail", dev_items=3, exam_items=1))
    assert _sides(sized) == ["train"] * 16 + ["dev"] * 3 + ["exam"]


@pytest.mark.parametrize("fold", range(4))
def test_a_fold_is_a_quarter_of_the_positions_and_dev_the_one_behind_it(fold: int) -> None:
    rows = _numbered(60)
    split = split_examples(rows, how(folds=4, fold=fold, salt="s"))
    numbers = [int(hash_position(row.source, "s") * 4) for row in rows]
    wanted = {fold: "exam", (fold + 1) % 4: "dev"}
    assert _sides(split) == [wanted.get(number, "train") for number in numbers]


def test_a_fold_that_cannot_be_is_refused() -> None:
    for folds, fold in ((2, 0), (3, 3), (4, 9)):
        with pytest.raises(DataError) as caught:
            split_examples(_numbered(20), how(folds=folds, fold=fold))
        assert caught.value.what == f"there is no fold {fold} of {folds}"
        assert caught.value.do == "Set split.folds to 3 or more and split.fold below it."
    assert split_examples(_numbered(30), how(folds=3, fold=2)).train


def test_the_hash_of_a_group_decides_with_the_salt() -> None:
    rows = [*_numbered(40), Example("40", "x", group="own")]
    split = split_examples(rows, how(dev=0.3, exam=0.2, salt="s"))
    positions = [hash_position(row.group or row.source, "s") for row in rows]
    assert _sides(split) == ["exam" if at < 0.2 else "dev" if at < 0.2 + 0.3 else "train" for at in positions]
    assert split.method == "hash"


def test_exact_sizes_are_filled_with_whole_groups_in_hash_order() -> None:
    """Groups of two, and an exam of three: one group, and what is left goes on to the next group that fits."""
    rows = [Example(str(number), "x", group=f"g{number // 2}") for number in range(16)]
    rows.append(Example("16", "x", group="alone"))
    split = split_examples(rows, how("exact", exam_items=3, dev_items=4, salt="z"))
    order = sorted({row.group for row in rows}, key=lambda group: fingerprint("z", group))
    left, sides = {"exam": 3, "dev": 4}, dict.fromkeys(order, "train")
    for group in order:
        size = 1 if group == "alone" else 2
        side = next((name for name in ("exam", "dev") if left[name] >= size), "train")
        sides[group] = side
        left[side] = left.get(side, 99) - size
    assert _sides(split) == [sides[row.group] for row in rows] and "train" in sides.values()


def test_refusals_say_what_to_change() -> None:
    """Rows are named with their numbers in the file, at most five of them."""
    for made, what, do in (
        (lambda: split_examples(_numbered(10), how("exact", exam_items=6, dev_items=4)),
         "10 rows cannot give 6 for the exam and 4 for dev", "Lower split.exam or split.dev."),
        (lambda: split_examples(_numbered(2), how()),
         "2 examples in fewer than 3 groups cannot be split into train, dev and exam",
         "Bring more examples, or name files of your own with task.dev and task.exam."),
        (lambda: split_examples(_numbered(3), how("column"), split_column=["test", "dev", "val"]),
         "the split leaves nothing to train on", "Lower split.dev and split.exam."),
        (lambda: split_examples(_numbered(3), how("column")),
         "the method 'column' needs a split column", "Name it with task.split."),
        (lambda: split_examples(_numbered(8), how("column"), split_column=["train", *"abcdef", "dev"]),
         "6 rows do not name a split (row 2: 'a', row 3: 'b', row 4: 'c', row 5: 'd', row 6: 'e')",
         "Write train, dev or exam (test) in the split column."),
        (lambda: parse_split_name("later"), "'later' is no name of a split",
         "Write train, dev or exam (test) in the split column."),
    ):  # fmt: skip
        with pytest.raises(DataError) as caught:
            made()
        assert (caught.value.what, caught.value.do) == (what, do)
    assert len(split_examples(_numbered(10), how("exact", exam_items=5, dev_items=4)).train) == 1
    assert split_examples(_numbered(3), how("column"), split_column=["train", "dev", "dev"]).exam == ()


def test_words_for_splits_in_any_case() -> None:
    words = {
        "train": "train", "Training": "train", "dev": "dev", "VAL": "dev", "valid": "dev", " validation ": "dev",
        "exam": "exam", "Test": "exam", "eval": "exam",
    }  # fmt: skip
    assert {word: parse_split_name(word) for word in words} == words
    assert all(map(is_split_name, words)) and not is_split_name("later") and not is_split_name("")


def test_memorised_examples_outside_train_are_marked() -> None:
    rows = _numbered(4)
    split = split_examples(
        rows, how("column"), split_column=["train", "dev", "exam", "exam"], memorised=lambda row: row.source != "3"
    )
    assert [row.source for row in split.train] == ["0", "1", "2"] and {row.subset for row in split.train} == {""}
    assert [(row.source, row.subset) for row in split.dev] == [("1", "memorised")]
    assert [(row.source, row.subset) for row in split.exam] == [("2", "memorised"), ("3", "")]


def test_small_strata_are_pooled_and_the_others_divided_each() -> None:
    """A stratum below ten rows cannot give a row to an exam of a tenth: six of five rows are cut as thirty."""
    rows = [Example(str(number), f"small {number // 5}" if number < 30 else "large") for number in range(70)]
    split = split_examples(rows, how("stratified", dev=0.1, exam=0.1))
    large = [sum(row.target == "large" for row in part) for part in (split.train, split.dev, split.exam)]
    assert large == [32, 4, 4] and (len(split.dev), len(split.exam)) == (7, 7)
    ten = [Example(str(number), f"t{number // 10}") for number in range(30)]
    each = split_examples(ten, how("stratified", dev=0.1, exam=0.1))
    assert sorted(row.target for row in each.exam) == sorted(row.target for row in each.dev) == ["t0", "t1", "t2"]
    none = split_examples(ten, how("stratified", dev=0.0, exam=0.0))
    assert len(none.train) == 30
