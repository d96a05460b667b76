"""The collapse meter: does the model still listen to its input, or does it say what suits the data on average?

A collapsed model has a dev loss near the entropy of the label prior, which looks like success. Three things tell it
apart: few different answers, a loss that stays the same when every input is exchanged for another, and a score that a
constant reaches as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from terakoya.scoring.health import entropy

# The onset of a collapse: the first of three evaluations in a row as poor as this.
DISTINCT = 0.05  # different answers, as a share of all
GAIN = 0.002  # nats that the right input is worth
IN_A_ROW = 3


@dataclass(frozen=True, slots=True)
class CollapseMeter:
    """Answers to dev seen together. Entropies and gain in nats.

    top_share       share of the most frequent answer
    distinct_share  different answers, as a share of all answers
    entropy         of the answers; `data_entropy` that of the targets: far below, the answers are too much alike
    gain            loss with inputs rotated by one, less the true loss: what the right input is worth to the model
    information     mutual information between input and answer: the entropy of the answers where each input has one
                    answer for sure, less what is left open where labels come with probabilities
    over_constant   score less that of the best constant answer
    """

    top_share: float
    distinct_share: float
    entropy: float
    data_entropy: float
    gain: float
    information: float
    over_constant: float

    @property
    def collapsed(self) -> bool:
        return self.distinct_share < DISTINCT and self.gain <= GAIN

    def figures(self) -> Mapping[str, float]:
        return asdict(self)


def collapse_meter(
    answers: Sequence[str | None],
    targets: Sequence[str],
    *,
    loss: float,
    rotated: float,
    score: float = 0.0,
    constant: float = 0.0,
    labels: Sequence[Sequence[tuple[str, float]]] = (),
) -> CollapseMeter:
    """answers and targets canonical; `loss` and `rotated` in nats per target; `labels` probabilities where known."""
    given = Counter(answer or "" for answer in answers)
    total = max(1, given.total())
    return CollapseMeter(
        top_share=max(given.values(), default=0) / total,
        distinct_share=len(given) / total,
        entropy=entropy(given),
        data_entropy=entropy(Counter(targets)),
        gain=rotated - loss,
        information=label_information(labels) if any(labels) else entropy(given),
        over_constant=score - constant,
    )


def label_information(labels: Sequence[Sequence[tuple[str, float]]]) -> float:
    """Σ over labels of H(mean p) − mean H(p): what the inputs tell of the labels, each label taken by itself."""
    sums: Counter[str] = Counter()
    left = 0.0
    for row in labels:
        for label, chance in row:
            sums[label] += chance  # type: ignore[assignment]
            left += _binary(chance)
    return max(0.0, sum(_binary(total / len(labels)) for total in sums.values()) - left / max(1, len(labels)))


def _binary(chance: float) -> float:
    if not 0.0 < chance < 1.0:
        return 0.0
    return -chance * math.log(chance) - (1 - chance) * math.log1p(-chance)


def onset(evaluations: Sequence[Mapping[str, float]]) -> int | None:
    """Index of the evaluation at which a collapse began: the first of three in a row; None where there was none."""
    poor = [one["distinct_share"] < DISTINCT and one["gain"] <= GAIN for one in evaluations]
    return next((at for at in range(len(poor) - IN_A_ROW + 1) if all(poor[at : at + IN_A_ROW])), None)
