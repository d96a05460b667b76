"""Label balance during generation: bans and quotas on parsed labels, live counts, sources chosen for rare labels.

The emoji log discarded 93% of what it had paid for, because the skew was examined only afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from terakoya.generation.sentences import Sentence

_NEAR_FULL = 0.8  # share of a quota from which the prompt names a label as no longer wanted
_NAMED = 20  # labels named in a prompt at most
_LOOKAHEAD = 64  # sources among which the next one is chosen


@dataclass(frozen=True, slots=True)
class BalanceRules:
    """Which labels may be accepted, and when enough rows have been generated.

    samples  accepted rows at which generation is complete
    banned   labels that are never accepted
    allowed  the closed label set; empty: any label
    quota    largest share of one label among all label uses, in [0, 1]; 0: no limit
    density  uses of each allowed label at which generation is complete; 0: only `samples` counts
    """

    samples: int
    banned: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    quota: float = 0.0
    density: int = 0

    @property
    def reorders_sources(self) -> bool:
        """Whether sources are reordered by need (a quota or a density is set)."""
        return bool(self.quota or self.density)


class LabelCounter:
    """Counts of the labels accepted so far. Rows arrive in planned order, so that every run counts alike.

    rules  what may be accepted
    """

    def __init__(self, rules: BalanceRules) -> None:
        self.rules = rules
        self.counts: Counter[str] = Counter()
        self.label_uses = self.samples = 0

    def rule_violation(self, labels: Sequence[str]) -> str:
        """Why `labels` break a rule whatever the counts (banned, or outside the label set); "" if they do not."""
        banned = [label for label in labels if label in self.rules.banned]
        if banned:
            return f"使ってはいけない絵文字がある({' '.join(banned)})"
        unknown = [label for label in labels if self.rules.allowed and label not in self.rules.allowed]
        return f"決められた絵文字ではない({' '.join(unknown)})" if unknown else ""

    def over_quota(self, labels: Sequence[str]) -> str:
        """The first of `labels` whose share would exceed the quota if this row were accepted; "" if none."""
        if not self.rules.quota:
            return ""
        limit = self._limit(len(labels))
        return next((label for label in labels if self.counts[label] + 1 > limit), "")

    def add(self, labels: Sequence[str]) -> None:
        """Count one accepted row with these `labels`."""
        self.counts.update(labels)
        self.label_uses += len(labels)
        self.samples += 1

    @property
    def done(self) -> bool:
        """Whether `samples` rows, or `density` uses of each label, have been reached."""
        if self.samples >= self.rules.samples:
            return True
        dense = self.rules.density
        return bool(dense) and all(self.counts[label] >= dense for label in self.rules.allowed)

    @property
    def remaining(self) -> int:
        """Rows still to be accepted."""
        return 0 if self.done else self.rules.samples - self.samples

    def top(self, count: int = 5) -> tuple[tuple[str, int], ...]:
        """The `count` most frequent labels with their uses."""
        return tuple(self.counts.most_common(count))

    @property
    def top_share(self) -> float:
        """Share of the most frequent label among all label uses, in [0, 1]."""
        return self.counts.most_common(1)[0][1] / self.label_uses if self.label_uses else 0.0

    def nearly_full(self) -> tuple[str, ...]:
        """Labels near their quota, most frequent first; prompts name them as no longer wanted."""
        if not self.rules.quota:
            return ()
        limit = self._limit(0) * _NEAR_FULL
        return tuple(label for label, count in self.counts.most_common(_NAMED) if count >= limit)

    def priority(self, hints: Sequence[str]) -> float:
        """Score of a source whose expected labels are `hints`: rare labels raise it, labels near the quota lower it."""
        if not hints:
            return 0.0
        limit = self._limit(0) if self.rules.quota else float("inf")
        full = sum(self.counts[label] >= limit * _NEAR_FULL for label in hints)
        needed = sum(1.0 / (1 + self.counts[label]) for label in hints if self._is_allowed(label))
        return (needed - full) / len(hints)

    def _is_allowed(self, label: str) -> bool:
        return label not in self.rules.banned and (not self.rules.allowed or label in self.rules.allowed)

    def _limit(self, more: int) -> float:
        # Each sample has at least one label, so the final number of uses is at least `samples`.
        return self.rules.quota * max(self.label_uses + more, self.rules.samples)


class SourceSelector:
    """Iterates over sources in order, or with a quota or density by need among the next 64.

    sources  source sentences in their own order
    counter  the label counts that decide need
    hints    maps a sentence to the labels it is likely to receive
    """

    def __init__(
        self, sources: Iterator[Sentence], counter: LabelCounter, hints: Callable[[Sentence], Sequence[str]]
    ) -> None:
        self._sources, self._counter, self._hints = sources, counter, hints
        self._buffer: list[tuple[Sentence, Sequence[str]]] = []

    def __iter__(self) -> SourceSelector:
        return self

    def __next__(self) -> Sentence:
        if not self._counter.rules.reorders_sources:
            return next(self._sources)
        while len(self._buffer) < _LOOKAHEAD and (sentence := next(self._sources, None)) is not None:
            self._buffer.append((sentence, self._hints(sentence)))
        if not self._buffer:
            raise StopIteration
        best = max(range(len(self._buffer)), key=lambda index: (self._counter.priority(self._buffer[index][1]), -index))
        return self._buffer.pop(best)[0]
