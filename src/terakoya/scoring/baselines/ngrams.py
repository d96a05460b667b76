"""Features of a text for simple baselines: character n-grams, or words where words are separated by spaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import regex

from terakoya.codec.text import normalise_source

if TYPE_CHECKING:
    Matrix = Any  # scipy.sparse.csr_matrix

# Scripts that put no space between words.
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")

Features = Callable[[str], list[str]]


def ngrams(*sizes: int) -> Features:
    """A function that lists the character n-grams of a source's normal form, spaces left out.

    sizes  every n that is counted
    """

    def features(text: str) -> list[str]:
        text = normalise_source(text).replace(" ", "")
        return [text[i : i + n] for n in sizes for i in range(len(text) - n + 1)]

    return features


def words(text: str) -> list[str]:
    """The words of a source's normal form.

    text  a source
    """
    return normalise_source(text).split()


def separates_words(sources: Sequence[str]) -> bool:
    """Whether most sources separate their words: at least one space in every 12 characters.

    A short text without a space is one word in most scripts, and nothing of the kind in those that are written without
    spaces: there it speaks against separation.

    sources  the texts
    """
    return 2 * sum(map(_separates, sources)) > len(sources)


def _separates(source: str) -> bool:
    spaces = source.strip().count(" ")
    return len(source) <= 12 * (1 + spaces) and (spaces > 0 or not _UNSPACED.search(source))


def vocabulary(texts: Sequence[list[str]], *, least: int = 1, most: int = 200_000) -> dict[str, int]:
    """Feature → column, the most frequent first.

    texts  the features of every text
    least  a feature must occur in so many texts (1)
    most   so many of the most frequent features are kept (200,000)
    """
    counts = Counter(feature for text in texts for feature in set(text))
    kept = sorted((f for f, c in counts.items() if c >= least), key=lambda f: (-counts[f], f))[:most]
    return {feature: column for column, feature in enumerate(kept)}


def count_matrix(texts: Sequence[list[str]], columns: dict[str, int]) -> Matrix:
    """How often each feature occurs in each text: a sparse matrix (texts, features).

    texts    the features of every text
    columns  feature → column; features without one are left out
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    ends, indices, counts = [0], list[int](), list[int]()
    for text in texts:
        seen = Counter(columns[feature] for feature in text if feature in columns)
        indices += seen.keys()
        counts += seen.values()
        ends.append(len(indices))
    shape = (len(texts), max(1, len(columns)))
    return csr_matrix((np.asarray(counts, dtype=np.float64), indices, ends), shape=shape)
