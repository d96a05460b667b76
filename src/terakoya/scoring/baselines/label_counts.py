"""Counting which word occurs with which label: what one pass of counting gives before any model is trained.

A set model that is not better than this has learned nothing that counting would not have given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from terakoya.records import Example
from terakoya.scoring.baselines.ngrams import Features, count_matrix, ngrams, separates_words, vocabulary, words
from terakoya.scoring.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PRIORS = (0.5, 1.0, 2.0, 4.0)  # pseudo-counts that shrink P(label | feature) towards the label's share
_THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
_DEFAULT = (2.0, 0.45)  # without dev
_MAX_FEATURES = 20_000


@dataclass(frozen=True)
class LabelCounts:
    """How often each feature occurs with each label.

    features       text → its features
    columns        feature → row of `joint`
    labels         in the order of the columns of `joint`
    joint          (features, labels), examples that have both
    feature_count  (features,), examples that have the feature
    label_share    (labels,), share of examples that have the label
    max_labels     labels of the largest training target
    """

    features: Features
    columns: dict[str, int]
    labels: tuple[str, ...]
    joint: Floats
    feature_count: Floats
    label_share: Floats
    max_labels: int

    def probabilities(self, sources: Sequence[str], prior: float) -> Floats:
        """(sources, labels): the largest smoothed P(label | feature) over the features of a source.

        sources  texts
        prior    pseudo-counts by which each probability is shrunk towards the label's share in the data
        Never less than the label's share. Taking the largest beat noisy-or and naive Bayes, which count the many words
        that mean nothing.
        """
        import numpy as np

        conditional = (self.joint + prior * self.label_share) / (self.feature_count + prior)[:, None]
        found = np.repeat(self.label_share[None, :], len(sources), axis=0)
        for row, source in enumerate(sources):
            if indices := sorted({self.columns[f] for f in self.features(source) if f in self.columns}):
                found[row] = np.maximum(found[row], conditional[indices].max(axis=0))
        return found

    def predict(self, probabilities: Floats, threshold: float) -> list[str | None]:
        """The most probable label and every further one at or over the threshold, at most `max_labels`.

        probabilities  (sources, labels)
        threshold      least probability of a further label
        """
        order = (-probabilities).argsort(axis=1, kind="stable")[:, : self.max_labels]
        return [
            " ".join(self.labels[i] for at, i in enumerate(best) if at == 0 or probabilities[row, i] >= threshold)
            for row, best in enumerate(order.tolist())
        ]


def count_labels(train: Sequence[Example]) -> LabelCounts:
    """One pass over the training examples.

    train  examples with canonical targets; features are words where spaces separate them, else character 1- to 4-grams
    """
    import numpy as np

    sources = [example.source for example in train]
    spaced = separates_words(sources)
    features: Features = words if spaced else ngrams(1, 2, 3, 4)
    texts = [features(source) for source in sources]
    columns = vocabulary(texts, least=1 if spaced else 2, most=_MAX_FEATURES)
    sets = [sorted(set(example.target.split())) for example in train]
    labels = vocabulary(sets)
    present: Any = count_matrix([sorted(set(text)) for text in texts], columns)
    wanted: Any = count_matrix(sets, labels)
    joint = np.asarray((present.T @ wanted).todense(), dtype=np.float64)
    feature_count = np.asarray(present.sum(axis=0), dtype=np.float64).ravel()
    share = np.asarray(wanted.sum(axis=0), dtype=np.float64).ravel() / len(train)
    return LabelCounts(features, columns, tuple(labels), joint, feature_count, share, max(len(names) for names in sets))


def label_count_predictor(
    train: Sequence[Example], dev: Sequence[Example], metric: Metric, *, refit: bool = False
) -> Callable[[Sequence[str]], list[str | None]]:
    """The "word table" baseline: counts on training examples, prior and threshold that score best on dev.

    train   examples with canonical targets
    dev     chooses prior and threshold; () leaves the defaults
    metric  in which they are chosen
    refit   True: once they are chosen, dev is counted too
    Returns sources → predictions.
    """
    counts = count_labels(train)
    prior, threshold = _choose(counts, dev, metric)
    if refit and dev:
        counts = count_labels((*train, *dev))
    return lambda sources: counts.predict(counts.probabilities(sources, prior), threshold)


def _choose(counts: LabelCounts, dev: Sequence[Example], metric: Metric) -> tuple[float, float]:
    """The prior and threshold with the best mean score on dev."""
    if not dev:
        return _DEFAULT
    sources, best, chosen = [example.source for example in dev], -1.0, _DEFAULT
    for prior in _PRIORS:
        probabilities = counts.probabilities(sources, prior)
        for threshold in _THRESHOLDS:
            predictions = counts.predict(probabilities, threshold)
            scores = [metric.score(p, (e.target, *e.accepted)) for p, e in zip(predictions, dev, strict=True)]
            if sum(scores) / len(scores) > best:
                best, chosen = sum(scores) / len(scores), (prior, threshold)
    return chosen
