"""From a set head's scores to the set whose expected metric is largest, exactly.

The model says: a set of size n has probability P(n), and among sets of one size each is as probable as the product of
its labels' odds. Then, for the expected Jaccard as for the expected F1, the best set of a size is the one with the
highest odds (any other can be improved by exchanging one label), so that only the best set of each size must be
tried; its expectation is a sum over how many of its labels are right and how many are missing, which elementary
symmetric polynomials give without sampling. (F1: Jansche 2007; Dembczyński et al. 2011, with independent labels.)

    for found in Rows(scores).found("jaccard"): …

A toll keeps one label from filling the answers: see `sets.settle`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from terakoya.models.protocol import LabelPenalty, SetScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = NDArray[np.intp]

Objective = Literal["jaccard", "f1"]
Best = tuple[tuple[int, ...], float]  # numbers of the labels, and the metric that the set may expect
_RANGE = 30.0  # logits beyond are as good as certain
_TINY = 1e-280


@dataclass(frozen=True)
class Found:
    """The answer to one row.

    labels       their numbers, most probable first
    expected     the metric that this set may expect
    probability  that exactly this set is the true one
    chances      (L,) of every label to belong to the true set
    """

    labels: tuple[int, ...]
    expected: float
    probability: float
    chances: Floats


def _softmax(logits: Floats) -> Floats:
    found: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    return found


@dataclass(frozen=True)
class _Option:
    """For every row a set of `size` labels: those that pay a toll, and the best free ones (B, size - paying)."""

    paying: tuple[int, ...]
    size: int
    expected: Floats
    free: Numbers


class Rows:
    """The scores of some rows, ready for sums over sets. Shapes: B rows, L labels, S the largest size.

    tau, prior  so much of the label prior (L,), a log share, is taken from every label's score
                (Menon et al., 2021, arXiv:2007.07314)
    """

    def __init__(self, scores: SetScores, *, tau: float = 0.0, prior: Any = None) -> None:
        logits = scores.labels.double().cpu().numpy()
        if tau and prior is not None:
            logits = logits - tau * (np.asarray(prior) - np.median(prior))
        sizes = _softmax(scores.sizes.double().cpu().numpy())
        self.tolls = scores.tolls
        self._known: dict[tuple[Objective, tuple[int, ...]], list[_Option]] = {}
        self.most = most = min(sizes.shape[1], logits.shape[1])
        sizes = sizes[:, :most] / np.maximum(sizes[:, :most].sum(axis=1, keepdims=True), _TINY)
        clipped = np.clip(logits, -_RANGE, _RANGE)
        # Scaling all odds of a row changes no conditional probability; it keeps the products within a double's range.
        top = np.sort(clipped, axis=1)[:, -most:].mean(axis=1, keepdims=True)
        self.odds: Floats = np.exp(clipped - top)
        self.order: Numbers = np.argsort(-clipped, axis=1, kind="stable")
        whole = self._polynomial(self.odds)
        # What each size's products of odds are worth: P(n) shared among the sets of n labels.
        self.worth = np.zeros_like(whole)
        self.worth[:, 1:] = sizes / np.maximum(whole[:, 1:], _TINY)

    def found(self, objective: Objective) -> list[Found]:
        """The best set of every row."""
        chances = self.chances()
        answers = []
        for row, (labels, value) in enumerate(self.best(objective, self.tolls)):
            exactly = float(self.worth[row, len(labels)] * self.odds[row, list(labels)].prod())
            answers.append(Found(labels, value, exactly, chances[row]))
        return answers

    def log_probabilities(self, sets: Sequence[Sequence[int]]) -> list[float]:
        """The log probability of one set of labels for each row; of a set that is larger than any known, a tiny one."""
        found = []
        for row, labels in enumerate(sets):
            worth = self.worth[row, len(labels)] if 0 < len(labels) <= self.most else 0.0
            found.append(float(np.log(max(worth, _TINY)) + np.log(self.odds[row, list(labels)]).sum()))
        return found

    def _polynomial(self, odds: Floats) -> Floats:
        """Elementary symmetric polynomials (B, S+1) of the odds (B, any), cut after degree S."""
        found = np.zeros((len(odds), self.most + 1))
        found[:, 0] = 1.0
        for column in range(odds.shape[1]):
            found = _times(found, odds[:, column])
        return found

    def chances(self) -> Floats:
        """P(label in the set) of every label (B, L), from products of all labels before and all labels after it.

        Sums of positive numbers only: dividing a label out of the whole loses every digit where its odds are large.
        """
        rows, labels = self.odds.shape
        before, after = np.zeros((2, labels + 1, rows, self.most + 1))
        before[0, :, 0] = after[labels, :, 0] = 1.0
        for number in range(labels):
            before[number + 1] = _times(before[number], self.odds[:, number])
            mirrored = labels - 1 - number
            after[mirrored] = _times(after[mirrored + 1], self.odds[:, mirrored])
        found = np.zeros((labels, rows))
        for size in range(1, self.most + 1):
            others = sum(before[:-1, :, low] * after[1:, :, size - 1 - low] for low in range(size))
            found += others * self.worth[:, size]
        chances: Floats = np.clip(found.T * self.odds, 0.0, 1.0)
        return chances

    def best(self, objective: Objective, tolls: Sequence[LabelPenalty]) -> list[Best]:
        """Without tolls the best of the S top sets; with tolls the same for each choice of the labels that pay one."""
        price = {toll.label: toll.price for toll in tolls}
        refund = sum(toll.price * toll.share for toll in tolls)
        options = self._options(objective, tuple(price))
        gains = np.stack([one.expected - sum(price[n] for n in one.paying) + refund * one.size for one in options])
        answers = []
        for row, winner in enumerate(gains.argmax(axis=0)):
            one = options[winner]
            members = sorted((*one.paying, *one.free[row].tolist()), key=lambda n: -self.odds[row, n])
            answers.append((tuple(members), float(one.expected[row])))
        return answers

    def _options(self, objective: Objective, payers: tuple[int, ...]) -> list[_Option]:
        """Every set that may be best, with its expectation: what labels cost changes the choice, not the options."""
        if (objective, payers) not in self._known:
            choices = chain.from_iterable(combinations(payers, n) for n in range(len(payers) + 1))
            self._known[objective, payers] = [
                _Option(fixed, size, expected, free)
                for fixed in choices
                for size, expected, free in self._growing(fixed, payers, objective)
            ]
        return self._known[objective, payers]

    def _growing(
        self, fixed: Sequence[int], payers: Sequence[int], objective: Objective
    ) -> Iterator[tuple[int, Floats, Numbers]]:
        """Sets of `fixed` and the top labels that pay nothing, one label larger each time: size, value, labels."""
        free = self.order
        if payers:
            free = free[~np.isin(free, payers)].reshape(len(free), -1)
        inside = self._polynomial(self.odds[:, list(fixed)])
        barred = [label for label in payers if label not in fixed]
        outside = self._outside(free, barred)
        for count in range(self.most - len(fixed) + 1):
            if count > free.shape[1]:
                return
            if count:
                inside = _times(inside, np.take_along_axis(self.odds, free[:, count - 1 : count], 1)[:, 0])
            size = count + len(fixed)
            if size:
                yield size, self._expected(inside, outside[count], size, objective), free[:, :count]

    def _outside(self, free: Numbers, barred: Sequence[int]) -> list[Floats]:
        """Polynomials of the labels that are not in the set when it holds 0, 1, 2 … of the free ones."""
        top = min(self.most, free.shape[1])
        rest = self._polynomial(np.take_along_axis(self.odds, free[:, top:], 1))
        for label in barred:
            rest = _times(rest, self.odds[:, label])
        found = [rest]
        for column in reversed(range(top)):
            rest = _times(rest, np.take_along_axis(self.odds, free[:, column : column + 1], 1)[:, 0])
            found.append(rest)
        return found[::-1]

    def _expected(self, inside: Floats, outside: Floats, size: int, objective: Objective) -> Floats:
        """E[metric] of a set with `size` labels: right ones come from `inside`, missing ones from `outside`."""
        found = np.zeros(len(inside))
        for right in range(1, min(size, self.most) + 1):
            for missing in range(self.most - right + 1):
                true = right + missing
                part = right / (size + missing) if objective == "jaccard" else 2 * right / (size + true)
                found += part * self.worth[:, true] * inside[:, right] * outside[:, missing]
        return found


def _times(polynomial: Floats, odds: Floats) -> Floats:
    """Multiplied by (1 + odds · x), cut at the same degree."""
    found = polynomial.copy()
    found[:, 1:] += polynomial[:, :-1] * odds[:, None]
    return found
