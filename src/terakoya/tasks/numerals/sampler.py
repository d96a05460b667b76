"""Draws examples for teaching: every form, every magnitude, and never a number that is held out.

A number's group decides its side by hash; only numbers on the training side are drawn. The numbers of the
kannume-200 exam are held out wherever their hash falls, and so are its spellings of numbers that are always
taught (捌 is then taught in 八 and in 捌拾, but never alone).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from random import Random

from terakoya.config import SplitConfig
from terakoya.data.split import Side, side
from terakoya.records import Example
from terakoya.tasks.numerals.kinds import MAGNITUDES, always_known, any_number, example, group, number_for
from terakoya.tasks.numerals.spelling import BARE
from terakoya.tasks.numerals.writer import FORMS, write_if_fits

_RAMP = 0.4  # share of the training after which every magnitude is drawn evenly
_AHEAD = 0.1  # share of the draws that ignore the curriculum, so that nothing is quite new when it comes
_RECALL, _RECALL_FIRST = 0.1, 0.5  # share of always-taught numbers, at the end and at the beginning


@dataclass(frozen=True)
class Sampler:
    """Fresh examples by rule.

    forms      the written forms to draw, with FORMS as weights
    parting    shares and salt of the split; only what falls on its training side is drawn
    held_out   numbers that are never drawn, whatever their side
    withheld   sources that are never drawn, although their number is
    curriculum small magnitudes first, all of them from 40% of the training on
    """

    forms: tuple[str, ...]
    parting: SplitConfig
    held_out: frozenset[int] = frozenset()
    withheld: frozenset[str] = frozenset()
    curriculum: bool = True

    def draw(self, random: Random, progress: float) -> Example:
        """One example that may be taught. `progress` is 0 at the first step and 1 at the last."""
        ready = 1.0 if not self.curriculum else min(1.0, progress / _RAMP)
        recall = _RECALL_FIRST + (_RECALL - _RECALL_FIRST) * ready
        while True:
            form = self.any_form(random)
            if form == "bare" or random.random() < recall:
                number = self.recall_number(random, form)
            else:
                number = number_for(form, random, self._magnitude(random, ready))
                if number in self.held_out or self.side_of(number) != "train":
                    continue
            made = self.written(number, form, random)
            if made is not None:
                return made

    def written(self, number: int, form: str, random: Random, part: str = "") -> Example | None:
        """The number in that form, or None where it does not fit or that source is withheld."""
        source = write_if_fits(number, form, random)
        return None if source is None or source in self.withheld else example(number, form, source, part=part)

    def side_of(self, number: int) -> Side:
        """The side of a number by its hash; what is always taught is on the training side."""
        if always_known(number):
            return "train"
        return side(group(number), salt=self.parting.salt, dev=self.parting.dev, exam=self.parting.exam)

    def any_form(self, random: Random) -> str:
        return self.forms[bisect(self._steps, random.random() * self._steps[-1])]

    def recall_number(self, random: Random, form: str = "") -> int:
        """A number that is always taught: 0..999, the short ones oftener than their share, or one of the bare units."""
        if form == "bare" or random.random() < 0.05:
            return _UNITS[int(random.random() * len(_UNITS))]
        if random.random() < 0.3:
            return int(random.random() * (10 if random.random() < 0.3 else 100))
        return int(random.random() * 1000) if random.random() < 0.7 else any_number(random, 2)

    @cached_property
    def _steps(self) -> Sequence[float]:
        return list(accumulate(FORMS[form] for form in self.forms))

    def _magnitude(self, random: Random, ready: float) -> int:
        span = len(MAGNITUDES)
        if ready < 1.0 and random.random() >= _AHEAD:
            span = 1 + round(ready * (span - 1))
        return MAGNITUDES[int(random.random() * span)]


_UNITS = tuple(BARE)
