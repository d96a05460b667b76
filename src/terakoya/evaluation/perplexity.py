"""How well right answers were foreseen: where answers are text, perplexity says what likeness of strings cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.decoding.likelihood import surprises, writes_characters
from terakoya.decoding.predict import query_of
from terakoya.models.protocol import Model, Pair
from terakoya.records import Example, Score, Signature, set_fingerprint
from terakoya.scoring import perplexity
from terakoya.scoring.perplexity import Surprise
from terakoya.scoring.statistics.intervals import Interval
from terakoya.task import Task


@dataclass(frozen=True)
class Foreseen:
    """How well the right answers of the main part were foreseen, by the model and by bare character frequencies.

    unit        what a token is: "character", or "token of its own tokenizer"
    vocabulary  tokens that the model chooses among
    novelty     the chance of a character never met, for a model of characters; 0 for others
    left_out    answers that the model could not be told
    """

    model: tuple[Surprise, ...]
    frequencies: tuple[Surprise, ...]
    unit: str
    vocabulary: int
    novelty: float
    left_out: int

    def facts(self) -> dict[str, Any]:
        """What the figures were taken over, for the record."""
        told = {"unit": self.unit, "vocabulary": self.vocabulary, "novelty": self.novelty, "left_out": self.left_out}
        sums = {name: sum(getattr(one, name) for one in self.model) for name in ("tokens", "characters")}
        return {**told, **sums, "items": len(self.model)}

    def scores(self, exam: Sequence[Example]) -> list[Score]:
        """Perplexity and bits per character; only the latter stand beside those of another tokenizer."""
        mark = set_fingerprint(exam)

        def score(who: str, metric: str, figure: Interval, unit: str) -> Score:
            made = Signature(mark, f"{metric}/1", f"teacher forcing, per {unit}", "text")
            return Score(who, metric, figure.value, figure.low, figure.high, figure.n, made)

        told = [score("model", "perplexity", perplexity.perplexity(self.model), self.unit)]
        sides = {"model": self.model, perplexity.FREQUENCIES: self.frequencies}
        return told + [
            score(who, "bits_per_character", perplexity.bits_per_character(answers), "character")
            for who, answers in sides.items()
            if answers
        ]


def foreseen(model: Model, task: Task, exam: Sequence[Example], train: Sequence[Example]) -> Foreseen | None:
    """One right answer is given for each item, its target; None where the model can be told hardly any of them."""
    asks = [example for example in exam if not example.part]
    taught = [row.target for row in train]
    plain = writes_characters(model)
    new = perplexity.novelty(taught) if plain else 0.0
    found = surprises(model, [Pair(query_of(example), task.codec.write(example.target)) for example in asks], new)
    told = [(example.target, one) for example, one in zip(asks, found, strict=True) if one is not None]
    if len(told) < perplexity.LEAST:
        return None
    return Foreseen(
        model=tuple(one for _, one in told),
        frequencies=tuple(perplexity.by_frequencies(taught, [text for text, _ in told])) if taught else (),
        unit="character" if plain else "token of its own tokenizer",
        vocabulary=sum(bool(piece) for piece in model.pieces()) + 1,
        novelty=new,
        left_out=len(asks) - len(told),
    )
