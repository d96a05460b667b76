"""Counting which word goes with which label: what a table can do before any model is trained.

A set model that is not better than this has learnt nothing that one pass of counting would not have given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.records import Example
from terakoya.scoring.baselines.ngrams import Features, ngrams, parted_by_spaces, table, vocabulary, words
from terakoya.scoring.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PRIORS = (0.5, 1.0, 2.0, 4.0)  # imagined sightings of a word by which its evidence is drawn to the label's share
_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
_DEFAULT = (2.0, 0.45)  # without dev
_FEATURES = 20_000


@dataclass(frozen=True)
class Table:
    """How often each feature met each label. `together` is (features, labels); `share` of the labels, (labels,)."""

    features: Features
    columns: dict[str, int]
    labels: tuple[str, ...]
    together: Floats
    seen: Floats
    share: Floats
    most: int

    def belief(self, sources: Sequence[str], prior: float) -> Floats:
        """(sources, labels): the strongest evidence that any feature of the source gives for the label.

        The largest of the smoothed shares P(label | feature), never less than the label's share in the data. Taking
        the largest beat noisy-or and naive Bayes, which count the many words that mean nothing.
        """
        import numpy as np

        given = (self.together + prior * self.share) / (self.seen + prior)[:, None]
        found = np.repeat(self.share[None, :], len(sources), axis=0)
        for row, source in enumerate(sources):
            if places := sorted({self.columns[f] for f in self.features(source) if f in self.columns}):
                found[row] = np.maximum(found[row], given[places].max(axis=0))
        return found

    def answers(self, belief: Floats, threshold: float) -> list[str | None]:
        """The most believed label and every further one over the threshold, as many as training targets have."""
        order = (-belief).argsort(axis=1, kind="stable")[:, : self.most]
        return [
            " ".join(self.labels[i] for at, i in enumerate(best) if at == 0 or belief[row, i] >= threshold)
            for row, best in enumerate(order.tolist())
        ]


def count(train: Sequence[Example]) -> Table:
    """One pass over the training examples: words where they are parted by spaces, else character 1- to 4-grams."""
    import numpy as np

    sources = [example.source for example in train]
    spaced = parted_by_spaces(sources)
    features: Features = words if spaced else ngrams(1, 2, 3, 4)
    texts = [features(source) for source in sources]
    columns = vocabulary(texts, least=1 if spaced else 2, most=_FEATURES)
    sets = [sorted(set(example.target.split())) for example in train]
    labels = vocabulary(sets)
    present: Any = table([sorted(set(text)) for text in texts], columns)
    wanted: Any = table(sets, labels)
    together = np.asarray((present.T @ wanted).todense(), dtype=np.float64)
    seen = np.asarray(present.sum(axis=0), dtype=np.float64).ravel()
    share = np.asarray(wanted.sum(axis=0), dtype=np.float64).ravel() / len(train)
    return Table(features, columns, tuple(labels), together, seen, share, max(len(labels) for labels in sets))


def word_table(
    train: Sequence[Example], dev: Sequence[Example], metric: Metric, *, refit: bool = False
) -> Callable[[Sequence[str]], list[str | None]]:
    """Counts on training examples; the strength of the prior and the threshold that score best on dev.

    refit  once they are chosen, dev is counted too
    """
    counted = count(train)
    prior, threshold = _choose(counted, dev, metric)
    if refit and dev:
        counted = count((*train, *dev))
    return lambda sources: counted.answers(counted.belief(sources, prior), threshold)


def _choose(counted: Table, dev: Sequence[Example], metric: Metric) -> tuple[float, float]:
    if not dev:
        return _DEFAULT
    sources, best, chosen = [example.source for example in dev], -1.0, _DEFAULT
    for prior in _PRIORS:
        belief = counted.belief(sources, prior)
        for threshold in _THRESHOLDS:
            answers = counted.answers(belief, threshold)
            scores = [metric.judge(a, (e.target, *e.accepted)) for a, e in zip(answers, dev, strict=True)]
            if sum(scores) / len(scores) > best:
                best, chosen = sum(scores) / len(scores), (prior, threshold)
    return chosen
