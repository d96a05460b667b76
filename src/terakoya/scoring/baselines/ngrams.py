"""What simple baselines see of a text: its character n-grams, or its words where words are parted by spaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from terakoya.text import source_form

if TYPE_CHECKING:
    Matrix = Any  # scipy.sparse.csr_matrix

Features = Callable[[str], list[str]]


def ngrams(*sizes: int) -> Features:
    """All character n-grams of these sizes of the source's normal form, spaces left out."""

    def features(text: str) -> list[str]:
        text = source_form(text).replace(" ", "")
        return [text[i : i + n] for n in sizes for i in range(len(text) - n + 1)]

    return features


def words(text: str) -> list[str]:
    """The words of the source's normal form."""
    return source_form(text).split()


def parted_by_spaces(sources: Sequence[str]) -> bool:
    """Whether most of these texts part their words: at least one space in every 12 characters."""
    return 2 * sum(len(source) <= 12 * (1 + source.strip().count(" ")) for source in sources) > len(sources)


def vocabulary(texts: Sequence[list[str]], *, least: int = 1, most: int = 200_000) -> dict[str, int]:
    """Feature → column, for features in at least `least` texts; the `most` frequent ones when there are more."""
    counts = Counter(feature for text in texts for feature in set(text))
    kept = sorted((f for f, c in counts.items() if c >= least), key=lambda f: (-counts[f], f))[:most]
    return {feature: column for column, feature in enumerate(kept)}


def table(texts: Sequence[list[str]], columns: dict[str, int]) -> Matrix:
    """How often each feature stands in each text: a sparse matrix (texts, features)."""
    import numpy as np
    from scipy.sparse import csr_matrix

    ends, places, counts = [0], list[int](), list[int]()
    for text in texts:
        seen = Counter(columns[feature] for feature in text if feature in columns)
        places += seen.keys()
        counts += seen.values()
        ends.append(len(places))
    shape = (len(texts), max(1, len(columns)))
    return csr_matrix((np.asarray(counts, dtype=np.float64), places, ends), shape=shape)
