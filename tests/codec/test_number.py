"""Numbers in every notation: written, read back, and constrained while a prediction grows."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terakoya.codec.arithmetic import as_decimal, is_working, worked_out
from terakoya.codec.number import MAX_DIGITS, NOTATIONS, canonical_number, number_codec
from terakoya.errors import ConfigError, DataError

ALPHABETS = {
    "plain": "0159-.", "bracketed": "0159-.()", "groups": "0159,", "short-groups": "0159,", "pds": "0159_ ",
    "exponent": "01569e-() ", "reversed": "0159", "calculator": "0123456789-.*/+",
}  # fmt: skip
SIGNED = ("plain", "bracketed", "exponent", "calculator")

numbers = st.one_of(
    st.integers(0, 10**16 - 1),
    st.builds(lambda digit, power: digit * 10**power, st.integers(0, 9999), st.integers(0, 12)),
    st.builds(
        lambda one, other, power: one * 10**power + other, st.integers(1, 9), st.integers(0, 99), st.integers(2, 15)
    ),
)
decimals = st.builds(
    lambda whole, rest: f"{whole}.{rest}", st.integers(-(10**6), 10**6), st.text("0123456789", min_size=1, max_size=6)
)


@pytest.mark.parametrize("notation", NOTATIONS)
@settings(max_examples=150, deadline=None)
@given(number=numbers)
def test_every_number_survives_being_written_and_read_back(notation: str, number: int) -> None:
    """What cannot be read back cannot be judged; and decoding must let every written number grow."""
    codec = number_codec(notation)
    written = codec.write(str(number))
    assert codec.read(written) == str(number)
    assert codec.complete(written)
    assert all(codec.viable(written[:end]) for end in range(len(written) + 1))


@pytest.mark.parametrize("notation", SIGNED)
@settings(max_examples=150, deadline=None)
@given(text=decimals)
def test_negatives_and_decimals_survive_where_the_notation_knows_them(notation: str, text: str) -> None:
    """janum needs 0.5 and −2."""
    codec = number_codec(notation)
    written = codec.write(text)
    assert codec.read(written) == canonical_number(text)
    assert all(codec.viable(written[:end]) for end in range(len(written) + 1))


@pytest.mark.parametrize("notation", NOTATIONS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_is_not_viable_can_no_longer_become_complete(notation: str, data: st.DataObject) -> None:
    """Constrained decoding must forbid exactly what leads nowhere: checked against all endings of two characters."""
    alphabet, codec = ALPHABETS[notation], number_codec(notation)
    text = data.draw(st.text(alphabet, max_size=7))
    if data.draw(st.booleans()):
        written = codec.write(str(data.draw(numbers)))
        text = written[: data.draw(st.integers(0, len(written)))] + data.draw(st.text(alphabet, max_size=2))
    assert codec.complete(text) == (codec.read(text) is not None)
    endings = ["", *alphabet, *(one + other for one in alphabet for other in alphabet)]
    if any(codec.complete(text + ending) for ending in endings):
        assert codec.viable(text)


@pytest.mark.parametrize("notation", NOTATIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_viable_prefix_can_always_be_completed(notation: str, data: st.DataObject) -> None:
    """A decoder that walks only through viable prefixes must never stand before nothing."""
    codec, text = number_codec(notation), ""
    for _ in range(14):
        ways = [char for char in ALPHABETS[notation] if codec.viable(text + char)]
        assert ways or codec.complete(text), f"{text!r} leads nowhere"
        if not ways:
            break
        text += data.draw(st.sampled_from(ways))
    for _ in range(12):
        if codec.complete(text):
            break
        text += next(char for char in ")_ 9876543210e-." if codec.viable(text + char))
    assert codec.complete(text)


@pytest.mark.parametrize(
    ("notation", "number", "written"),
    [
        ("bracketed", "15000", "(15000)"),
        ("groups", "15000", "0001,5000"),
        ("groups", "0", "0000"),
        ("short-groups", "100000020", "1,,20"),
        ("pds", "15000", "_ 1 05 5 04 _"),
        ("pds", "500000000000", "_ 5 012 _"),
        ("exponent", "15000", "( 1e4 5e3 )"),
        ("exponent", "-2", "( - 2e0 )"),
        ("exponent", "10.25", "( 1e1 2e-1 5e-2 )"),
        ("exponent", "0", "( 0e0 )"),
        ("reversed", "15000", "00051"),
    ],
)
def test_notations_are_spelled_as_in_the_log(notation: str, number: str, written: str) -> None:
    """A record of 2026 must be readable beside the log's tables."""
    assert number_codec(notation).write(number) == written


@pytest.mark.parametrize(
    ("notation", "raw"),
    [
        ("plain", "007"), ("plain", "1.50"), ("plain", "-0"), ("plain", ""), ("bracketed", "15000"),
        ("bracketed", "(15000"),
        ("groups", "0000,5000"), ("groups", "1,5000"), ("groups", "0001,500"), ("short-groups", "1,0020"),
        ("short-groups", ",5"), ("pds", "_ _"), ("pds", "_ 5 04 1 05 _"), ("pds", "_ 5 04 1 04 _"),
        ("pds", "_ 0 05 _"),
        ("exponent", "( 5e3 1e4 )"), ("exponent", "( 5e3 4e3 )"), ("exponent", "( - 0e0 )"),
        ("exponent", "( 5e96 )"),
        ("reversed", "50"), ("reversed", "-5"),
    ],
)  # fmt: skip
def test_a_malformed_prediction_is_unreadable(notation: str, raw: str) -> None:
    """Unreadable is not wrong: the two need different cures."""
    assert number_codec(notation).read(raw) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("007", "7"), ("1.50", "1.5"), ("1,000", "1000"), ("１２，３４５", "12345"), ("−2", "-2"), ("-0.0", "0"),
        ("+5", "5"),
        (".5", "0.5"), ("(15000)", "15000"), ("（0.5）", "0.5"), (" 3 ", "3"), ("1.0", "1"), ("0", "0"),
    ],
)  # fmt: skip
def test_equal_numbers_have_one_canonical_form(text: str, canonical: str) -> None:
    """Text stays text in the table; equal values are compared as equal."""
    assert canonical_number(text) == canonical
    assert canonical_number(canonical) == canonical


@pytest.mark.parametrize("text", ["", "十", "1,00", "1e3", "1/2", "--1", "5.", "NaN", "1 000", "٣", "1.2.3", "()"])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    """A person can only mend a row that is named."""
    with pytest.raises(DataError, match="no number") as refusal:
        canonical_number(text)
    assert repr(text) in str(refusal.value)


def test_a_notation_says_what_it_cannot_write() -> None:
    """Refused before training, not learnt wrongly."""
    for notation in sorted(set(NOTATIONS) - set(SIGNED)):
        for target in ("-2", "0.5"):
            with pytest.raises(DataError, match=target):
                number_codec(notation).write(target)
    with pytest.raises(DataError, match="digits"):
        number_codec("plain").write("9" * (MAX_DIGITS + 1))


def test_the_longest_number_is_written_in_every_notation() -> None:
    """The bound is the same everywhere, so that changing the notation never loses rows."""
    for notation in NOTATIONS:
        codec = number_codec(notation)
        assert codec.read(codec.write("9" * MAX_DIGITS)) == "9" * MAX_DIGITS


def test_an_unknown_notation_is_offered_its_neighbour() -> None:
    """One letter wrong should not cost a search through the docs."""
    with pytest.raises(ConfigError, match="exponent"):
        number_codec("exponents")


def test_a_refusal_says_what_is_wrong_and_what_to_do() -> None:
    """In these words, with the target as the data has it."""
    digits = "1" * 97
    for made, what, do in (
        (lambda: canonical_number("十"), "'十' is no number",
         "Write it in digits, as in 15000, 1,000, -2 or 0.5; or choose another codec."),
        (lambda: canonical_number(digits), f"'{digits[:20]}'… has more than 96 digits",
         'Such a thing is a text: set codec = "text".'),
        (lambda: canonical_number(f"0.{digits}"), f"'0.{digits[:18]}'… has more than 96 digits",
         'Such a thing is a text: set codec = "text".'),
        (lambda: number_codec("pds").write("-2"),
         "'-2' cannot be written in the notation 'pds', which knows whole numbers from 0 on",
         "Choose the notation plain, bracketed or exponent."),
        (lambda: number_codec("calculator").canonical("1/3"), "'1/3' has no end as a decimal",
         "Leave it out, or choose another codec."),
        (lambda: number_codec("calculator").write("2+1/7"), "'2+1/7' has no end as a decimal",
         "Leave it out, or choose another codec."),
    ):  # fmt: skip
        with pytest.raises(DataError) as caught:
            made()
        assert (caught.value.what, caught.value.do) == (what, do)
    with pytest.raises(ConfigError) as refused:
        number_codec("plane")
    assert (refused.value.what, refused.value.where) == ("there is no notation 'plane' for numbers", "notation")
    assert "Did you mean 'plain'" in refused.value.do


def test_numbers_of_as_many_digits_as_there_may_be() -> None:
    assert canonical_number("9" * 96) == "9" * 96 and canonical_number("0" * 200 + "7") == "7"
    assert canonical_number("0." + "5" * 96 + "0") == "0." + "5" * 96
    assert [canonical_number(text) for text in ("-0", "-.0", "+0.50", "( -1,234,567.80 )", "0,123")] == [
        "0", "0", "0.5", "-1234567.8", "123",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("notation", "number", "written"),
    [
        ("groups", "12345", "0001,2345"), ("groups", "1234", "1234"), ("groups", "123400000000", "1234,0000,0000"),
        ("short-groups", "0", "0"), ("short-groups", "12345", "1,2345"), ("short-groups", "100050000", "1,5,"),
        ("pds", "0", "_ 0 01 _"), ("pds", "7", "_ 7 01 _"), ("exponent", "-0.05", "( - 5e-2 )"),
        ("exponent", "100.001", "( 1e2 1e-3 )"), ("reversed", "0", "0"), ("plain", "-0.5", "-0.5"),
        ("bracketed", "-0.5", "(-0.5)"), ("calculator", "2+3/8", "2+3/8"), ("calculator", "1,000", "1000"),
    ],
)  # fmt: skip
def test_more_numbers_are_spelled_as_by_hand(notation: str, number: str, written: str) -> None:
    codec = number_codec(notation)
    assert codec.write(number) == written
    assert codec.read(written) == codec.canonical(number)
    assert codec.name == f"number:{notation}"


@pytest.mark.parametrize(
    ("prefix", "viable"),
    [
        ("_ 1 096", True), ("_ 1 097", False), ("_ 1 09", True), ("_ 1 05 2 05", False), ("_ 1 05 2 04", True),
        ("_ 1 01 2", False), ("_ 1 02 2", True), ("_ 1 02 2 0", True), ("_ 1 01 ", True), ("_ 1 01 _", True),
        ("_ 1 012 2 02", True), ("_ 1 02 2 01", True), ("_ 0 01 _", True), ("_ 0 02", False),
    ],
)  # fmt: skip
def test_positions_fall_while_a_number_is_written(prefix: str, viable: bool) -> None:
    assert number_codec("pds").viable(prefix) == viable


@pytest.mark.parametrize(
    ("prefix", "viable"),
    [
        ("( 1e95", True), ("( 1e96", False), ("( 1e-96", True), ("( 1e-97", False), ("( 1e0 2e", True),
        ("( 1e0 2e0", False), ("( 1e-96 2", False), ("( 1e-95 2e-9", True), ("( 1e-95 2e-8", False), ("( - 0", False),
        ("( 1e-1 2e-", True), ("( 1e-1 2e1", False),
    ],
)  # fmt: skip
def test_exponents_fall_while_a_number_is_written(prefix: str, viable: bool) -> None:
    assert number_codec("exponent").viable(prefix) == viable


@pytest.mark.parametrize(
    ("prefix", "viable"),
    [
        ("1/3", True), ("1/3000", False), ("1/", True), ("1/3+", False), ("3/3+1", True), ("1/4+1/7", False),
        ("1/4+7/7", True), ("1.0005*", True), ("1.00005*", False),
        ("7/7", True), ("1/9999", False), ("12*144", True), ("12*14400", False), ("0", True), ("00", False),
        ("1/3125", True), ("1/312", True), ("1/3126", False), ("2+3+4", False), ("1.25*8", True),
    ],
)  # fmt: skip
def test_a_working_can_be_finished_or_not(prefix: str, viable: bool) -> None:
    """1/3 may become 1/32; 1/3000 never ends, and has no room for more."""
    assert number_codec("calculator").viable(prefix) == viable


@pytest.mark.parametrize(
    ("working", "value"),
    [
        ("12*144", "1728"), ("3/4", "0.75"), ("2+3/8", "2.375"), ("7/20", "0.35"), ("1.5*4", "6"), ("0.5/4", "0.125"),
        ("1/8+1/8", "0.25"), ("10/5", "2"), ("0", "0"), ("0*5", "0"), ("1/3", None), ("1/3+2/3", None), ("6/3", "2"),
        ("1/1024", "0.0009765625"), ("100/8", "12.5"),
    ],
)  # fmt: skip
def test_a_working_has_its_value(working: str, value: str | None) -> None:
    assert is_working(working) and worked_out(working) == value
    assert number_codec("calculator").read(working) == value


def test_what_is_no_working_has_no_value() -> None:
    for text in ("", "1-2", "1+2+3", "01", "1/0", "12*01", "1.50", "1*2*3", "1234567890", "1/12345"):
        assert not is_working(text)
        with pytest.raises(ValueError, match=r".*"):
            worked_out(text)
    assert [as_decimal(Fraction(*one)) for one in ((-7, 20), (5, 1), (-3, 1), (1, 1000), (12345, 100))] == [
        "-0.35", "5", "-3", "0.001", "123.45",
    ]  # fmt: skip
