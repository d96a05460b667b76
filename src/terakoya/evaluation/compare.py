"""Trained models compared item by item, or the reason why they cannot be.

Two scores may be compared only when the same items were predicted in the same way and scored alike. What can be
compared gets an effect, an interval, a p-value corrected for the number of comparisons, and the smallest difference
that this exam could have shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from terakoya.errors import ConfigError
from terakoya.evaluation.comparability import refuse_incomparable
from terakoya.evaluation.item_scores import (
    ItemScore,
    ItemScores,
    read_item_scores,
    read_prediction_table,
    read_run_scores,
)
from terakoya.i18n import _, in_language, joined
from terakoya.runs.annotations import Confirmation, confirmation_message
from terakoya.runs.display import Displayed
from terakoya.scoring.statistics.intervals import ALPHA
from terakoya.scoring.statistics.paired import Effect, flipped_units, holm, least_p, paired_seeds
from terakoya.scoring.statistics.power import detectable_difference, items_needed, two_digits
from terakoya.scoring.statistics.wording import items_text, p_text

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

__all__ = [
    "Arm",
    "Comparison",
    "ItemScore",
    "ItemScores",
    "compare",
    "group_arms",
    "read_item_scores",
    "read_prediction_table",
    "read_run_scores",
]

State = Literal["first is better", "second is better", "cannot be told apart"]
UNDECIDED: State = "cannot be told apart"

_TESTS = {
    "mcnemar": _("exact McNemar"),
    "permutation": _("paired permutation"),
    "two-level": _("permutation over items and t over seeds"),
}


@dataclass(frozen=True, slots=True)
class Arm:
    """One recipe of a comparison: its item scores, one for every seed it was trained with."""

    name: str
    seeds: tuple[ItemScores, ...]

    @property
    def mean(self) -> float:
        """The mean score over seeds and items."""
        return sum(scores.mean for scores in self.seeds) / len(self.seeds)


@dataclass(frozen=True, slots=True)
class Comparison(Displayed):
    """Two arms on one exam.

    first, second  their names; `first_value` and `second_value` are their mean scores
    metric         its signature
    effect         first minus second; its interval is for this comparison alone
    p              corrected (Holm 1979) for the `family` of comparisons made at once; it decides
    state          which is better, or that these items cannot decide
    detectable     the smallest difference that this exam would have found with power 0.8
    needed         items that would decide (None: decided, or no number of items is enough)
    seeds          number of seeds of each arm
    spelling       predictions of each arm that miss their target by spaces or width only
    grouped        whether it is known which items belong together; if not, all are taken as independent
    confirmed      what people said about the exam's targets, of the runs the one that knows most; None for tables
    """

    first: str
    second: str
    first_value: float
    second_value: float
    metric: str
    effect: Effect
    p: float
    family: int
    state: State
    detectable: float
    needed: int | None
    seeds: tuple[int, int]
    spelling: tuple[int, int] = (0, 0)
    grouped: bool = True
    confirmed: Confirmation | None = None

    @property
    def decided(self) -> bool:
        """Whether one arm is better."""
        return self.state != UNDECIDED

    def words(self, lang: str = "en") -> str:
        """What may be concluded, as sentences.

        lang  "en" (default) or "ja"
        """
        return in_language(comparison_message(self), lang)


def compare(
    item_scores: Sequence[ItemScores],
    *,
    pairs: Literal["all", "first"] = "all",
    across: Collection[Literal["decoding"]] = (),
    together: bool = True,
    smallest_gain: float = 0.02,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[Comparison, ...]:
    """Compare every pair of arms (or the first with each other one), as one family of comparisons.

    item_scores    of every run or table
    pairs          "all" (default), or "first": the first arm against each other
    across         ("decoding",) where the decoding is what is compared
    together       True (default): runs of one recipe with different seeds are one arm, seeds being a second source of
                   variance
    smallest_gain  differences below this are not worth the items that would show them (0.02)
    seed           of bootstrap and permutation
    resamples      of the bootstrap (2,000)

    Raises IncompatibleError, naming all that differs, and ConfigError when there are fewer than two arms.
    """
    arms = group_arms(item_scores) if together else tuple(Arm(scores.name, (scores,)) for scores in item_scores)
    if len(arms) < 2:
        given, recipes = len(item_scores), len(arms)
        raise ConfigError(
            _(
                "a comparison needs two recipes; {given} results of {recipes} recipe were given",
                given=given,
                recipes=recipes,
            ),
            do=_("Name two runs that differ in more than their seed."),
        )
    for other in item_scores[1:]:
        refuse_incomparable(item_scores[0], other, across)
    chosen = [(arms[0], other) for other in arms[1:]] if pairs == "first" else list(combinations(arms, 2))
    effects = [paired_seeds(*_aligned(a, b), seed=seed, resamples=resamples, groups=_groups(a, b)) for a, b in chosen]
    corrected = holm([effect.p for effect in effects])
    return tuple(
        _comparison(a, b, effect, p, len(chosen), smallest_gain)
        for (a, b), effect, p in zip(chosen, effects, corrected, strict=True)
    )


def group_arms(item_scores: Sequence[ItemScores]) -> tuple[Arm, ...]:
    """Runs of one recipe with different seeds make one arm; all others are arms of their own.

    item_scores  of every run or table
    """
    groups: dict[str, list[ItemScores]] = {}
    for i, scores in enumerate(item_scores):
        key = scores.recipe if scores.recipe and scores.seed is not None else f"alone {i}"
        if any(scores.seed == other.seed for other in groups.get(key, ())):
            key = f"alone {i}"  # the same seed again is the same run again, not another sample
        groups.setdefault(key, []).append(scores)
    return tuple(
        Arm(group[0].name if len(group) == 1 else f"{group[0].name} ({len(group)} seeds)", tuple(group))
        for group in groups.values()
    )


def _aligned(first: Arm, second: Arm) -> tuple[Floats, Floats]:
    """Scores (seeds, items) of both arms, items in the same order."""
    import numpy as np

    order = sorted(first.seeds[0].keyed())
    tables = [np.array([[scores.keyed()[key] for key in order] for scores in arm.seeds]) for arm in (first, second)]
    return tables[0], tables[1]


def _groups(first: Arm, second: Arm) -> list[str] | None:
    """The group of each item, in the same order; None where no run recorded them."""
    known = next((scores for arm in (first, second) for scores in arm.seeds if scores.grouped), None)
    if known is None:
        return None
    groups = known.groups()
    return [groups[key] for key in sorted(groups)]


def _comparison(a: Arm, b: Arm, effect: Effect, p: float, family: int, smallest_gain: float) -> Comparison:
    state = UNDECIDED
    if p <= ALPHA:
        state = "first is better" if effect.value > 0 else "second is better"
    alpha = ALPHA / family  # the level of the first step of Holm's correction
    first, second = _aligned(a, b)
    groups = _groups(a, b)
    differences = flipped_units(first.mean(axis=0) - second.mean(axis=0), groups)
    count = None
    if state == UNDECIDED:
        count = items_needed(effect, max(abs(effect.value), smallest_gain), alpha, differences=differences)
    return Comparison(
        first=a.name,
        second=b.name,
        first_value=a.mean,
        second_value=b.mean,
        metric=a.seeds[0].signature.metric,
        effect=effect,
        p=p,
        family=family,
        state=state,
        detectable=detectable_difference(effect, alpha, differences=differences),
        needed=None if count is None else max(count, effect.n + 1),
        seeds=(len(a.seeds), len(b.seeds)),
        spelling=tuple(sum(scores.spelling for scores in arm.seeds) for arm in (a, b)),  # type: ignore[arg-type]
        grouped=groups is not None,
        confirmed=_confirmed(a, b),
    )


def _confirmed(first: Arm, second: Arm) -> Confirmation | None:
    """Of one exam, what the run says on whose exam most rows were judged."""
    known = [scores.confirmed for arm in (first, second) for scores in arm.seeds if scores.confirmed is not None]
    return max(known, key=lambda one: one.judged, default=None)


# ── messages ────────────────────────────────────────────────────────────────────────────────────────────


def comparison_message(comparison: Comparison) -> str:
    """What may be concluded, as a message.

    comparison  two arms on one exam
    """
    first, second = comparison.first, comparison.second
    n = items_text(comparison.effect.n, comparison.effect.groups)
    values, single, spelling = _values(comparison), _single_seeds(comparison), _spelling(comparison)
    notes = (_ungrouped(comparison), _floor(comparison), spelling, _confirmation(comparison))
    if comparison.decided:
        better = first if comparison.effect.value > 0 else second
        said: str = _("{better} is better. {values}{single}", better=better, values=values, single=single)
        return joined("", (said, *notes))
    smallest, more = comparison.detectable, _more_needed(comparison)
    shown = _(" The smallest difference that this exam could have shown is about {smallest:.2f}.", smallest=smallest)
    said = _(
        "{first} and {second} cannot be told apart with {n}{more}. {values}{shown}{single}",
        first=first,
        second=second,
        n=n,
        more=more,
        values=values,
        shown=shown,
        single=single,
    )
    return joined("", (said, *notes))


def _confirmation(c: Comparison) -> str:
    return "" if c.confirmed is None else joined("", (" ", confirmation_message(c.confirmed)))


def _ungrouped(c: Comparison) -> str:
    if c.grouped:
        return ""
    return _(" Which items belong together was not recorded (an older run): all are taken as independent.")


def _floor(c: Comparison) -> str:
    """A permutation test cannot find less than one in its draws, which Holm multiplies."""
    least = least_p(c.effect, c.family)
    if c.decided or least <= ALPHA:
        return ""
    size = c.family
    return _(
        " With {size} comparisons at once no difference can be found here: the smallest p of the test is {least:.2g} "
        "after correction.",
        size=size,
        least=least,
    )


def _values(c: Comparison) -> str:
    first, second, first_value, second_value, metric = c.first, c.second, c.first_value, c.second_value, c.metric
    difference, low, high, p = c.effect.value, c.effect.low, c.effect.high, p_text(c.p)
    test, wins, losses, size = _TESTS[c.effect.test], c.effect.wins, c.effect.losses, c.family
    n = items_text(c.effect.n, c.effect.groups)
    family = _(", corrected for {size} comparisons", size=size) if size > 1 else ""
    return _(
        "{first} {first_value:.3f}, {second} {second_value:.3f} ({metric}): "
        "difference {difference:+.3f} [{low:+.3f}, {high:+.3f}], {p} "
        "({test}, {wins} against {losses} of {n}{family}).",
        first=first,
        first_value=first_value,
        second=second,
        second_value=second_value,
        metric=metric,
        difference=difference,
        low=low,
        high=high,
        p=p,
        test=test,
        wins=wins,
        losses=losses,
        n=n,
        family=family,
    )


def _single_seeds(c: Comparison) -> str:
    if c.seeds != (1, 1):
        return ""
    return _(" One seed each: this holds for these models, not for their recipes.")


def _more_needed(c: Comparison) -> str:
    if c.needed:
        more = two_digits(c.needed)
        return _("; about {more} would be needed", more=more)
    if c.effect.seed_error:
        return _("; more items are not enough, more seeds are needed")
    return ""


def _spelling(c: Comparison) -> str:
    """A warning where a verdict hangs on how predictions are spelt."""
    if not any(c.spelling):
        return ""
    counted = joined(
        ", ",
        (
            _("{count} of {name}", count=count, name=name)
            for name, count in zip((c.first, c.second), c.spelling, strict=True)
            if count
        ),
    )
    return _(
        " Warning: predictions that differ from their target by spaces or width only counted as wrong ({counted}). "
        "--codec (number, labels or quantity) compares them by what they mean.",
        counted=counted,
    )
