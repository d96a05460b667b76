"""How well a model foresees right answers, token by token: perplexity, and bits per character beside it.

A perplexity is a mean over the tokens of one tokenizer and says nothing beside that of another; bits per character are
the same answers' surprise over their characters, which every model shares. Answers are given whole (teacher forcing),
and their end counts as a token, but not as a character. Ratios of sums get a linearised interval over items (Student).

Where few rows are taught, half of the references hold a character that a model of characters has never met. Leaving
them out would keep the easy half, so such a model is given an escape: at every place a new character has the chance
that it had in the taught answers (Good and Turing: the share of characters met once), shared evenly by all of Unicode.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.scoring.statistics.intervals import Interval

FREQUENCIES = "character frequencies"
UNICODE = 155_000  # characters that there are, about
LEAST = 2  # answers; one alone has no interval
_MOST = 700.0  # nats a token, beyond which a float has no room for the perplexity


@dataclass(frozen=True, slots=True)
class Surprise:
    """What one right answer cost the model: nats over its tokens, the end among them, and its length as written."""

    nats: float
    tokens: int
    characters: int


def perplexity(answers: Sequence[Surprise]) -> Interval:
    """e to the mean surprise of a token."""
    found = _ratio([one.nats for one in answers], [one.tokens for one in answers])
    value, low, high = (math.exp(min(nats, _MOST)) for nats in (found.value, found.low, found.high))
    return Interval(value, low, high, found.n, found.method)


def bits_per_character(answers: Sequence[Surprise]) -> Interval:
    return _ratio([one.nats / math.log(2) for one in answers], [one.characters for one in answers])


def novelty(taught: Sequence[str]) -> float:
    """How likely the next character of an answer is one never met before: the share of those met once."""
    counts = Counter(char for text in taught for char in text)
    once = sum(count == 1 for count in counts.values())
    return min(0.5, once / counts.total()) if counts else 0.0


def escaped(known: Surprise, strangers: int, novelty: float) -> Surprise:
    """The same answer with so many characters more, each of which took the escape; all the others did not take it."""
    nats = known.nats - known.tokens * math.log1p(-novelty)
    nats += strangers * math.log(UNICODE / novelty) if strangers else 0.0
    return Surprise(nats, known.tokens + strangers, known.characters + strangers)


def by_frequencies(taught: Sequence[str], asked: Sequence[str]) -> list[Surprise]:
    """What the asked answers cost somebody who knows nothing but how often each character (and an end) was taught.

    One sighting is imagined for every character, and one for all the others together.
    """
    counts = Counter(char for text in taught for char in text) + Counter({"": len(taught)})
    total = counts.total() + len(counts) + 1

    def cost(text: str) -> float:
        known = sum(math.log(total / (counts[char] + 1)) for char in (*text, "") if char in counts)
        return known + sum(math.log(total * UNICODE) for char in text if char not in counts)

    return [Surprise(cost(text), len(text) + 1, len(text)) for text in asked]


def _ratio(costs: Sequence[float], sizes: Sequence[int]) -> Interval:
    """Sum over sum, of at least two items."""
    from scipy.special import stdtrit

    n, size = len(costs), sum(sizes)
    value = sum(costs) / size
    square = sum((cost - value * length) ** 2 for cost, length in zip(costs, sizes, strict=True))
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt(n / (n - 1) * square) / size
    return Interval(value, max(0.0, value - half), value + half, n, "t")
