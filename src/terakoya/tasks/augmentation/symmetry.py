"""Rows made by lexical symmetry: characters that belong together are exchanged in source and target.

LexSym (Akyürek and Andreas, 2023, LexSym: Compositionality as Lexical Symmetry, arXiv:2201.12926): where a symbol of
the source has one translation in the target, exchanging it for another symbol, and its translation for that one's,
gives another row of the same kind. No rule of the task is needed. Here the symbols are characters, and the lexicon is
made by counting: 五 always brings a 5. Two symbols may be exchanged where they stand between the same neighbours often
enough (the environments of Andreas, 2020, Good-Enough Compositional Data Augmentation, arXiv:1904.09545). A row is
changed only where the counts of its source and target agree, so 三千 → 3e3, whose exponent is a 3 as well, is left
alone; what the codec cannot read is discarded. Of what is made of 160 numerals about 1% is wrong (docs/log.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from terakoya.data.split import group_of
from terakoya.errors import DataError
from terakoya.records import Example
from terakoya.task import Task
from terakoya.tasks.augmentation.rules import AugmentationRule

_MAX_P_VALUE = 0.05  # largest probability that a translation is in all rows of a symbol by coincidence
_COMMON = (
    0.75  # share of targets from which on a character is part of the notation, such as a 0, and translates nothing
)
FEWEST = 3  # rows with a symbol, below which nothing is known of it
# Smallest overlap of two symbols' distributions over pairs of neighbours. With 160 numerals digits have .10 to .49 with
# one another and 0 to .08 with units, some of which also always bring some character.
_MIN_OVERLAP = 0.1

Lexicon = Mapping[str, str]


@dataclass(frozen=True)
class LexicalSymmetry:
    """What may be exchanged in the rows of one task.

    task      its codec writes and reads targets
    lexicon   source character → its translation, a character of the written target
    partners  source character → the characters of the lexicon that it may be exchanged for, itself among them
    """

    task: Task
    lexicon: Lexicon
    partners: Mapping[str, Sequence[str]]

    def vary(self, row: Example, rng: Random) -> Example | None:
        """Another row: symbols exchanged for others, and their translations with them.

        row  of training
        rng  makes every choice
        Returns None where nothing can be exchanged, or the codec cannot read what was drawn.
        """
        written = self.task.codec.write(row.target)
        free = self._exchangeable(row.source, written)
        translations = {self.lexicon[char] for char in free}
        drawn: dict[str, str] = {}
        for translation in sorted(translations):
            chars = [char for char in free if self.lexicon[char] == translation]
            common = set.intersection(*({self.lexicon[other] for other in self.partners[char]} for char in chars))
            new = rng.choice(sorted(common | {translation}))
            for char in chars:
                drawn[char] = rng.choice(sorted(o for o in self.partners[char] if self.lexicon[o] == new))
        if all(char == other for char, other in drawn.items()):
            return None
        of_target = {self.lexicon[char]: self.lexicon[other] for char, other in drawn.items()}
        source = "".join(drawn.get(char, char) for char in row.source)
        target = self.task.codec.read("".join(of_target.get(char, char) for char in written))
        return None if target is None else replace(row, source=source, target=target, accepted=())

    def confirms(self, row: Example) -> bool:
        """Whether anything of a row can be exchanged.

        row  of training
        """
        try:
            free = self._exchangeable(row.source, self.task.codec.write(row.target))
        except DataError:  # a target that cannot be written is reported where the row is trained on
            return False
        return any(len(self.partners[char]) > 1 for char in free)

    def _exchangeable(self, source: str, written: str) -> list[str]:
        """The characters whose translations stand in the target exactly as often as they and their synonyms do."""
        counts: Counter[str] = Counter(self.lexicon[char] for char in source if char in self.lexicon)
        chars = dict.fromkeys(char for char in source if char in self.lexicon)
        return [char for char in chars if counts[self.lexicon[char]] == written.count(self.lexicon[char])]


def learn_symmetry(task: Task, rows: Sequence[Example]) -> LexicalSymmetry:
    """What can be exchanged, by some rows.

    task  its codec writes targets
    rows  of training; a row whose target cannot be written is left out
    """
    pairs = []
    for row in rows:
        try:
            pairs.append((row.source, task.codec.write(row.target)))
        except DataError:  # reported where the row is trained on
            continue
    lexicon = _lexicon(pairs)
    return LexicalSymmetry(task, lexicon, _partners(lexicon, [source for source, _written in pairs]))


def _partners(lexicon: Lexicon, sources: Sequence[str]) -> dict[str, list[str]]:
    """The characters that stand between the same neighbours."""
    contexts: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for source in sources:
        padded = ["", *source, ""]
        for before, char, after in zip(padded, padded[1:], padded[2:], strict=False):
            contexts[char][before, after] += 1

    def overlap(one: str, other: str) -> float:
        mine, theirs = contexts[one], contexts[other]
        return sum(min(mine[key] / mine.total(), theirs[key] / theirs.total()) for key in mine)

    return {one: [other for other in lexicon if other == one or overlap(one, other) >= _MIN_OVERLAP] for one in lexicon}


def _lexicon(pairs: Sequence[tuple[str, str]]) -> Lexicon:
    """Source character → the rarest target character that is in all targets of its rows, as often or more."""
    shares = {char: count / len(pairs) for char, count in Counter(c for _, w in pairs for c in set(w)).items()}
    rows_of: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for source, written in pairs:
        for char in set(source):
            rows_of[char].append((source, written))
    found = {}
    for char, rows in sorted(rows_of.items()):
        if len(rows) < FEWEST:
            continue
        common = set.intersection(*(set(written) for _source, written in rows))
        always = [one for one in common if all(source.count(char) <= w.count(one) for source, w in rows)]
        known = [one for one in always if shares[one] < _COMMON and shares[one] ** len(rows) <= _MAX_P_VALUE]
        if known:
            found[char] = min(known, key=lambda one: (shares[one], one))
    return found


def symmetry_rule(task: Task, rows: Sequence[Example]) -> AugmentationRule:
    """The rule of augmentation that the training rows themselves give.

    task  its codec writes and reads targets
    rows  of training
    A target that no training row has is made only where dev and exam do not have it either: of numerals, whose text
    has many forms, a held-out number must not come back in another form.
    """
    symmetry = learn_symmetry(task, rows)
    trained = {row.target for row in rows}

    def identity(row: Example) -> str:
        return group_of(row) if row.target in trained else f"target:{row.target}"

    return AugmentationRule("lexical symmetry", symmetry.confirms, symmetry.vary, identity)
