"""Balance while generating: bans and quotas on the parsed answer, a live count, sources that feed what is rare.

The emoji log threw away 93% of what it had paid for, because the skew was looked at afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from terakoya.generation.sentences import Sentence

_NEAR_FULL = 0.8  # of a quota, from which the teacher is told to leave a label out
_TOLD = 20  # labels named to the teacher
_AHEAD = 64  # sources that are looked at for the one that feeds best


@dataclass(frozen=True, slots=True)
class Rules:
    """banned: never. allowed: the fixed label set (empty: open). quota: largest share of one label among all (0: none).
    density: uses of every allowed label at which all is done (0: `samples` decides)."""

    samples: int
    banned: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    quota: float = 0.0
    density: int = 0

    @property
    def feeds(self) -> bool:
        """Whether it matters which source comes next."""
        return bool(self.quota or self.density)


class Meter:
    """What has been accepted so far. Answers come in the order of the plan, so that every run counts alike."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.counts: Counter[str] = Counter()
        self.uses = self.samples = 0

    def objection(self, labels: Sequence[str]) -> str:
        """Why these labels are not wanted, by rule; known before anything is counted."""
        banned = [label for label in labels if label in self.rules.banned]
        if banned:
            return f"使ってはいけない絵文字がある({' '.join(banned)})"
        strange = [label for label in labels if self.rules.allowed and label not in self.rules.allowed]
        return f"決められた絵文字ではない({' '.join(strange)})" if strange else ""

    def over_quota(self, labels: Sequence[str]) -> str:
        """The label whose share this answer would push over the quota, "" if none."""
        if not self.rules.quota:
            return ""
        limit = self._limit(len(labels))
        return next((label for label in labels if self.counts[label] + 1 > limit), "")

    def add(self, labels: Sequence[str]) -> None:
        self.counts.update(labels)
        self.uses += len(labels)
        self.samples += 1

    @property
    def done(self) -> bool:
        if self.samples >= self.rules.samples:
            return True
        dense = self.rules.density
        return bool(dense) and all(self.counts[label] >= dense for label in self.rules.allowed)

    @property
    def wanted(self) -> int:
        return 0 if self.done else self.rules.samples - self.samples

    def top(self, count: int = 5) -> tuple[tuple[str, int], ...]:
        return tuple(self.counts.most_common(count))

    @property
    def top_share(self) -> float:
        return self.counts.most_common(1)[0][1] / self.uses if self.uses else 0.0

    def nearly_full(self) -> tuple[str, ...]:
        """Labels that the teacher should leave out from now on, fullest first."""
        if not self.rules.quota:
            return ()
        limit = self._limit(0) * _NEAR_FULL
        return tuple(label for label, count in self.counts.most_common(_TOLD) if count >= limit)

    def gain(self, hints: Sequence[str]) -> float:
        """How much a source that calls for these labels would help: rare ones count most, full ones against."""
        if not hints:
            return 0.0
        limit = self._limit(0) if self.rules.quota else float("inf")
        full = sum(self.counts[label] >= limit * _NEAR_FULL for label in hints)
        fed = sum(1.0 / (1 + self.counts[label]) for label in hints if self._takes(label))
        return (fed - full) / len(hints)

    def _takes(self, label: str) -> bool:
        return label not in self.rules.banned and (not self.rules.allowed or label in self.rules.allowed)

    def _limit(self, more: int) -> float:
        # Each sample has at least one label, so the final number of uses is at least `samples`.
        return self.rules.quota * max(self.uses + more, self.rules.samples)


class Feeder:
    """The next source: in order, or where balance asks for it the one among the next 64 that feeds the rarest."""

    def __init__(self, sources: Iterator[Sentence], meter: Meter, hints: Callable[[Sentence], Sequence[str]]) -> None:
        self._sources, self._meter, self._hints = sources, meter, hints
        self._ahead: list[tuple[Sentence, Sequence[str]]] = []

    def __iter__(self) -> Feeder:
        return self

    def __next__(self) -> Sentence:
        if not self._meter.rules.feeds:
            return next(self._sources)
        while len(self._ahead) < _AHEAD and (sentence := next(self._sources, None)) is not None:
            self._ahead.append((sentence, self._hints(sentence)))
        if not self._ahead:
            raise StopIteration
        best = max(range(len(self._ahead)), key=lambda index: (self._meter.gain(self._ahead[index][1]), -index))
        return self._ahead.pop(best)[0]
