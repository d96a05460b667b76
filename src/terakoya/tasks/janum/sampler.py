"""Draws training examples: composed expressions and idioms of the closed list, both alone and inside sentences.

In a sentence the expression is marked by 【】, so that it is clear which number is wanted. The sentences around it are
frames of our own and sentences of the hand-written corpus, never those of the lexicon, which are for the exam.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random

from terakoya.codec.arithmetic import as_decimal
from terakoya.config import SplitConfig
from terakoya.data.split import SplitName, split_of
from terakoya.generation.sentences import hand_written
from terakoya.records import Example
from terakoya.tasks.janum.expressions import Expression, draw_expression
from terakoya.tasks.janum.idioms import Idiom, lexicon, training_idioms

_IDIOMS, _IN_SENTENCES = 0.35, 0.35
_LONGEST = 40  # characters of a sentence around an expression


@cache
def frames() -> tuple[str, ...]:
    """Sentences with # in the position of an expression."""
    return tuple((resources.files(__package__) / "frames.txt").read_text(encoding="utf-8").split())


@cache
def surroundings() -> tuple[str, ...]:
    """Sentences of the corpus that hold no expression of the lexicon and no number."""
    listed = {idiom.text for idiom in lexicon() if len(idiom.text) > 1}
    texts = (sentence.text for sentence in hand_written())
    return tuple(text for text in texts if len(text) <= _LONGEST and not any(idiom in text for idiom in listed))


@dataclass(frozen=True)
class ExpressionSampler:
    """Draws examples by rule; the hash of its form and value assigns each expression to one split.

    split_config  shares and salt of the split
    workings      targets of train and dev are what one would enter into a calculator; those of the exam are always
                  values, so that the exam is the same whatever the targets in training are
    """

    split_config: SplitConfig
    workings: bool = False

    def draw(self, rng: Random, progress: float) -> Example:
        """One training example; there is no curriculum.

        rng       makes every choice
        progress  of the training, 0 to 1; unused
        """
        if rng.random() < _IDIOMS:
            return self.idiom(rng, rng.choice(training_idioms(self.split_config.salt)))
        return self.expression(rng, "train")

    def expression(self, rng: Random, where: SplitName, form: str = "") -> Example:
        """An expression of one split, alone or in a sentence.

        rng    makes every choice
        where  the split: "train", "dev" or "exam"
        form   one of expressions.FORMS; "" draws it
        """
        while True:
            made = draw_expression(rng, form)
            if self.split_of(made) == where and made.text not in _listed():
                text = in_sentence(rng, made.text) if rng.random() < _IN_SENTENCES else made.text
                tags = (("form", made.form), ("where", "alone" if text == made.text else "sentence"))
                target = made.working if self.workings and where != "exam" else as_decimal(made.value)
                return Example(text, target, made.group, "rule", tags=tags)

    def idiom(self, rng: Random, idiom: Idiom) -> Example:
        """An idiom of the closed list, alone or in a sentence that is not its own.

        rng    chooses
        idiom  of the lexicon
        """
        inside = rng.random() < _IN_SENTENCES
        text = in_sentence(rng, idiom.text) if inside else idiom.text
        tags = (("form", idiom.kind), ("where", "sentence" if inside else "alone"))
        return Example(text, idiom.value, f"idiom:{idiom.text}", "number-idioms.tsv", tags=tags)

    def split_of(self, made: Expression) -> SplitName:
        """The split of an expression by the hash of its group.

        made  the drawn expression
        """
        return split_of(made.group, salt=self.split_config.salt, dev=self.split_config.dev, exam=self.split_config.exam)


@cache
def _listed() -> frozenset[str]:
    return frozenset(idiom.text for idiom in lexicon())


def in_sentence(rng: Random, text: str) -> str:
    """The expression, marked, in a frame or anywhere in a sentence of the corpus.

    rng   chooses sentence and position
    text  the expression
    """
    if rng.random() < 0.5:
        return rng.choice(frames()).replace("#", f"【{text}】")
    around = rng.choice(surroundings())
    at = int(rng.random() * len(around))
    return f"{around[:at]}【{text}】{around[at:]}"
