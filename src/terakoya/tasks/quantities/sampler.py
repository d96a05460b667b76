"""Draws scaling queries; names, quantities and factors that an exam holds out are never in train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from terakoya.config import SplitConfig
from terakoya.data.split import SPLIT_NAMES, SplitName, split_of
from terakoya.records import Example
from terakoya.tasks.quantities import numbers
from terakoya.tasks.quantities.lines import DrawnLine, draw_line
from terakoya.tasks.quantities.words import nonsense, words

LONGEST = 72  # characters of a query
_RANDOM_NAMES = 0.5
_JOINTS = (" を", " を", " を", " を", " を", "　を", "を", " を ")


@dataclass(frozen=True)
class RecipeLineSampler:
    """Draws queries by rule. The hash assigns each listed name, and each pair of quantity and factor, to one split.

    split_config  shares and salt of the split
    """

    split_config: SplitConfig

    def draw(self, rng: Random, progress: float) -> Example:
        """One training example; there is no curriculum.

        rng       makes every choice
        progress  of the training, 0 to 1; unused
        """
        return self.query(rng, "train")

    def query(self, rng: Random, where: SplitName, name: str = "") -> Example:
        """A query of one split; in dev and exam the first pair of quantity and factor is new, and so are listed names.

        rng    makes every choice
        where  the split: "train", "dev" or "exam"
        name   the ingredient; "" draws it
        """
        while True:
            written_factor, factor = numbers.factor(rng)
            line = draw_line(rng, factor, lambda rng: name or self._name(rng, where))
            text = "".join(line.source)
            query = text + rng.choice(_JOINTS) + written_factor
            if len(query) <= LONGEST and text == text.strip() and self._allowed(rng, line, where):
                return _example(query, line)

    def one_amount(self, rng: Random, number: str) -> Example:
        """A training query with this number as its only amount.

        rng     draws name and factor
        number  as the recipe writes it
        """
        while True:
            written_factor, factor = numbers.factor(rng)
            if self.split_of(number, factor) == "train":
                line = DrawnLine(factor)
                line.add(f"{self._name(rng, 'train')} ")
                line.amount(number)
                line.add("カップ")
                return _example(f"{''.join(line.source)} を{written_factor}", line)

    def split_of(self, *parts: str) -> SplitName:
        """The split of a name, or of a quantity and a factor, by hash.

        parts  ("name", a name) or (a quantity, a factor), as text
        """
        return split_of(
            "×".join(parts), salt=self.split_config.salt, dev=self.split_config.dev, exam=self.split_config.exam
        )

    def _allowed(self, rng: Random, line: DrawnLine, where: SplitName) -> bool:
        """Training lines hold no pair of another split. In dev and exam the first pair is new; lines without
        quantities are as frequent there as the share of new pairs lets the others be.
        """
        splits = [self.split_of(number, line.factor) for number in line.scaled]
        if where == "train":
            return all(found == "train" for found in splits)
        share = self.split_config.dev if where == "dev" else self.split_config.exam
        return splits[0] == where if splits else rng.random() < share

    def _name(self, rng: Random, where: SplitName) -> str:
        if rng.random() < _RANDOM_NAMES:
            return nonsense(rng)
        return rng.choice(words()["numbered"] if rng.random() < 0.06 else self._names[where])

    @cached_property
    def _names(self) -> Mapping[SplitName, Sequence[str]]:
        """Listed names by split; all of them where a split would have none."""
        listed = words()["names"]
        found = {where: [name for name in listed if self.split_of("name", name) == where] for where in SPLIT_NAMES}
        return {where: names or listed for where, names in found.items()}


def _example(query: str, line: DrawnLine) -> Example:
    tags = (("kind", (line.kinds or ["one quantity"])[-1]), ("quantities", str(len(line.scaled))))
    return Example(query, "".join(line.target), origin="rule", tags=tags)
