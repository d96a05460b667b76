"""Sets of labels from an untrained causal base: each label is scored by the base's own next-token probabilities.

    score(label) = log p(label | text) − α log p(label | neutral texts)

decoding/label_choice.py says where that comes from, and how sets are made of scores. α and the decoding are chosen on
dev for each number of examples in the prompt; what that choice is worth is measured out of fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from terakoya.codec.labels import LabelsCodec
from terakoya.decoding.label_choice import NEUTRAL, LabelChoice, LabelDecoder, choose_on_dev, make_label_decoder
from terakoya.decoding.label_scores import score_labels
from terakoya.decoding.predict import query_of
from terakoya.errors import DataError
from terakoya.models.label_trie import trie_width
from terakoya.models.pretrained.few_shot import FewShotModel
from terakoya.models.protocol import Query
from terakoya.records import Example, Prediction
from terakoya.scoring.score_predictions import canonical_targets
from terakoya.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ROWS = 16  # queries in one forward pass
_WIDEST = 16  # rows of a query, up to which every token of a label is scored after its text


class LabelScorer:
    """Scores the labels of a task's training targets under an untrained base.

    task   its codec reads sets of labels
    train  gives the label set and the sizes of sets
    Raises DataError where no training target has a label.
    """

    def __init__(self, task: Task, train: Sequence[Example]) -> None:
        assert isinstance(task.codec, LabelsCodec)
        self.task, self.codec = task, task.codec
        sets = [self.codec.parse(row.target) for row in train]
        self.sizes = [len(labels) for labels in sets]
        self.labels = sorted({label for labels in sets for label in labels})
        self._decoders: dict[int, LabelDecoder] = {}
        self._priors: dict[int, tuple[Floats, Floats]] = {}

    def output(self, target: str) -> str:
        """A target as an example in the prompt shows it: labels alone, so that the output begins with one.

        target  of a training row
        """
        return " ".join(self.codec.parse(target))

    def scores(self, model: FewShotModel, queries: Sequence[Query]) -> Floats:
        """(queries, labels): log-probability that the output for each query begins with each label.

        model    the base with its examples
        queries  the inputs; each fits
        Where many labels have several tokens, those after the first are taken as they are after neutral texts: one
        forward pass for each query is then enough.
        """
        _known, ids = self._label_ids(model)
        if self._is_narrow(ids):
            return score_labels(model, queries, ids, batch_size=_ROWS)
        scores: Floats = score_labels(model, queries, ids, batch_size=_ROWS, depth=1) + self._neutral(model)[1]
        return scores

    def choose(self, model: FewShotModel, dev: Sequence[Example]) -> tuple[float, dict[str, Any]]:
        """What the best α and decoding are worth on dev, out of fold, and which these are on all of dev.

        model  the base with its examples
        dev    items with their targets
        """
        metric = self.task.metrics[self.task.metric]
        items = [item for item in dev if model.fits(query_of(item))]
        targets = [canonical_targets(self.codec, (item.target, *item.accepted)) for item in items]
        if not items:
            return 0.0, asdict(LabelChoice(1.0, size=1))
        scores = self.scores(model, [query_of(item) for item in items])
        choice, value = choose_on_dev(self._decoder(model), scores, lambda text, at: metric.score(text, targets[at]))
        return value * len(items) / len(dev), asdict(choice)

    def predict(self, model: FewShotModel, queries: Sequence[Query], decoding: dict[str, Any]) -> list[Prediction]:
        """One set for each query; a query that does not fit into the context gets none.

        model     the base with its examples
        queries   the inputs
        decoding  as `choose` returned it
        """
        fitting = [query for query in queries if model.fits(query)]
        choice = LabelChoice(**decoding)
        sets = iter(self._decoder(model).sets(self.scores(model, fitting), choice) if fitting else [])
        found = [next(sets) if model.fits(query) else None for query in queries]
        return [Prediction(query.source, text or "", text) for query, text in zip(queries, found, strict=True)]

    def _decoder(self, model: FewShotModel) -> LabelDecoder:
        """With the prior of the base under these examples, which takes a few passes over neutral texts."""
        shots = len(model.shots)
        if shots not in self._decoders:
            known, _ids = self._label_ids(model)
            neutral = self._neutral(model)[0]
            objective = "f1" if self.task.metric == "f1" else "jaccard"
            self._decoders[shots] = make_label_decoder(known, neutral, self.sizes, objective)  # type: ignore[arg-type]
        return self._decoders[shots]

    def _neutral(self, model: FewShotModel) -> tuple[Floats, Floats]:
        """(neutral texts, labels) scores, and (labels,) the mean share in them of the tokens after the first."""
        shots = len(model.shots)
        if shots not in self._priors:
            _known, ids = self._label_ids(model)
            queries = [Query(text) for text in NEUTRAL]
            whole = score_labels(model, queries, ids, batch_size=_ROWS)
            first = whole if self._is_narrow(ids) else score_labels(model, queries, ids, batch_size=_ROWS, depth=1)
            self._priors[shots] = whole, (whole - first).mean(axis=0)
        return self._priors[shots]

    @staticmethod
    def _is_narrow(ids: Sequence[Sequence[int]]) -> bool:
        return trie_width(ids) <= _WIDEST

    def _label_ids(self, model: FewShotModel) -> tuple[list[str], list[list[int]]]:
        """The labels that this tokenizer can write, with their token ids."""
        if not hasattr(self, "_ids"):
            found = {}
            for label in self.labels:
                try:
                    found[label] = model.label_ids(label)
                except DataError:  # a label that the base cannot write is one that it cannot predict
                    continue
            self._ids = (list(found), list(found.values()))
        return self._ids
