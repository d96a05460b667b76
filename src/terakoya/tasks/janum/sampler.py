"""Draws what is taught: expressions made of parts, idioms of the closed list, both alone and inside sentences.

In a sentence the expression stands in 【】, so that it is clear which number is asked for. The sentences around it are
frames of our own and sentences of the hand-written corpus, never those of the lexicon: these are for the exam.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random

from terakoya.codec.arithmetic import as_decimal
from terakoya.config import SplitConfig
from terakoya.data.split import Side, side
from terakoya.generation.sentences import hand_written
from terakoya.records import Example
from terakoya.tasks.janum.expressions import Expression, draw_expression
from terakoya.tasks.janum.idioms import Idiom, lexicon, taught

_IDIOMS, _IN_SENTENCES = 0.35, 0.35
_LONGEST = 40  # characters of a sentence around an expression


@cache
def frames() -> tuple[str, ...]:
    """Sentences with # where an expression stands."""
    return tuple((resources.files(__package__) / "frames.txt").read_text(encoding="utf-8").split())


@cache
def surroundings() -> tuple[str, ...]:
    """Sentences of the corpus that hold no expression of the lexicon and no number."""
    listed = {idiom.text for idiom in lexicon() if len(idiom.text) > 1}
    texts = (sentence.text for sentence in hand_written())
    return tuple(text for text in texts if len(text) <= _LONGEST and not any(idiom in text for idiom in listed))


@dataclass(frozen=True)
class Sampler:
    """Fresh examples by rule; expressions stand on one side each by the hash of their form and value.

    workings  targets of train and dev are what a calculator would be given; those of the exam are always values, so
              that it is one exam whatever is taught
    """

    parting: SplitConfig
    workings: bool = False

    def draw(self, random: Random, progress: float) -> Example:
        """One example that may be taught; there is no curriculum."""
        if random.random() < _IDIOMS:
            return self.idiom(random, random.choice(taught(self.parting.salt)))
        return self.expression(random, "train")

    def expression(self, random: Random, where: Side, form: str = "") -> Example:
        """An expression of that side, alone or in a sentence."""
        while True:
            made = draw_expression(random, form)
            if self.side_of(made) == where and made.text not in _listed():
                text = in_sentence(random, made.text) if random.random() < _IN_SENTENCES else made.text
                tags = (("form", made.form), ("where", "alone" if text == made.text else "sentence"))
                target = made.working if self.workings and where != "exam" else as_decimal(made.value)
                return Example(text, target, made.group, "rule", tags=tags)

    def idiom(self, random: Random, idiom: Idiom) -> Example:
        """An expression of the closed list, alone or in a sentence that is not its own."""
        inside = random.random() < _IN_SENTENCES
        text = in_sentence(random, idiom.text) if inside else idiom.text
        tags = (("form", idiom.kind), ("where", "sentence" if inside else "alone"))
        return Example(text, idiom.value, f"idiom:{idiom.text}", "number-idioms.tsv", tags=tags)

    def side_of(self, made: Expression) -> Side:
        return side(made.group, salt=self.parting.salt, dev=self.parting.dev, exam=self.parting.exam)


@cache
def _listed() -> frozenset[str]:
    return frozenset(idiom.text for idiom in lexicon())


def in_sentence(random: Random, text: str) -> str:
    """The expression, marked, in a frame or somewhere in a sentence of the corpus."""
    if random.random() < 0.5:
        return random.choice(frames()).replace("#", f"【{text}】")
    around = random.choice(surroundings())
    at = int(random.random() * len(around))
    return f"{around[:at]}【{text}】{around[at:]}"
