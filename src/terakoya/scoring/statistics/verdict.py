"""Was anything learned? A score means nothing without what a constant, a nearest neighbour or a rule would have got.

Learned: the paired 95% lower bound of the gain over the best baseline that is not exempt lies above 0. Not learned:
the upper bound lies below the smallest gain worth having. Else the items are too few to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from terakoya.errors import ConfigError
from terakoya.i18n import _, in_language
from terakoya.scoring.baselines.standard import baseline_title
from terakoya.scoring.statistics.intervals import score_array
from terakoya.scoring.statistics.paired import Effect, paired
from terakoya.scoring.statistics.power import detectable_difference, items_needed, two_digits

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

State = Literal["learned", "not learned", "cannot be told"]
UNDECIDED: State = "cannot be told"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, and all that it rests on.

    state          "learned", "not learned", or undecided with n items
    best           the best baseline that is not exempt
    value          the model's mean score
    baseline       that of the best baseline
    gain, low, high  mean paired difference and its 95% interval, consistent with the exact test's p
    p              of the paired test
    n              items
    detectable     the smallest gain that this exam would have found with power 0.8
    needed         items that would decide (None: decided, or no number of items is enough)
    smallest_gain  the smallest gain worth having, as configured
    """

    state: State
    best: str
    value: float
    baseline: float
    gain: float
    low: float
    high: float
    p: float
    n: int
    detectable: float
    needed: int | None
    smallest_gain: float

    def words(self, lang: str = "en") -> str:
        """The verdict as sentences.

        lang  "en" (default) or "ja"
        """
        return in_language(verdict_message(self), lang)


def verdict(
    model: Sequence[float] | Floats,
    baselines: Mapping[str, Sequence[float] | Floats],
    *,
    exempt: Collection[str] = (),
    smallest_gain: float = 0.02,
    seed: int = 0,
    resamples: int = 2000,
) -> Verdict:
    """Whether a model has learned anything that its baselines do not give.

    model          one score an item
    baselines      name → scores of the same items
    exempt         baselines that need not be beaten
    smallest_gain  the smallest gain worth having (0.02)
    seed           of bootstrap and permutation
    resamples      of the bootstrap (2,000)
    Raises ConfigError when no baseline is left, DataError when items are missing.
    """
    compared = {name: scores for name, scores in baselines.items() if name not in exempt}
    if not compared:
        raise ConfigError(
            _("there is no baseline to compare the model with"),
            do=_("Give at least the constant."),
        )
    effects = {name: paired(model, scores, seed=seed, resamples=resamples) for name, scores in compared.items()}
    best = min(effects, key=lambda name: (effects[name].value, effects[name].low, name))
    effect = effects[best]
    differences = score_array(model) - score_array(compared[best])
    state = _state(effect, smallest_gain)
    value = float(sum(model) / len(model))
    return Verdict(
        state,
        best,
        value,
        value - effect.value,
        effect.value,
        effect.low,
        effect.high,
        effect.p,
        effect.n,
        detectable_difference(effect, differences=differences),
        _more_items(effect, smallest_gain, differences) if state == UNDECIDED else None,
        smallest_gain,
    )


def _state(effect: Effect, smallest_gain: float) -> State:
    if effect.low > 0:
        return "learned"
    return "not learned" if effect.high < smallest_gain else UNDECIDED


def _more_items(effect: Effect, smallest_gain: float, differences: Floats) -> int | None:
    """Items that decide one way or the other: finding the observed gain, or ruling out the smallest worth having."""
    count = items_needed(effect, max(effect.value, smallest_gain - effect.value), differences=differences)
    return None if count is None else max(count, effect.n + 1)


def verdict_message(verdict: Verdict) -> str:
    """The verdict as a message.

    verdict  with all that it rests on
    """
    value, baseline, best = verdict.value, verdict.baseline, baseline_title(verdict.best)
    gain, low, high, n, p = verdict.gain, verdict.low, verdict.high, verdict.n, verdict.p
    values = _(
        "{value:.3f} against {baseline:.3f} of the baseline '{best}': "
        "gain {gain:+.3f} [{low:+.3f}, {high:+.3f}], n = {n}, p = {p:.2g}.",
        value=value,
        baseline=baseline,
        best=best,
        gain=gain,
        low=low,
        high=high,
        n=n,
        p=p,
    )
    if verdict.state == "learned":
        return _("Learned. {values}", values=values)
    smallest, shown = verdict.smallest_gain, verdict.detectable
    if verdict.state == "not learned":
        return _("Not learned: a gain of {smallest:g} or more is ruled out. {values}", smallest=smallest, values=values)
    size = _("This exam shows a gain from about {shown:.2f} upwards.", shown=shown)
    if not verdict.needed:
        return _("Cannot be told with {n} items. {values} {size}", n=n, values=values, size=size)
    more = two_digits(verdict.needed)
    return _(
        "Cannot be told with {n} items; about {more} would be needed. {values} {size}",
        n=n,
        more=more,
        values=values,
        size=size,
    )
