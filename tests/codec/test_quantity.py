"""Lines with quantities: products computed exactly, one form for equal values, and held to while an answer grows."""

from __future__ import annotations

import json
from fractions import Fraction
from importlib import resources

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from terakoya.codec.choose import choose_codec
from terakoya.codec.quantity import quantity_codec
from terakoya.codec.recipe_numbers import read_number
from terakoya.errors import DataError

CODEC = quantity_codec()
ALPHABET = "<*>/.12５½半と大さじやっ個gあ 〜"
numbers = st.sampled_from(
    ["1", "12", "250", "1.5", "3/4", "½", "1½", "1と1/2", "1・1/2", "２５０", "１／２", "半", "1,000"]
)
products = st.builds(lambda one, other: f"<{one}*{other}>", numbers, numbers)
pieces = st.one_of(st.text("あ個g<>*/.12 大さじ〜（）", max_size=5), products, numbers)
targets = st.lists(pieces, min_size=1, max_size=6).map("".join).filter(bool)


@settings(max_examples=400, deadline=None)
@given(target=targets)
def test_every_target_survives_being_written_and_read_back(target: str) -> None:
    """What cannot be read back cannot be scored; and decoding must let every written text grow."""
    written = CODEC.write(target)
    assert CODEC.read(written) == CODEC.canonical(target)
    assert CODEC.complete(written)
    assert all(CODEC.viable(written[:end]) for end in range(len(written) + 1))


@settings(max_examples=300, deadline=None)
@given(target=targets)
@example("1/1個半")
@example("<1*1>個半")
def test_the_canonical_form_is_settled(target: str) -> None:
    """Answers are compared in it: settling twice must change nothing."""
    settled = CODEC.canonical(target)
    assert CODEC.canonical(settled) == settled


@settings(max_examples=300, deadline=None)
@given(text=st.text(ALPHABET, max_size=9), more=st.text(ALPHABET, max_size=4))
def test_what_is_not_viable_can_no_longer_become_complete(text: str, more: str) -> None:
    """Constrained decoding must forbid exactly what leads nowhere."""
    assert CODEC.complete(text) == (CODEC.read(text) is not None)
    if CODEC.complete(text + more):
        assert all(CODEC.viable((text + more)[:end]) for end in range(len(text + more) + 1))


@pytest.mark.parametrize("prefix", ["<1さやと1/1/", "<1さやと1/1 さ", "<1さやと1/1,"])
def test_what_follows_a_half_behind_its_unit_is_the_factor(prefix: str) -> None:
    """A pattern that looks ahead took these for beginnings of a product, and the decoder stood before nothing."""
    assert CODEC.viable("<1さやと1/1*")
    assert not CODEC.viable(prefix)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_viable_prefix_can_always_be_completed(data: st.DataObject) -> None:
    """A decoder that walks only through viable prefixes must never stand before nothing."""
    text = ""
    for _ in range(12):
        text += data.draw(st.sampled_from([char for char in ALPHABET if CODEC.viable(text + char)]))
    for _ in range(12):
        if CODEC.complete(text):
            break
        text += next(char for char in ">*1/<半やっ" if CODEC.viable(text + char))
    assert CODEC.complete(text)


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        ("大根 <5/4*5/2>本（約<300*5/2>g）", "大根 25/8本（約750g）"),
        ("しょうゆ 大さじ<1/2*3>", "しょうゆ 大さじ3/2"),
        ("砂糖 大さじ<1と1/2*2>", "砂糖 大さじ3"),
        ("水 <1.5*1.5>カップ", "水 9/4カップ"),
        ("薄力粉 <125*1.5>g", "薄力粉 187.5g"),
        ("牛乳 <200*4/3>ml", "牛乳 800/3ml"),
        ("肉 <２５０*1/2>ｇ", "肉 125ｇ"),
        ("豆腐 <半*3>丁", "豆腐 3/2丁"),
        ("卵 <2*1.5>〜<3*1.5>個", "卵 3〜9/2個"),
        ("謎 <1.5*1.5>ふが", "謎 2.25ふが"),
        ("塩 少々", "塩 少々"),
        ("ねぎ <1本半*2>", "ねぎ 3本"),
        ("米 1合半", "米 3/2合"),
        ("酒 大さじ<1 1/2*2>", "酒 大さじ3"),
        ("水 <2半*2>カップ", "水 5カップ"),
        ("だし汁 <25*1.5> ml", "だし汁 37.5 ml"),
        ("卵 <三*2>個、にんにく <ひと*1/2>かけ", "卵 6個、にんにく 1/2かけ"),
        ("八丁味噌 <1本と半分*2>", "八丁味噌 3本"),
    ],
)
def test_products_are_computed_exactly(target: str, canonical: str) -> None:
    """The model points at what scales; the arithmetic is never guessed."""
    assert CODEC.canonical(target) == canonical


@pytest.mark.parametrize(
    "forms",
    [
        ("大さじ1と1/2", "大さじ3/2", "大さじ1・1/2", "大さじ１．５", "大さじ1½", "大さじ6/4"),
        ("3/2L", "1.5L", "1と1/2L"),
        ("４個", "4個", "8/2個"),
    ],
)
def test_equal_values_have_one_form(forms: tuple[str, ...]) -> None:
    """大さじ1と1/2 is as right as 大さじ3/2."""
    assert len({CODEC.canonical(f"水 {form}") for form in forms}) == 1


@pytest.mark.parametrize(
    "text",
    ["（３cm幅）", "6枚切り", "牛乳（3.6％）", "薄力粉（No.1）", "スパゲッティ（1.60mm）", "めんつゆ（３倍濃縮）"],
)
def test_numbers_that_are_no_quantities_keep_their_spelling(text: str) -> None:
    """A name that is changed by the codec is no longer the cook's."""
    assert CODEC.canonical(text) == text


def test_every_accepted_target_of_the_hand_written_exam_has_the_canonical_form() -> None:
    """One canonical form, and always one that a person wrote down as right."""
    file = resources.files("terakoya.tasks") / "exams" / "recipe-lines.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        right = [row["target"], *row["accepted"]]
        assert {CODEC.canonical(form) for form in right} <= set(right)
        assert len({CODEC.canonical(form) for form in right}) == 1


def test_a_sign_that_opens_no_product_stays_text() -> None:
    """Recipe sites write <A> before a seasoning."""
    assert CODEC.write("<A> 酢 <1*2>本") == "<<A> 酢 <1*2>本"
    assert CODEC.read("<<A> 酢 <1*2>本") == "<A> 酢 2本"


@pytest.mark.parametrize("raw", ["", "<", "<1", "<1*", "<1*2", "<a>", "<1/0*2>", "<1>", "<*2>", "x<1 *2>"])
def test_a_malformed_prediction_is_unreadable(raw: str) -> None:
    """Unreadable is not wrong: the two need different cures."""
    assert CODEC.read(raw) is None and not CODEC.complete(raw)


def test_full_larger_units_are_written_as_such_where_that_is_wanted() -> None:
    """小さじ3 is 大さじ1 to a cook; an option, for not all recipes want it."""
    codec = quantity_codec(promote=True)
    for target, promoted in (
        ("塩 小さじ<1*3>", "塩 大さじ1"), ("塩 小さじ<2*2>", "塩 小さじ4"), ("肉 <500*3>g", "肉 1.5kg"),
        ("水 <250*4>ml", "水 1L"), ("酒 小さじ<1*6>〜<2*6>", "酒 大さじ2〜4"),
        ("塩 小さじ<1*3>〜<2*2>", "塩 小さじ3〜4"),
    ):  # fmt: skip
        assert codec.canonical(target) == promoted == codec.read(codec.write(target))
        assert codec.canonical(promoted) == promoted


def test_numbers_are_exact_fractions_and_what_is_none_is_refused() -> None:
    """0.1 is a tenth, not its neighbour in binary."""
    assert read_number("0.1") == Fraction(1, 10) and read_number("1と1/3") == Fraction(4, 3)
    assert read_number("１½") == Fraction(3, 2) and read_number("1,250") == 1250
    assert read_number("1 1/2") == read_number("2半") - 1 == read_number("1+1/2") == Fraction(3, 2)
    assert read_number(".5") == read_number("半") and read_number("二百十三") == 213 and read_number("ふた") == 2
    for text in ("", "1/0", "二三", "1  1/2", "-1", "1,5"):
        with pytest.raises(DataError):
            read_number(text)
    with pytest.raises(DataError):
        CODEC.write("")


def test_a_config_that_names_it_gets_it() -> None:
    """A user's table of quantities needs one word in its config."""
    assert choose_codec("quantity", []).name == "quantity"
