"""Perplexity of right outputs: exact on paper cases, fair to unseen characters."""

from __future__ import annotations

import math

import pytest

from terakoya.scoring.perplexity import (
    UNICODE,
    NegativeLogLikelihood,
    bits_per_character,
    character_frequency_nll,
    perplexity,
    unseen_probability,
    with_escape,
)


def test_a_uniform_guess_among_eight_has_a_perplexity_of_eight() -> None:
    """The unit of the value is what people think it is."""
    references = [NegativeLogLikelihood(length * math.log(8), length, length - 1) for length in (3, 5, 9)]
    found = perplexity(references)
    assert found.value == pytest.approx(8) and found.low == pytest.approx(8) and found.n == 3


def test_bits_per_character_do_not_depend_on_the_tokenizer() -> None:
    """Two tokenizers that spread the same likelihood over few or many tokens differ in perplexity alone."""
    few = [NegativeLogLikelihood(20.0, 2, 10), NegativeLogLikelihood(30.0, 3, 12)]
    many = [NegativeLogLikelihood(20.0, 10, 10), NegativeLogLikelihood(30.0, 15, 12)]
    assert bits_per_character(few) == bits_per_character(many)
    assert perplexity(few).value > perplexity(many).value
    assert bits_per_character(few).value == pytest.approx(50 / math.log(2) / 22)


def test_the_interval_holds_the_value_and_narrows_with_items() -> None:
    """A value without its interval is half a value."""
    references = [NegativeLogLikelihood(float(10 + number % 7), 5, 4) for number in range(20)]
    some, more = perplexity(references), perplexity(references * 10)
    assert some.low < some.value < some.high
    assert more.high - more.low < (some.high - some.low) / 2
    assert perplexity([NegativeLogLikelihood(1e9, 1, 1)] * 2).value < math.inf


def test_probabilities_with_the_escape_add_up_to_one() -> None:
    """An escape that costs nothing would make a small vocabulary look clever."""
    new = unseen_probability(["aab", "abc"])
    assert new == pytest.approx(1 / 6)
    known = math.exp(-with_escape(NegativeLogLikelihood(0.0, 1, 1), 0, new).nats)
    unseen = math.exp(-(with_escape(NegativeLogLikelihood(0.0, 0, 0), 1, new).nats)) * UNICODE
    assert known + unseen == pytest.approx(1)
    training_texts = ["aab", "abc"]
    alone = [
        math.exp(
            -(
                character_frequency_nll(training_texts, [char])[0].nats
                - character_frequency_nll(training_texts, [""])[0].nats
            )
        )
        for char in "abc"
    ]
    end = math.exp(-character_frequency_nll(training_texts, [""])[0].nats)
    other = (
        math.exp(
            -(
                character_frequency_nll(training_texts, ["x"])[0].nats
                - character_frequency_nll(training_texts, [""])[0].nats
            )
        )
        * UNICODE
    )
    assert sum(alone) + end + other == pytest.approx(1)


def test_nothing_taught_has_no_novelty() -> None:
    """A foreign exam comes without the references that were training_texts."""
    assert unseen_probability([]) == 0
