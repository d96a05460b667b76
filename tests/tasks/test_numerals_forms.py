"""Every written form of a number: written, read back exactly, and refused where malformed."""

from __future__ import annotations

import csv
from importlib import resources
from random import Random

import kanjize
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.errors import DataError
from terakoya.tasks.numerals.reader import LIMIT, read
from terakoya.tasks.numerals.writer import FORMS, can_stand_for, fits, forms_of, write

numbers = st.one_of(
    st.integers(0, LIMIT - 1),
    st.integers(0, 99999),
    st.builds(lambda digits, power: digits * 10**power, st.integers(0, 9999), st.integers(0, 12)),
    st.lists(st.sampled_from([0, 0, 1, 1, 2, 7]), min_size=1, max_size=16).map(lambda ds: int("".join(map(str, ds)))),
)


@settings(max_examples=1500, deadline=None)
@given(number=numbers, seed=st.integers(0, 2**16))
def test_the_reader_reads_every_form_that_the_writer_writes(number: int, seed: int) -> None:
    """The oracle labels millions of examples: one wrong label in a thousand would be the floor of every model."""
    random = Random(seed)
    for form in forms_of(number):
        source = write(number, form, random)
        assert read(source) == number, (form, source)
        assert can_stand_for(source, number) and not can_stand_for(source, number + 1)


def test_every_form_writes_numbers_of_its_own() -> None:
    """A form that never fits would silently be missing from the exam."""
    random = Random(5)
    some = (*range(1, 30), 100, 150, 1020, 10**4, 15000, 10**8)
    for form in FORMS:
        assert {write(number, form, random) for number in some if fits(number, form)}, form


@settings(max_examples=600, deadline=None)
@given(number=st.one_of(st.integers(1, LIMIT - 1), numbers.filter(bool)))
def test_the_reader_agrees_with_kanjize(number: int) -> None:
    """An oracle checked only against itself may be wrong twice in the same way."""
    for style in (kanjize.KanjizeStyle.ALL, kanjize.KanjizeStyle.MIXED, kanjize.KanjizeStyle.FLAT):
        for daiji in (False, True):
            config = kanjize.KanjizeConfiguration(style=style, use_daiji=daiji)
            source = kanjize.number2kanji(number, config)
            assert read(source) == number, source


@settings(max_examples=600, deadline=None)
@given(number=st.integers(1, LIMIT - 1), seed=st.integers(0, 2**16))
def test_kanjize_reads_what_the_writer_writes(number: int, seed: int) -> None:
    """Where both mean the same (plain kanji with units), a stranger reads our spelling as we do."""
    for form in ("kanji", "kanji-one"):
        assert kanjize.kanji2number(write(number, form, Random(seed))) == number


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("〇", 0), ("零", 0), ("0", 0), ("千十", 1010), ("一兆", 10**12), ("七拾二万参千", 723000), ("壹貳參", 123),
        ("百", 100), ("仟", 1000), ("萬", 10000), ("億", 10**8), ("一百", 100), ("壱百", 100), ("壱千兆", 10**15),
        ("廿", 20), ("卅一", 31), ("百卌", 140), ("廿万", 200000), ("一〇二四", 1024), ("二〇二六", 2026),
        ("3万5千", 35000),
        ("1.5億", 150000000), ("1.25万", 12500), ("0.5億", 50000000), ("2億3,400万", 234000000),
        ("１５，０００", 15000),
        ("2百万", 2000000), ("百〇八", 108), ("千〇二十", 1020), ("一億〇五万", 100050000),
        ("1億0500万", 105000000),
        ("一二〇〇万", 12000000), ("千億", 10**11), ("百万一", 1000001), (" 　十二 ", 12),
        ("9,999兆9,999億9,999万9,999", LIMIT - 1),
    ],
)  # fmt: skip
def test_forms_are_read_as_decided(source: str, number: int) -> None:
    """What is ambiguous was decided once and is written in the reader's docstring."""
    assert read(source) == number


@pytest.mark.parametrize(
    "source",
    [
        "", " ", "三二百万億", "万万", "億万", "百万億", "十十", "百千", "二十五六", "万五千", "10000万",
        "〇十", "千〇二百", "05万", "1億050万", "三五百", "百二三十", "千二三", "百三四五",
        "2百3千", "2千345百", "千〇〇〇",
        "一億〇〇五万", "12345千", "101万345千", "12千兆", "二万、", "二万、、五十", "、五十", "千、二百", "1 000",
        "12 万", "千2三", "十万、二十万", "1,2億",
        "十〇", "一万〇", "一億〇五千万", "15,00", "1,5000", "1.5", "1.23456万", "1兆2.5億", "0.0億",
        "0万", "1億0万", "〇万", "3,5",
        "1京", "約三千", "三千円", "三 千", "①", "-5", "一万二万", "廿十", "廿卅", "十廿", "99999999999999999",
        "1.5千", "二十二十",
    ],
)  # fmt: skip
def test_malformed_numerals_are_refused(source: str) -> None:
    """Where the oracle is not sure it abstains: verified decoding relies on it."""
    assert read(source) is None
    assert not can_stand_for(source, 0)


@settings(max_examples=1500, deadline=None)
@given(text=st.text("〇一二三十百千万億兆廿0159,.壱拾", max_size=8))
def test_garbage_is_read_as_a_number_in_range_or_not_at_all(text: str) -> None:
    """The reader sees corrupted sources when predictions are verified; it must neither fail nor leave the range."""
    number = read(text)
    assert number is None or 0 <= number < LIMIT


def test_numbers_out_of_range_and_unknown_forms_are_refused() -> None:
    """Named limits instead of a wrong text."""
    for number in (-1, LIMIT):
        with pytest.raises(DataError, match="out of range"):
            write(number, "kanji", Random(1))
    with pytest.raises(DataError, match="Did you mean 'daiji'"):
        write(5, "daji", Random(1))
    with pytest.raises(DataError, match="not written in the form"):
        write(123456789, "decimal", Random(1))


def test_the_hand_written_exam_holds_200_numerals_that_the_oracle_reads() -> None:
    """The exam was written before the reader; each target is confirmed by it."""
    text = (resources.files("terakoya.tasks") / "exams" / "kannume-200.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 200 == len({row["source"] for row in rows})
    assert [row for row in rows if str(read(row["source"])) != row["target"]] == []
