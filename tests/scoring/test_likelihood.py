"""How well right answers were foreseen: exact on paper cases, fair to characters never met."""

from __future__ import annotations

import math

import pytest

from terakoya.scoring.perplexity import (
    UNICODE,
    Surprise,
    bits_per_character,
    by_frequencies,
    escaped,
    novelty,
    perplexity,
)


def test_an_even_guess_among_eight_has_a_perplexity_of_eight() -> None:
    """The unit of the figure is what people think it is."""
    answers = [Surprise(length * math.log(8), length, length - 1) for length in (3, 5, 9)]
    found = perplexity(answers)
    assert found.value == pytest.approx(8) and found.low == pytest.approx(8) and found.n == 3


def test_bits_per_character_do_not_depend_on_how_a_text_was_cut() -> None:
    """Two tokenizers that spread the same surprise over few or many tokens are told apart by perplexity alone."""
    few = [Surprise(20.0, 2, 10), Surprise(30.0, 3, 12)]
    many = [Surprise(20.0, 10, 10), Surprise(30.0, 15, 12)]
    assert bits_per_character(few) == bits_per_character(many)
    assert perplexity(few).value > perplexity(many).value
    assert bits_per_character(few).value == pytest.approx(50 / math.log(2) / 22)


def test_the_interval_holds_the_value_and_narrows_with_items() -> None:
    """A figure without its doubt is half a figure."""
    answers = [Surprise(float(10 + number % 7), 5, 4) for number in range(20)]
    some, more = perplexity(answers), perplexity(answers * 10)
    assert some.low < some.value < some.high
    assert more.high - more.low < (some.high - some.low) / 2
    assert perplexity([Surprise(1e9, 1, 1)] * 2).value < math.inf


def test_chances_with_the_escape_add_up_to_one() -> None:
    """An escape that costs nothing would make a small vocabulary look clever."""
    new = novelty(["aab", "abc"])
    assert new == pytest.approx(1 / 6)
    known = math.exp(-escaped(Surprise(0.0, 1, 1), 0, new).nats)
    stranger = math.exp(-(escaped(Surprise(0.0, 0, 0), 1, new).nats)) * UNICODE
    assert known + stranger == pytest.approx(1)
    taught = ["aab", "abc"]
    alone = [
        math.exp(-(by_frequencies(taught, [char])[0].nats - by_frequencies(taught, [""])[0].nats)) for char in "abc"
    ]
    end = math.exp(-by_frequencies(taught, [""])[0].nats)
    other = math.exp(-(by_frequencies(taught, ["x"])[0].nats - by_frequencies(taught, [""])[0].nats)) * UNICODE
    assert sum(alone) + end + other == pytest.approx(1)


def test_nothing_taught_has_no_novelty() -> None:
    """A foreign exam comes without the answers that were taught."""
    assert novelty([]) == 0
