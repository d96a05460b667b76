"""How unlike the training sources a text is: the surprisal of its characters under a character n-gram model of them.

A model predicts whatever the input is, with a probability that is only meaningful for inputs like those it was trained
on. The n-gram model (Witten and Bell 1991, interpolated) knows which characters follow which in the training sources;
the novelty of a text is its mean surprisal under it, so that texts of another language or of another kind stand out.
The limit lies half-way between what inputs of the same kind reach, estimated on dev (a conformal quantile: Vovk,
Gammerman and Shafer 2005), and a text of which training showed nothing: inputs of a related kind, as people write them,
are not withheld for being new. What is spoilt within the notation of the training sources (one character doubled) is
not found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

ORDER = 3  # characters of the longest n-gram
START, END = "\ufdd0", "\ufdd1"  # noncharacters of Unicode: they stand in no text
SHARE_WITHIN = 0.99  # of inputs like those of dev whose novelty lies below the quantile
MOST_CHARACTERS = 40_000  # of the sources that are counted; more hardly changes the novelty of a text


@dataclass(frozen=True)
class SourceProfile:
    """A character n-gram model of sources.

    counts  n-gram → how often it occurs, for every n from 1 to ORDER; texts begin with START and end with END
    """

    counts: Mapping[str, int]

    @cached_property
    def _followers(self) -> Mapping[str, tuple[int, int]]:
        """Context → how many characters followed it, and how many different ones."""
        total: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        for gram, count in self.counts.items():
            total[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        return {context: (total[context], kinds[context]) for context in total}

    def novelty(self, text: str) -> float:
        """The mean surprisal of a text's characters and its end, in nats.

        text  a source
        """
        padded = START * (ORDER - 1) + text + END
        found = [self._surprisal(padded[at - ORDER + 1 : at + 1]) for at in range(ORDER - 1, len(padded))]
        return sum(found) / len(found)

    def limit(self, held_out: Sequence[str]) -> float:
        """The novelty above which a text is unlike the training sources.

        held_out  sources like those of training, which the profile does not count
        """
        total, kinds = self._followers.get("", (0, 0))
        unseen = math.log(total + kinds + 1)  # surprisal of a character that training never showed
        ranked = sorted(map(self.novelty, held_out))
        if not ranked:
            return unseen
        usual = ranked[min(len(ranked), math.ceil((len(ranked) + 1) * SHARE_WITHIN)) - 1]
        return max(usual, (usual + unseen) / 2)

    def _surprisal(self, gram: str) -> float:
        """Negative log-probability of the last character after the ones before it."""
        total, kinds = self._followers.get("", (0, 0))
        probability = 1.0 / (total + kinds + 1)  # of a character that training never showed
        for start in range(len(gram) - 1, -1, -1):
            context = gram[start:-1]
            total, kinds = self._followers.get(context, (0, 0))
            if not total:
                break
            probability = (self.counts.get(gram[start:], 0) + kinds * probability) / (total + kinds)
        return -math.log(probability)


def count_sources(sources: Iterable[str]) -> SourceProfile:
    """The profile of training sources.

    sources  each counted once however often it stands there, evenly spaced where there are more than MOST_CHARACTERS
    """
    kept = _evenly_spaced(list(dict.fromkeys(sources)))
    counts: Counter[str] = Counter()
    for source in kept:
        padded = START * (ORDER - 1) + source + END
        for at in range(ORDER - 1, len(padded)):
            for size in range(1, ORDER + 1):
                counts[padded[at - size + 1 : at + 1]] += 1
    return SourceProfile(dict(counts))


def _evenly_spaced(sources: Sequence[str]) -> Sequence[str]:
    characters = sum(map(len, sources))
    if characters <= MOST_CHARACTERS:
        return sources
    kept = max(1, len(sources) * MOST_CHARACTERS // characters)
    return [sources[number * len(sources) // kept] for number in range(kept)]
