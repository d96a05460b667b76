"""What a built-in model for sets sees of a text: words or character n-grams, and names of labels that stand in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from terakoya.scoring.baselines.ngrams import ngrams, parted_by_spaces, vocabulary, words
from terakoya.text import source_form

NAME_KINDS = 4  # names of 1, 2, 3, and 4 or more characters: the longer, the surer
_GRAMS = ngrams(1, 2, 3, 4)


@dataclass(frozen=True)
class Features:
    """`spaced`: words parted by spaces, else character 1- to 4-grams. `names`: a name's normal form → label numbers."""

    spaced: bool
    vocabulary: tuple[str, ...]
    names: Mapping[str, tuple[int, ...]]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {feature: number for number, feature in enumerate(self.vocabulary)}

    def ids(self, text: str) -> list[int]:
        """The known features of a text, each once."""
        found = words(text) if self.spaced else _GRAMS(text)
        return sorted({self._places[feature] for feature in found if feature in self._places})

    def named(self, text: str) -> list[tuple[int, int, float]]:
        """(label, kind, weight) for every name in the text; a name that several labels share is shared among them."""
        return [
            (label, min(len(name), NAME_KINDS) - 1, 1 / len(self.names[name]))
            for name in self._found(text)
            for label in self.names[name]
        ]

    def _found(self, text: str) -> list[str]:
        """Whole words where words are parted; else stretches of characters, of which none lies inside a longer one."""
        form = source_form(text)
        if self.spaced:
            padded = f" {form} "
            return [name for name in self.names if f" {name} " in padded] if self.names else []
        found: dict[str, None] = {}
        covered = 0
        for start in range(len(form)):
            for size in self._sizes:
                if start + size > covered and form[start : start + size] in self.names:
                    found[form[start : start + size]] = None
                    covered = start + size
                    break
        return list(found)

    @cached_property
    def _sizes(self) -> list[int]:
        return sorted({len(name) for name in self.names}, reverse=True)

    def to_json(self) -> dict[str, Any]:
        return {"spaced": self.spaced, "features": self.vocabulary, "names": dict(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Features:
        names = {str(name): tuple(int(one) for one in labels) for name, labels in data["names"].items()}
        return cls(bool(data["spaced"]), tuple(str(one) for one in data["features"]), names)


def features_of(
    sources: Sequence[str], labels: Sequence[str], names: Mapping[str, Sequence[str]], *, weights: int
) -> Features:
    """The features of these sources, as many as a table of `weights` numbers holds; frequent ones first."""
    spaced = parted_by_spaces(sources)
    found = [words(source) if spaced else _GRAMS(source) for source in sources]
    # An n-gram seen once is nearly always noise; a word seen once may be a name.
    known = vocabulary(found, least=1 if spaced else 2, most=max(1, weights // max(1, len(labels))))
    return Features(spaced, tuple(known), _names(labels, names))


def _names(labels: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for number, label in enumerate(labels):
        for name in dict.fromkeys(source_form(name) for name in names.get(label, ())):
            if name:
                found[name].append(number)
    return {name: tuple(numbers) for name, numbers in found.items()}
