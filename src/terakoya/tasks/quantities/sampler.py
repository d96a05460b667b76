"""Draws questions for teaching and for exams: names, quantities and factors that an exam holds out are never taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from terakoya.config import SplitConfig
from terakoya.data.split import SIDES, Side, side
from terakoya.records import Example
from terakoya.tasks.quantities import numbers
from terakoya.tasks.quantities.lines import Line, draw_line
from terakoya.tasks.quantities.words import nonsense, words

LONGEST = 72  # characters of a question
_RANDOM_NAMES = 0.5
_JOINTS = (" を", " を", " を", " を", " を", "　を", "を", " を ")


@dataclass(frozen=True)
class Sampler:
    """Fresh questions by rule. A listed name and a pair of quantity and factor stand on one side each, by hash."""

    parting: SplitConfig

    def draw(self, random: Random, progress: float) -> Example:
        """One question that may be taught; there is no curriculum."""
        return self.question(random, "train")

    def question(self, random: Random, where: Side, name: str = "") -> Example:
        """A question of that side, about `name` where one is given. On dev and exam the first pair of quantity and
        factor is new, and so are listed names."""
        while True:
            asked, factor = numbers.factor(random)
            line = draw_line(random, factor, lambda chance: name or self._name(chance, where))
            text = "".join(line.source)
            question = text + random.choice(_JOINTS) + asked
            if len(question) <= LONGEST and text == text.strip() and self._allowed(random, line, where):
                return _example(question, line)

    def side_of(self, *parts: str) -> Side:
        return side("×".join(parts), salt=self.parting.salt, dev=self.parting.dev, exam=self.parting.exam)

    def _allowed(self, random: Random, line: Line, where: Side) -> bool:
        """Taught lines hold no pair of another side. On dev and exam the first pair is new; lines without quantities
        are as frequent there as the share of new pairs lets the others be."""
        sides = [self.side_of(number, line.factor) for number in line.scaled]
        if where == "train":
            return all(found == "train" for found in sides)
        share = self.parting.dev if where == "dev" else self.parting.exam
        return sides[0] == where if sides else random.random() < share

    def _name(self, random: Random, where: Side) -> str:
        if random.random() < _RANDOM_NAMES:
            return nonsense(random)
        return random.choice(words()["numbered"] if random.random() < 0.06 else self._names[where])

    @cached_property
    def _names(self) -> Mapping[Side, Sequence[str]]:
        """Listed names by side; all of them where a side would have none."""
        listed = words()["names"]
        found = {where: [name for name in listed if self.side_of("name", name) == where] for where in SIDES}
        return {where: names or listed for where, names in found.items()}


def _example(question: str, line: Line) -> Example:
    tags = (("kind", (line.kinds or ["one quantity"])[-1]), ("quantities", str(len(line.scaled))))
    return Example(question, "".join(line.target), origin="rule", tags=tags)
