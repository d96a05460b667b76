"""Perplexity of the exam's references: where outputs are text, it measures what string similarity cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.decoding.likelihood import is_character_level, negative_log_likelihoods
from terakoya.decoding.predict import query_of
from terakoya.models.protocol import Model, Pair
from terakoya.records import Example, Score, Signature, set_fingerprint
from terakoya.scoring import perplexity
from terakoya.scoring.perplexity import NegativeLogLikelihood
from terakoya.scoring.statistics.intervals import Interval
from terakoya.task import Task


@dataclass(frozen=True)
class PerplexityResult:
    """Negative log-likelihoods of the main subset's references, under the model and under character frequencies.

    model               one for each reference that could be scored
    frequencies         of the same references, under a unigram model of characters; () without training examples
    unit                what a token is: "character", or "token of its own tokenizer"
    vocabulary          tokens that the model chooses among
    unseen_probability  of an unseen character, for a character-level model; 0 for others
    left_out            references that the model could not score
    """

    model: tuple[NegativeLogLikelihood, ...]
    frequencies: tuple[NegativeLogLikelihood, ...]
    unit: str
    vocabulary: int
    unseen_probability: float
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """What the values were taken over, as scores.json keeps it."""
        return {
            "unit": self.unit,
            "vocabulary": self.vocabulary,
            "novelty": self.unseen_probability,
            "left_out": self.left_out,
            "tokens": sum(one.tokens for one in self.model),
            "characters": sum(one.characters for one in self.model),
            "items": len(self.model),
        }

    def scores(self, exam: Sequence[Example]) -> list[Score]:
        """Perplexity and bits per character; only the latter can be compared between tokenizers.

        exam  all items, for the signature
        """
        exam_fingerprint = set_fingerprint(exam)

        def score(system: str, metric: str, value: Interval, unit: str) -> Score:
            signature = Signature(exam_fingerprint, f"{metric}|v:1", f"teacher forcing, per {unit}", "text")
            return Score(system, metric, value.value, value.low, value.high, value.n, signature)

        systems = {"model": self.model, perplexity.FREQUENCIES: self.frequencies}
        return [
            score("model", "perplexity", perplexity.perplexity(self.model), self.unit),
            *(
                score(system, "bits_per_character", perplexity.bits_per_character(references), "character")
                for system, references in systems.items()
                if references
            ),
        ]


def score_perplexity(
    model: Model, task: Task, exam: Sequence[Example], train: Sequence[Example]
) -> PerplexityResult | None:
    """The perplexity of an exam's references (main subset, each item's target) by teacher forcing.

    model  scores them
    task   its codec writes the references
    exam   all items
    train  training examples, for character frequencies
    Returns None where the model can score hardly any of them.
    """
    items = [example for example in exam if not example.subset]
    training_texts = [row.target for row in train]
    by_character = is_character_level(model)
    unseen = perplexity.unseen_probability(training_texts) if by_character else 0.0
    pairs = [Pair(query_of(example), task.codec.write(example.target)) for example in items]
    found = negative_log_likelihoods(model, pairs, unseen)
    scored = [(example.target, one) for example, one in zip(items, found, strict=True) if one is not None]
    if len(scored) < perplexity.MIN_ITEMS:
        return None
    texts = [text for text, _ in scored]
    return PerplexityResult(
        model=tuple(one for _, one in scored),
        frequencies=tuple(perplexity.character_frequency_nll(training_texts, texts)) if training_texts else (),
        unit="character" if by_character else "token of its own tokenizer",
        vocabulary=sum(bool(piece) for piece in model.token_texts()) + 1,
        unseen_probability=unseen,
        left_out=len(items) - len(scored),
    )
