"""Draws training examples: every form, every magnitude, and never a number that is held out.

A number's group decides its split by hash; only numbers of the train split are drawn. The numbers of the kannume-200
exam are held out wherever their hash falls, and so are its spellings of memorised numbers (捌 then occurs in training
as 八 and in 捌拾, but never alone).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from random import Random

from terakoya.config import SplitConfig
from terakoya.data.split import SplitName, split_of
from terakoya.records import Example
from terakoya.tasks.numerals.kinds import MAGNITUDES, any_number, example, group, is_memorised_number, number_for
from terakoya.tasks.numerals.spelling import BARE
from terakoya.tasks.numerals.writer import FORMS, write_if_fits

_RAMP = 0.4  # share of the training after which every magnitude is drawn evenly
_AHEAD = 0.1  # share of the draws that ignore the curriculum, so that nothing is quite new when it comes
_MEMORISED, _MEMORISED_FIRST = 0.1, 0.5  # share of memorised numbers in the draws, at the end and at the start


@dataclass(frozen=True)
class NumeralSampler:
    """Draws training examples by rule.

    forms             the written forms to draw, with FORMS as weights
    split_config      shares and salt of the split; only what falls into train is drawn
    held_out          numbers that are never drawn, whatever their split
    excluded_sources  sources that are never drawn, although their number is
    curriculum        small magnitudes first, all of them from 40% of the training on
    """

    forms: tuple[str, ...]
    split_config: SplitConfig
    held_out: frozenset[int] = frozenset()
    excluded_sources: frozenset[str] = frozenset()
    curriculum: bool = True

    def draw(self, rng: Random, progress: float) -> Example:
        """One training example.

        rng       makes every choice
        progress  of the training: 0 at the first step, 1 at the last; the curriculum follows it
        """
        ready = 1.0 if not self.curriculum else min(1.0, progress / _RAMP)
        memorised_share = _MEMORISED_FIRST + (_MEMORISED - _MEMORISED_FIRST) * ready
        while True:
            form = self.draw_form(rng)
            if form == "bare" or rng.random() < memorised_share:
                number = self.draw_memorised(rng, form)
            else:
                number = number_for(form, rng, self._magnitude(rng, ready))
                if number in self.held_out or self.split_of(number) != "train":
                    continue
            made = self.write(number, form, rng)
            if made is not None:
                return made

    def write(self, number: int, form: str, rng: Random, subset: str = "") -> Example | None:
        """The example of this number in that form, or None where the form does not write it or its source is excluded.

        number  0 or more
        form    a name in writer.FORMS
        rng     chooses among spellings
        subset  of the exam; "" is the main one
        """
        source = write_if_fits(number, form, rng)
        return (
            None if source is None or source in self.excluded_sources else example(number, form, source, subset=subset)
        )

    def split_of(self, number: int) -> SplitName:
        """The split of a number by its hash; memorised numbers are in train.

        number  0 or more
        """
        if is_memorised_number(number):
            return "train"
        return split_of(
            group(number), salt=self.split_config.salt, dev=self.split_config.dev, exam=self.split_config.exam
        )

    def draw_form(self, rng: Random) -> str:
        """A written form, drawn by its weight.

        rng  makes the choice
        """
        return self.forms[bisect(self._steps, rng.random() * self._steps[-1])]

    def draw_memorised(self, rng: Random, form: str = "") -> int:
        """A memorised number: 0..999, the short ones more often than their share, or a bare unit.

        rng   makes every choice
        form  "bare" gives bare units only
        """
        if form == "bare" or rng.random() < 0.05:
            return _UNITS[int(rng.random() * len(_UNITS))]
        if rng.random() < 0.3:
            return int(rng.random() * (10 if rng.random() < 0.3 else 100))
        return int(rng.random() * 1000) if rng.random() < 0.7 else any_number(rng, 2)

    @cached_property
    def _steps(self) -> Sequence[float]:
        return list(accumulate(FORMS[form] for form in self.forms))

    def _magnitude(self, rng: Random, ready: float) -> int:
        span = len(MAGNITUDES)
        if ready < 1.0 and rng.random() >= _AHEAD:
            span = 1 + round(ready * (span - 1))
        return MAGNITUDES[int(rng.random() * span)]


_UNITS = tuple(BARE)
