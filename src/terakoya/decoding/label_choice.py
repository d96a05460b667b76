"""From log-probabilities of labels under an untrained model to sets of labels.

A label is as good as `log p(label | text) − α log p(label | neutral texts)`: what the model would say anyway is no
evidence (contextual calibration: Zhao et al., 2021, arXiv:2102.09690; domain-conditional PMI: Holtzman et al., 2021,
arXiv:2104.08315). With these as logits, a set is the one whose expected metric is largest (expected_metric.py), or the
labels with the best scores. α and the decoding are chosen on dev; what that choice is worth is measured out of fold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from terakoya.decoding.expected_metric import Objective, SetDistributions
from terakoya.models.protocol import SetScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the prior that are tried
TEMPERATURES = (0.5, 1.0, 2.0)  # of the logits, for the set with the largest expected metric
NEUTRAL = ("N/A", "…", "。", "-")  # texts without content, as in Zhao et al. (2021)
_FOLDS = 5
_CONSIDERED = 40  # best labels of a text, of which its set is made
_TINY = 1e-9

Score = Callable[[str, int], float]  # (predicted set, index of the dev item) → score


@dataclass(frozen=True)
class LabelChoice:
    """How sets are made of scores.

    alpha        share of the prior that is subtracted
    temperature  of the logits, where sets are decoded by their expected metric; 0.0 where `size` labels are taken
    size         labels of every set; 0 where sets are decoded by their expected metric
    """

    alpha: float
    temperature: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class LabelDecoder:
    """Makes sets of the scores of labels.

    labels       in the order of the columns of scores
    prior        (labels,), mean log-probability of each after neutral texts
    size_logits  (largest size,), log share of the sizes 1, 2 … of the training targets
    objective    the metric whose expectation is maximised
    """

    labels: tuple[str, ...]
    prior: Floats
    size_logits: Floats
    objective: Objective = "jaccard"

    def sets(self, scores: Floats, choice: LabelChoice) -> list[str]:
        """The set for each row of `scores` (rows, labels), as canonical text, as `choice` says."""
        adjusted = scores - choice.alpha * self.prior
        best = np.argsort(-adjusted, axis=1, kind="stable")[:, : max(_CONSIDERED, choice.size)]
        if choice.size:
            return [self._text(row[: choice.size]) for row in best]
        logits = np.take_along_axis(adjusted, best, axis=1) / choice.temperature
        sizes = np.repeat(self.size_logits[None], len(scores), axis=0)
        found = SetDistributions(SetScores(torch.from_numpy(logits), torch.from_numpy(sizes))).decode(self.objective)
        return [self._text(row[list(one.labels)]) for row, one in zip(best, found, strict=True)]

    def choices(self) -> list[LabelChoice]:
        """Everything that is tried: each α with each number of labels and each temperature."""
        most = min(len(self.size_logits), len(self.labels))
        sizes = [LabelChoice(alpha, size=size) for size in range(1, most + 1) for alpha in ALPHAS]
        expected = [LabelChoice(alpha, temperature) for temperature in TEMPERATURES for alpha in ALPHAS]
        return [*sizes, *(expected if most > 1 else ())]

    def _text(self, indices: Sequence[int] | Floats) -> str:
        return " ".join(sorted(self.labels[int(index)] for index in indices))


def make_label_decoder(
    labels: Sequence[str], neutral_scores: Floats, sizes: Sequence[int], objective: Objective = "jaccard"
) -> LabelDecoder:
    """The decoder for a label set.

    labels          in the order of the columns of scores
    neutral_scores  (neutral texts, labels), log-probabilities of the labels after neutral texts
    sizes           number of labels of each training target
    objective       the metric whose expectation is maximised
    """
    counts = Counter(sizes)
    shares = [max(counts[size] / len(sizes), _TINY) for size in range(1, max(counts) + 1)]
    return LabelDecoder(tuple(labels), neutral_scores.mean(axis=0), np.log(shares), objective)


def choose_on_dev(decoder: LabelDecoder, scores: Floats, score: Score) -> tuple[LabelChoice, float]:
    """The choice with the best mean on dev, and what choosing so is worth on items that had no part in it.

    decoder  makes sets
    scores   (dev items, labels)
    score    (predicted set, index of the dev item) → score in the task's metric
    Returns the choice, and the mean score when each fifth of dev is scored by the choice of the other four.
    """
    choices = decoder.choices()
    table = np.array([[score(text, at) for at, text in enumerate(decoder.sets(scores, one))] for one in choices])
    folds = np.arange(len(scores)) % _FOLDS
    worth = [
        table[int(table[:, folds != fold].mean(axis=1).argmax()), folds == fold]
        for fold in range(_FOLDS)
        if (folds == fold).any() and (folds != fold).any()
    ]
    chosen = int(table.mean(axis=1).argmax())
    out_of_fold = float(np.concatenate(worth).mean()) if worth else float(table[chosen].mean())
    return choices[chosen], out_of_fold
