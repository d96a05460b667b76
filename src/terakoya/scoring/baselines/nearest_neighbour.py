"""The target of the most similar training source: what memorising the training set would get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from terakoya.records import Example
from terakoya.scoring.baselines.ngrams import count_matrix, ngrams, vocabulary

_MAX_ROWS = 10_000  # training rows that are searched
_MAX_CELLS = 4_000_000  # similarities held at once


@dataclass(frozen=True, slots=True)
class NearestRow:
    """The training row whose source is most similar, and how similar it is (cosine, 0 to 1)."""

    source: str
    target: str
    similarity: float


def nearest_neighbour(train: Sequence[Example]) -> Callable[[Sequence[str]], list[str | None]]:
    """A 1-nearest-neighbour predictor: sources → targets, None where a source shares nothing with any training row.

    train  training examples; of more than 10,000, 10,000 evenly spaced in text order are searched
    """
    nearest = nearest_rows(train)
    return lambda sources: [None if row is None else row.target for row in nearest(sources)]


def nearest_rows(train: Sequence[Example]) -> Callable[[Sequence[str]], list[NearestRow | None]]:
    """The most similar training row of each source: sources → rows, None where it shares nothing with any.

    train  training examples; of more than 10,000, 10,000 evenly spaced in text order are searched
    Similarity is the cosine of TF-IDF weighted character 1- to 3-grams; ties go to the source first in text order.
    """
    nearest = k_nearest_rows(train, 1)
    return lambda sources: [next(iter(rows), None) for rows in nearest(sources)]


def k_nearest_rows(train: Sequence[Example], count: int) -> Callable[[Sequence[str]], list[list[NearestRow]]]:
    """The most similar training rows of each source, most similar first; fewer where it shares nothing with more.

    train  training examples, searched as in `nearest_rows`
    count  of rows at most, from 1
    """
    import numpy as np

    rows = sorted({(example.source, example.target) for example in train})
    rows = rows if len(rows) <= _MAX_ROWS else [rows[i * len(rows) // _MAX_ROWS] for i in range(_MAX_ROWS)]
    features = ngrams(1, 2, 3)
    texts = [features(source) for source, _ in rows]
    columns = vocabulary(texts)
    counts = count_matrix(texts, columns)
    idf = np.log((1 + len(rows)) / (1 + np.bincount(counts.indices, minlength=counts.shape[1]))) + 1
    known = _unit_rows(counts, idf).T.tocsr()

    def search(sources: Sequence[str]) -> list[list[NearestRow]]:
        step, found = max(1, _MAX_CELLS // len(rows)), list[list[NearestRow]]()
        for start in range(0, len(sources), step):
            batch = _unit_rows(
                count_matrix([features(source) for source in sources[start : start + step]], columns), idf
            )
            similarity = np.round((batch @ known).toarray(), 9)  # rounded, so that ties are ties on every machine
            best = (
                similarity.argmax(axis=1)[:, None] if count == 1 else np.argsort(-similarity, kind="stable")[:, :count]
            )
            found += [
                [
                    NearestRow(rows[i][0], rows[i][1], float(similarity[row, i]))
                    for i in indices
                    if similarity[row, i] > 0
                ]
                for row, indices in enumerate(best.tolist())
            ]
        return found

    return search


def _unit_rows(counts: Any, idf: Any) -> Any:
    """TF-IDF weights, every row of length 1 (or 0)."""
    import numpy as np

    weighted = counts.multiply(idf).tocsr()
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return weighted.multiply((1 / np.where(length > 0, length, 1))[:, None]).tocsr()
