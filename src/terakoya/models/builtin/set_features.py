"""Features of a text for the built-in set model: words or character n-grams, and names of labels that stand in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from terakoya.codec.text import normalise_source
from terakoya.scoring.baselines.ngrams import ngrams, separates_words, vocabulary, words

NAME_KINDS = 4  # names of 1, 2, 3, and 4 or more characters: the longer, the more reliable
_GRAMS = ngrams(1, 2, 3, 4)


@dataclass(frozen=True)
class TextFeatures:
    """The features that a model knows.

    spaced      True for words separated by spaces, False for character 1- to 4-grams
    vocabulary  the features, most frequent first
    names       normal form of a name → indices of the labels that have it
    """

    spaced: bool
    vocabulary: tuple[str, ...]
    names: Mapping[str, tuple[int, ...]]

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {feature: index for index, feature in enumerate(self.vocabulary)}

    def ids(self, text: str) -> list[int]:
        """Indices of the known features of `text`, each once, ascending."""
        features = words(text) if self.spaced else _GRAMS(text)
        return sorted({self._indices[feature] for feature in features if feature in self._indices})

    def find_names(self, text: str) -> list[tuple[int, int, float]]:
        """(label, kind, weight) of every label name in `text`; a name of several labels is divided among them."""
        return [
            (label, min(len(name), NAME_KINDS) - 1, 1 / len(self.names[name]))
            for name in self._names_in(text)
            for label in self.names[name]
        ]

    def _names_in(self, text: str) -> list[str]:
        """Whole words where words are separated; else substrings, none of which lies inside a longer one."""
        form = normalise_source(text)
        if self.spaced:
            padded = f" {form} "
            return [name for name in self.names if f" {name} " in padded] if self.names else []
        found: dict[str, None] = {}
        covered = 0
        for start in range(len(form)):
            for length in self._name_lengths:
                if start + length > covered and form[start : start + length] in self.names:
                    found[form[start : start + length]] = None
                    covered = start + length
                    break
        return list(found)

    @cached_property
    def _name_lengths(self) -> list[int]:
        return sorted({len(name) for name in self.names}, reverse=True)

    def to_json(self) -> dict[str, Any]:
        """The content of vocabulary.json."""
        return {"spaced": self.spaced, "features": self.vocabulary, "names": dict(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TextFeatures:
        """The features that `to_json` described in `data`. Raises KeyError, TypeError or ValueError for other data."""
        names = {str(name): tuple(int(one) for one in labels) for name, labels in data["names"].items()}
        return cls(bool(data["spaced"]), tuple(str(one) for one in data["features"]), names)


def build_features(
    sources: Sequence[str], labels: Sequence[str], names: Mapping[str, Sequence[str]], *, weights: int
) -> TextFeatures:
    """The features of the training data, the most frequent ones where there are too many.

    sources  the texts
    labels   of the model, in order
    names    label → words by which a text may name it
    weights  of a table of features × labels: as many features are kept as it has rows
    """
    spaced = separates_words(sources)
    features = [words(source) if spaced else _GRAMS(source) for source in sources]
    # An n-gram that occurs once is nearly always noise; a word that occurs once may be a name.
    kept = vocabulary(features, least=1 if spaced else 2, most=max(1, weights // max(1, len(labels))))
    return TextFeatures(spaced, tuple(kept), _labels_by_name(labels, names))


def _labels_by_name(labels: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        for name in dict.fromkeys(normalise_source(name) for name in names.get(label, ())):
            if name:
                found[name].append(index)
    return {name: tuple(indices) for name, indices in found.items()}
