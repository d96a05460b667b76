"""The answer of the most similar training source: what copying one's neighbour would get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from terakoya.records import Example
from terakoya.scoring.baselines.ngrams import ngrams, table, vocabulary

_MOST = 10_000  # training rows that are searched
_CELLS = 4_000_000  # similarities held at once


def nearest_neighbour(train: Sequence[Example]) -> Callable[[Sequence[str]], list[str | None]]:
    """Cosine of TF-IDF weighted character 1- to 3-grams; ties go to the source first in text order.

    Of more than 10,000 training rows 10,000 are searched, evenly spaced in text order. A source that shares nothing
    with any of them gets no answer.
    """
    import numpy as np

    rows = sorted({(example.source, example.target) for example in train})
    rows = rows if len(rows) <= _MOST else [rows[i * len(rows) // _MOST] for i in range(_MOST)]
    features = ngrams(1, 2, 3)
    texts = [features(source) for source, _ in rows]
    columns = vocabulary(texts)
    counts = table(texts, columns)
    rarity = np.log((1 + len(rows)) / (1 + np.bincount(counts.indices, minlength=counts.shape[1]))) + 1
    known = _unit(counts, rarity).T.tocsr()

    def answers(sources: Sequence[str]) -> list[str | None]:
        step, found = max(1, _CELLS // len(rows)), list[str | None]()
        for start in range(0, len(sources), step):
            asked = _unit(table([features(source) for source in sources[start : start + step]], columns), rarity)
            like = np.round((asked @ known).toarray(), 9)  # rounded, so that ties are ties on every machine
            best = like.argmax(axis=1)
            found += [rows[i][1] if like[row, i] > 0 else None for row, i in enumerate(best.tolist())]
        return found

    return answers


def _unit(counts: Any, rarity: Any) -> Any:
    """Counts weighed by rarity, every row of length 1 (or 0)."""
    import numpy as np

    weighed = counts.multiply(rarity).tocsr()
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    return weighed.multiply((1 / np.where(length > 0, length, 1))[:, None]).tocsr()
