"""Zero-shot and few-shot predictions of a base that was not trained, the number of examples chosen on dev.

The base gets k examples of the training side in its prompt (Brown et al., 2020, arXiv:2005.14165), the same
for every query, so that they are computed once for a batch. A causal base scores labels (label_scorer.py) and generates
everything else, greedily, with the model's own codec and grammar. An encoder-decoder was not pretrained to go on from
examples, so it predicts zero-shot only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from terakoya.codec.labels import LabelsCodec
from terakoya.config import Config, DecodeConfig
from terakoya.decoding.predict import generation_limit, predict_queries, query_of
from terakoya.evaluation.label_scorer import LabelScorer
from terakoya.models.pretrained.few_shot import FewShotModel, Shot
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Pair, Query
from terakoya.records import Example, Prediction, Split
from terakoya.scoring.baselines.standard import evenly_spaced
from terakoya.scoring.score_predictions import MAIN, score_predictions
from terakoya.task import Task

SHOTS = (0, 2, 4, 8, 16, 32, 64, 128)  # numbers of examples that are tried
_DEV_ITEMS = 100  # on which their number is chosen
_TIMED = 16  # items by which the time of all is estimated
_PATIENCE = 2  # numbers of examples without gain, after which no larger one is tried
_LENGTH_ROWS = 4000  # training rows by which the length of an output is bounded

Seconds = Callable[[], float]


class FewShotExaminee:
    """An untrained base that predicts the items of one task.

    base    opened and untrained
    task    codec, metrics and instruction
    config  decoding, and the bounds `score.untrained_shots` and `score.untrained_minutes`
    split   examples for the prompt come from train; their number is chosen on dev, or on other training rows where
            there is no dev
    """

    def __init__(self, base: PretrainedModel, task: Task, config: Config, split: Split) -> None:
        self.base, self.task, self.config, self.split = base, task, config, split
        self.causal = base.family == "decoder"
        self.scorer = LabelScorer(task, split.train) if self.causal and isinstance(task.codec, LabelsCodec) else None
        rows = evenly_spaced(split.train, _LENGTH_ROWS)
        pairs = [Pair(query_of(row), task.codec.write(row.target)) for row in rows]
        self.max_tokens = config.decode.max_tokens or generation_limit(base, pairs)
        self.one_line = not any("\n" in pair.target for pair in pairs)
        main = [item for item in split.dev if item.subset == MAIN and not task.is_memorised(item)]
        self.dev = evenly_spaced(main or split.dev, _DEV_ITEMS) or rows[1::2][:_DEV_ITEMS]
        self.pool = split.train if split.dev else tuple(rows[::2])

    def model(self, shots: int) -> FewShotModel:
        """The base with so many examples in its prompt.

        shots  number of examples, 0 for none
        """
        return FewShotModel(self.base, self._shots(shots), self.max_tokens, one_line=self.one_line)

    def choose(self, clock: Seconds) -> dict[str, Any]:
        """How many examples do best on dev, as far as context and time allow.

        clock  seconds
        Returns "shots" (absent where not even zero-shot fits into the budget), "dev" (number of examples → mean score),
        "stopped" (why no more were tried) and "minutes", the budget; for labels "decoding" too.
        """
        started, budget = clock(), 60 * self.config.score.untrained_minutes
        chosen: dict[str, Any] = {"dev": {}, "stopped": "all", "minutes": self.config.score.untrained_minutes}
        since, best = 0, -1.0
        for shots in self._candidates():
            model = self.model(shots)
            if shots and not self._fit(model):
                return chosen | {"stopped": "context"}
            needed = self._seconds(model, clock) + clock() - started
            if needed > budget:
                return chosen | {"stopped": "time", "minutes_needed": needed / 60}
            value, decoding = self._dev_score(model)
            chosen["dev"][str(shots)] = value
            since += 1
            if value > best:
                since, best = 0, value
                chosen |= {"shots": shots} | ({"decoding": decoding} if decoding else {})
            if since >= _PATIENCE:
                return chosen | {"stopped": "no gain"}
        return chosen if self.causal else chosen | {"stopped": "encoder-decoder"}

    def predict(self, choice: Mapping[str, Any], queries: Sequence[Query]) -> list[Prediction]:
        """One prediction for each query.

        choice   as `choose` returned it
        queries  the inputs
        """
        model = self.model(int(choice["shots"]))
        if self.scorer is not None:
            return self.scorer.predict(model, queries, choice["decoding"])
        return self._generate(model, queries)

    def _candidates(self) -> list[int]:
        most = min(self.config.score.untrained_shots, len(self.pool)) if self.causal else 0
        return [shots for shots in SHOTS if shots <= most]

    def _shots(self, count: int) -> list[Shot]:
        chosen = evenly_spaced(self.pool, count) if count else []
        return [(query_of(row), self._output(row)) for row in chosen]

    def _output(self, row: Example) -> str:
        return self.scorer.output(row.target) if self.scorer else self.task.codec.write(row.target)

    def _fit(self, model: FewShotModel) -> bool:
        return all(model.fits(query_of(item)) for item in (*self.dev, *self.split.exam))

    def _seconds(self, model: FewShotModel, clock: Seconds) -> float:
        """An estimate for dev and exam together, from a few items of dev."""
        items = [query_of(item) for item in self.dev[:_TIMED]]
        before = clock()
        if self.scorer is not None:
            self.scorer.scores(model, items)
        else:
            self._generate(model, items)
        return (clock() - before) / max(1, len(items)) * (len(self.dev) + len(self.split.exam))

    def _dev_score(self, model: FewShotModel) -> tuple[float, dict[str, Any]]:
        if self.scorer is not None:
            return self.scorer.choose(model, self.dev)
        predictions = self._generate(model, [query_of(item) for item in self.dev])
        metric = self.task.metric
        metrics = {metric: self.task.metrics[metric]}
        scored = score_predictions("dev", self.dev, predictions, self.task.codec, metrics).item_scores(metric)
        return sum(scored) / len(scored), {}

    def _generate(self, model: FewShotModel, queries: Sequence[Query]) -> list[Prediction]:
        """Greedily, and nothing is withheld for its probability, which says little before training."""
        mine = self.config.decode
        decode = DecodeConfig(
            method="greedy", constrained=mine.constrained, verify=mine.verify, batch_size=mine.batch_size
        )
        generator: Any = model  # what generation needs of protocol.Model
        return predict_queries(generator, queries, self.task, decode, max_tokens=self.max_tokens)
