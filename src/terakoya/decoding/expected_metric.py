"""From the scores of a set head to the set whose expected metric is largest, exactly.

The model defines a distribution over sets: a set of size n has probability P(n), and among sets of one size each is as
probable as the product of its labels' odds. Then, for the expected Jaccard index as for the expected F1, the best set
of a size is the one with the highest odds (any other can be improved by exchanging one label), so that only the best
set of each size must be tried; its expectation is a sum over how many of its labels are right and how many are missing,
which elementary symmetric polynomials give without sampling. (F1: Jansche 2007; Dembczyński et al. 2011, with
independent labels.)

    for best in SetDistributions(scores).decode("jaccard"): …

Penalties keep one label from being in nearly every set: see `set_calibration.calibrate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from terakoya.models.builtin.numpy_model import NumpySetScores
    from terakoya.models.protocol import LabelPenalty, SetScores

    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]

Objective = Literal["jaccard", "f1"]
LabelsAndValue = tuple[tuple[int, ...], float]  # indices of the labels, and the expected metric of the set
_LOGIT_RANGE = 30.0  # logits beyond are as good as certain
_TINY = 1e-280


@dataclass(frozen=True)
class BestSet:
    """The predicted set of one row.

    labels               indices of its labels, most probable first
    expected             the expected metric of this set
    probability          that exactly this set is the true one
    label_probabilities  (L,) of every label to belong to the true set
    """

    labels: tuple[int, ...]
    expected: float
    probability: float
    label_probabilities: Floats


def _as_doubles(logits: Any) -> Floats:
    """Logits of torch or of numpy as numpy's doubles."""
    result: Floats = np.asarray(logits if isinstance(logits, np.ndarray) else logits.double().cpu(), dtype=np.float64)
    return result


def _softmax(logits: Floats) -> Floats:
    result: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    result /= result.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True)
class _Candidates:
    """For every row a set of `size` labels: the penalised labels in it, and the best others (B, size - penalised)."""

    penalised: tuple[int, ...]
    size: int
    expected: Floats
    others: Indices


class SetDistributions:
    """A distribution over label sets for each row. Shapes: B rows, L labels, S the largest size.

    scores  label and size logits, and penalties
    tau     logit adjustment: so many times the label prior is subtracted from the label logits
            (Menon et al., 2021, arXiv:2007.07314); 0 for none
    prior   (L,) log share of each label in training; None for no adjustment
    """

    def __init__(self, scores: SetScores | NumpySetScores, *, tau: float = 0.0, prior: Any = None) -> None:
        logits = _as_doubles(scores.labels)
        if tau and prior is not None:
            logits = logits - tau * (np.asarray(prior) - np.median(prior))
        sizes = _softmax(_as_doubles(scores.sizes))
        self.penalties = scores.penalties
        self._cache: dict[tuple[Objective, tuple[int, ...]], list[_Candidates]] = {}
        self.largest = largest = min(sizes.shape[1], logits.shape[1])
        sizes = sizes[:, :largest] / np.maximum(sizes[:, :largest].sum(axis=1, keepdims=True), _TINY)
        clipped = np.clip(logits, -_LOGIT_RANGE, _LOGIT_RANGE)
        # Scaling all odds of a row changes no conditional probability; it keeps the products within a double's range.
        top = np.sort(clipped, axis=1)[:, -largest:].mean(axis=1, keepdims=True)
        self.odds: Floats = np.exp(clipped - top)
        self.order: Indices = np.argsort(-clipped, axis=1, kind="stable")
        polynomial = self._polynomial(self.odds)
        # P(n) over the sum of the odds of all sets of n labels: times the odds of a set it is that set's probability.
        self.normalised = np.zeros_like(polynomial)
        self.normalised[:, 1:] = sizes / np.maximum(polynomial[:, 1:], _TINY)

    def decode(self, objective: Objective) -> list[BestSet]:
        """The best set of every row by the expectation of `objective`, less the penalties of the scores."""
        probabilities = self.label_probabilities()
        found = []
        for row, (labels, value) in enumerate(self.best_sets(objective, self.penalties)):
            exactly = float(self.normalised[row, len(labels)] * self.odds[row, list(labels)].prod())
            found.append(BestSet(labels, value, exactly, probabilities[row]))
        return found

    def log_probabilities(self, sets: Sequence[Sequence[int]]) -> list[float]:
        """The log-probability of one set for each row; of a set that is larger than any known, a tiny one.

        sets  for each row the indices of the labels of its set
        """
        found = []
        for row, labels in enumerate(sets):
            normalised = self.normalised[row, len(labels)] if 0 < len(labels) <= self.largest else 0.0
            found.append(float(np.log(max(normalised, _TINY)) + np.log(self.odds[row, list(labels)]).sum()))
        return found

    def _polynomial(self, odds: Floats) -> Floats:
        """Elementary symmetric polynomials (B, S+1) of the odds (B, any), cut after degree S."""
        polynomial = np.zeros((len(odds), self.largest + 1))
        polynomial[:, 0] = 1.0
        for column in range(odds.shape[1]):
            polynomial = _times(polynomial, odds[:, column])
        return polynomial

    def label_probabilities(self) -> Floats:
        """P(label in the set) of every label (B, L), from the labels before it and the labels after it.

        Sums of positive terms only: dividing a label out of the whole loses every digit where its odds are large.
        """
        rows, labels = self.odds.shape
        before, after = np.zeros((2, labels + 1, rows, self.largest + 1))
        before[0, :, 0] = after[labels, :, 0] = 1.0
        for index in range(labels):
            before[index + 1] = _times(before[index], self.odds[:, index])
            mirrored = labels - 1 - index
            after[mirrored] = _times(after[mirrored + 1], self.odds[:, mirrored])
        sums = np.zeros((labels, rows))
        for size in range(1, self.largest + 1):
            others = sum(before[:-1, :, low] * after[1:, :, size - 1 - low] for low in range(size))
            sums += others * self.normalised[:, size]
        probabilities: Floats = np.clip(sums.T * self.odds, 0.0, 1.0)
        return probabilities

    def best_sets(self, objective: Objective, penalties: Sequence[LabelPenalty]) -> list[LabelsAndValue]:
        """The best set of every row, with its expected metric.

        objective  the metric whose expectation is maximised
        penalties  subtracted from the expectation; without any, the best of the S top sets is taken, with them the
                   best of these for each choice of the penalised labels
        """
        weights = {penalty.label: penalty.weight for penalty in penalties}
        refund = sum(penalty.weight * penalty.cap for penalty in penalties)
        candidates = self._candidates(objective, tuple(weights))
        gains = np.stack(
            [one.expected - sum(weights[n] for n in one.penalised) + refund * one.size for one in candidates]
        )
        found = []
        for row, winner in enumerate(gains.argmax(axis=0)):
            one = candidates[winner]
            labels = sorted((*one.penalised, *one.others[row].tolist()), key=lambda n: -self.odds[row, n])
            found.append((tuple(labels), float(one.expected[row])))
        return found

    def _candidates(self, objective: Objective, penalised: tuple[int, ...]) -> list[_Candidates]:
        """Every set that may be best, with its expectation: weights of penalties change the choice, not the list."""
        if (objective, penalised) not in self._cache:
            choices = chain.from_iterable(combinations(penalised, n) for n in range(len(penalised) + 1))
            self._cache[objective, penalised] = [
                _Candidates(fixed, size, expected, others)
                for fixed in choices
                for size, expected, others in self._growing(fixed, penalised, objective)
            ]
        return self._cache[objective, penalised]

    def _growing(
        self, fixed: Sequence[int], penalised: Sequence[int], objective: Objective
    ) -> Iterator[tuple[int, Floats, Indices]]:
        """Sets of `fixed` and the top labels without penalty, one label larger each time: size, expectation, labels."""
        others = self.order
        if penalised:
            others = others[~np.isin(others, penalised)].reshape(len(others), -1)
        inside = self._polynomial(self.odds[:, list(fixed)])
        excluded = [label for label in penalised if label not in fixed]
        outside = self._outside(others, excluded)
        for count in range(self.largest - len(fixed) + 1):
            if count > others.shape[1]:
                return
            if count:
                inside = _times(inside, np.take_along_axis(self.odds, others[:, count - 1 : count], 1)[:, 0])
            size = count + len(fixed)
            if size:
                yield size, self._expected(inside, outside[count], size, objective), others[:, :count]

    def _outside(self, others: Indices, excluded: Sequence[int]) -> list[Floats]:
        """Polynomials of the labels that are not in the set when it holds 0, 1, 2 … of the labels without penalty."""
        top = min(self.largest, others.shape[1])
        rest = self._polynomial(np.take_along_axis(self.odds, others[:, top:], 1))
        for label in excluded:
            rest = _times(rest, self.odds[:, label])
        polynomials = [rest]
        for column in reversed(range(top)):
            rest = _times(rest, np.take_along_axis(self.odds, others[:, column : column + 1], 1)[:, 0])
            polynomials.append(rest)
        return polynomials[::-1]

    def _expected(self, inside: Floats, outside: Floats, size: int, objective: Objective) -> Floats:
        """E[metric] of a set with `size` labels: right ones come from `inside`, missing ones from `outside`."""
        expected = np.zeros(len(inside))
        for right in range(1, min(size, self.largest) + 1):
            for missing in range(self.largest - right + 1):
                true = right + missing
                value = right / (size + missing) if objective == "jaccard" else 2 * right / (size + true)
                expected += value * self.normalised[:, true] * inside[:, right] * outside[:, missing]
        return expected


def _times(polynomial: Floats, odds: Floats) -> Floats:
    """Multiplied by (1 + odds · x), cut at the same degree."""
    product = polynomial.copy()
    product[:, 1:] += polynomial[:, :-1] * odds[:, None]
    return product
