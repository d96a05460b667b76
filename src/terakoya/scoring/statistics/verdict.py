"""Was anything learned? A score means nothing without what a constant, a nearest neighbour or a rule would have got.

Learned: the paired 95% lower bound of the gain over the deciding baseline lies above 0, the best one on dev
that is not exempt (`decision`). Not learned: the upper bound lies below the smallest gain worth having. Else the items
are too few to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from terakoya.errors import ConfigError
from terakoya.i18n import _, in_language, joined
from terakoya.scoring.baselines.standard import baseline_title
from terakoya.scoring.statistics.decision import UNDECIDED, State, decide, seed_table
from terakoya.scoring.statistics.intervals import ALPHA, score_array
from terakoya.scoring.statistics.paired import Effect, flipped_units
from terakoya.scoring.statistics.power import detectable_difference, items_needed, two_digits
from terakoya.scoring.statistics.wording import items_text, p_text

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

__all__ = ["UNDECIDED", "State", "Verdict", "verdict", "verdict_message"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, and all that it rests on.

    state          "learned", "not learned", or undecided with n items
    best           the deciding baseline: the best one that is not exempt
    value          the model's mean score
    baseline       that of the deciding baseline
    gain, low, high  mean paired difference and its 95% interval, consistent with the exact test's p
    p              of the paired test
    n              items
    detectable     the smallest gain that this exam would have found with power 0.8
    needed         items that would decide (None: decided, or no number of items is enough)
    smallest_gain  the smallest gain worth having, as configured
    groups         number of groups that the items lie in; 0 where every item is independent, or groups are not known
    chosen         where that baseline was chosen: "dev" or "exam"
    close          another baseline that did about as well as the model, so that "learned" cannot be said; "" if none
    seeds          mean score of the model trained with each seed; () where that is not known
    openings       settings that this exam was opened with, these included: the state is corrected for them
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
    groups: int = 0
    chosen: str = "exam"
    close: str = ""
    seeds: tuple[float, ...] = ()
    openings: int = 1

    def words(self, lang: str = "en") -> str:
        """The verdict as sentences.

        lang  "en" (default) or "ja"
        """
        return in_language(verdict_message(self), lang)


def verdict(
    model: Sequence[float] | Sequence[Sequence[float]] | Floats,
    baselines: Mapping[str, Sequence[float] | Floats],
    *,
    exempt: Collection[str] = (),
    smallest_gain: float = 0.02,
    seed: int = 0,
    resamples: int = 2000,
    dev: Mapping[str, float] | None = None,
    groups: Sequence[str] | None = None,
    openings: int = 1,
    trained: bool = False,
) -> Verdict:
    """Whether a model has learned anything that its baselines do not give.

    model          one score an item, or (seeds, items) of a recipe trained with several seeds
    baselines      name → scores of the same items
    exempt         baselines that need not be beaten
    smallest_gain  the smallest gain worth having (0.02)
    seed           of bootstrap and permutation
    resamples      of the bootstrap (2,000)
    dev            baseline → mean score on dev, which chooses the deciding one; None: the exam does, and the upper
                   bound is corrected for it
    groups         the group of each item; None: every item is independent of the others
    openings       settings that this exam was opened with, these included (1)
    trained        True: the model was trained here, so that its verdict says for how many seeds it holds
    Raises ConfigError when no baseline is left, DataError when items are missing.
    """
    compared = {name: scores for name, scores in baselines.items() if name not in exempt}
    if not compared:
        raise ConfigError(
            _("there is no baseline to compare the model with"),
            do=_("Give at least the constant."),
        )
    table = seed_table(model)
    made = decide(
        table,
        compared,
        smallest_gain=smallest_gain,
        dev=dev,
        openings=openings,
        groups=groups,
        seed=seed,
        resamples=resamples,
    )
    best, effect, state = made.against, made.effect, made.state
    differences = flipped_units(table.mean(axis=0) - score_array(compared[best]), groups)
    value = float(table.mean())
    undecided = state == UNDECIDED and not made.close
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
        _more_items(effect, smallest_gain, differences, openings) if undecided else None,
        smallest_gain,
        effect.groups,
        made.chosen,
        made.close,
        tuple(float(row.mean()) for row in table) if trained else (),
        openings,
    )


def _more_items(effect: Effect, smallest_gain: float, differences: Floats, openings: int) -> int | None:
    """Items that decide one way or the other: finding the observed gain, or ruling out the smallest worth having."""
    gain = max(effect.value, smallest_gain - effect.value)
    count = items_needed(effect, gain, ALPHA / openings, differences=differences)
    return None if count is None else max(count, effect.n + 1)


def verdict_message(verdict: Verdict) -> str:
    """The verdict as a message.

    verdict  with all that it rests on
    """
    return joined("", (_state_message(verdict), *_notes(verdict)))


def _notes(verdict: Verdict) -> Iterator[str]:
    """For which openings and seeds a verdict holds."""
    times, seeds = verdict.openings, verdict.seeds
    if times > 1:
        yield _(
            " This exam was opened with {times} different settings: the verdict is corrected for that.", times=times
        )
    if len(seeds) == 1:
        yield _(" This is one model: another seed may differ, and --set train.seeds=3 tells.")
    elif seeds:
        mean = sum(seeds) / len(seeds)
        spread = (sum((value - mean) ** 2 for value in seeds) / (len(seeds) - 1)) ** 0.5
        yield _(
            " Over {count} seeds: {least:.3f} to {most:.3f}, standard deviation {spread:.3f}; the interval holds for "
            "other seeds too.",
            count=len(seeds),
            least=min(seeds),
            most=max(seeds),
            spread=spread,
        )


def _state_message(verdict: Verdict) -> str:
    n = items_text(verdict.n, verdict.groups)
    values = _values(verdict, n)
    if verdict.state == "learned":
        below = verdict.high < verdict.smallest_gain
        return _learned_a_little(verdict, values) if below else _("Learned. {values}", values=values)
    smallest, shown = verdict.smallest_gain, verdict.detectable
    if verdict.state == "not learned":
        return _("Not learned: a gain of {smallest:g} or more is ruled out. {values}", smallest=smallest, values=values)
    if verdict.close:
        other = baseline_title(verdict.close)
        return _(
            "Cannot be told with {n}: the baseline '{other}' did about as well on the exam. {values}",
            n=n,
            other=other,
            values=values,
        )
    size = _("This exam shows a gain from about {shown:.2f} upwards.", shown=shown)
    if not verdict.needed:
        return _("Cannot be told with {n}. {values} {size}", n=n, values=values, size=size)
    more = two_digits(verdict.needed)
    return _(
        "Cannot be told with {n}; about {more} would be needed. {values} {size}",
        n=n,
        more=more,
        values=values,
        size=size,
    )


def _learned_a_little(verdict: Verdict, values: str) -> str:
    """Many items find gains that nobody wants."""
    smallest = verdict.smallest_gain
    return _(
        "Learned, but less than is worth having: a gain of {smallest:g} or more is ruled out. {values}",
        smallest=smallest,
        values=values,
    )


def _values(verdict: Verdict, n: str) -> str:
    value, baseline, best = verdict.value, verdict.baseline, baseline_title(verdict.best)
    gain, low, high, p = verdict.gain, verdict.low, verdict.high, p_text(verdict.p)
    where = _("chosen on dev") if verdict.chosen == "dev" else _("chosen on the exam")
    return _(
        "{value:.3f} against {baseline:.3f} of the baseline '{best}' ({where}): "
        "gain {gain:+.3f} [{low:+.3f}, {high:+.3f}], {n}, {p}.",
        value=value,
        baseline=baseline,
        best=best,
        where=where,
        gain=gain,
        low=low,
        high=high,
        n=n,
        p=p,
    )
