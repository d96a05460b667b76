"""How probable a model holds the right outputs, token by token: perplexity, and bits per character beside it.

A perplexity is a mean over the tokens of one tokenizer and says nothing beside that of another; bits per character are
the same negative log-likelihood over characters, which every model shares. References are scored whole (teacher
forcing), and their end counts as a token, but not as a character. Ratios of sums get a linearised interval over items
(Student's t).

Where few rows are trained on, half of the references hold a character that a character-level model has never seen.
Leaving them out would keep the easy half, so such a model gets an escape: at every position an unseen character has the
probability that it had in the training targets (Good–Turing: the share of characters seen once), shared evenly by all
of Unicode.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.scoring.statistics.intervals import Interval

FREQUENCIES = "character frequencies"  # name of the baseline in scores.json
UNICODE = 155_000  # characters assigned in Unicode, about
MIN_ITEMS = 2  # references; one alone has no interval
_MAX_NATS = 700.0  # a token; beyond, the perplexity overflows a float


@dataclass(frozen=True, slots=True)
class NegativeLogLikelihood:
    """Of one reference: nats summed over its tokens (the end among them), tokens, and its characters as written."""

    nats: float
    tokens: int
    characters: int


def perplexity(references: Sequence[NegativeLogLikelihood]) -> Interval:
    """e to the mean negative log-likelihood of a token, with its 95% interval.

    references  at least two
    """
    mean = _ratio([one.nats for one in references], [one.tokens for one in references])
    value, low, high = (math.exp(min(nats, _MAX_NATS)) for nats in (mean.value, mean.low, mean.high))
    return Interval(value, low, high, mean.n, mean.method)


def bits_per_character(references: Sequence[NegativeLogLikelihood]) -> Interval:
    """Mean negative log-likelihood of a character in bits, with its 95% interval; comparable between tokenizers.

    references  at least two
    """
    return _ratio([one.nats / math.log(2) for one in references], [one.characters for one in references])


def unseen_probability(training_texts: Sequence[str]) -> float:
    """Probability that the next character is one never seen before (Good–Turing estimate; Good 1953), at most 0.5.

    training_texts  the targets trained on
    """
    counts = Counter(char for text in training_texts for char in text)
    once = sum(count == 1 for count in counts.values())
    return min(0.5, once / counts.total()) if counts else 0.0


def with_escape(known: NegativeLogLikelihood, unseen: int, unseen_probability: float) -> NegativeLogLikelihood:
    """The same reference with its unseen characters put back: each takes the escape, every other token does not.

    known               of the reference without its unseen characters
    unseen              how many characters were left out
    unseen_probability  probability of the escape at every position
    """
    nats = known.nats - known.tokens * math.log1p(-unseen_probability)
    nats += unseen * math.log(UNICODE / unseen_probability) if unseen else 0.0
    return NegativeLogLikelihood(nats, known.tokens + unseen, known.characters + unseen)


def character_frequency_nll(training_texts: Sequence[str], references: Sequence[str]) -> list[NegativeLogLikelihood]:
    """The baseline: references under a unigram model of characters, trained on the same targets.

    training_texts  the targets trained on
    references      the texts to be scored
    Add-one smoothing: one more count for every character (and the end), and one for all unseen characters together.
    """
    counts = Counter(char for text in training_texts for char in text) + Counter({"": len(training_texts)})
    total = counts.total() + len(counts) + 1

    def nats(text: str) -> float:
        known = sum(math.log(total / (counts[char] + 1)) for char in (*text, "") if char in counts)
        return known + sum(math.log(total * UNICODE) for char in text if char not in counts)

    return [NegativeLogLikelihood(nats(text), len(text) + 1, len(text)) for text in references]


def _ratio(costs: Sequence[float], sizes: Sequence[int]) -> Interval:
    """Sum over sum, of at least two items."""
    from scipy.special import stdtrit

    n, size = len(costs), sum(sizes)
    value = sum(costs) / size
    square = sum((cost - value * length) ** 2 for cost, length in zip(costs, sizes, strict=True))
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt(n / (n - 1) * square) / size
    return Interval(value, max(0.0, value - half), value + half, n, "t")
