"""Which baseline a model is judged against, and what may be said of it.

Picked on the exam itself, the best of several equally good baselines looks better than it is. The deciding baseline
is therefore the best one on dev. Where dev scores are missing it is the best on the exam, and the upper bound of the
gain is corrected for that choice by the distribution of the largest of several correlated t statistics (Dunnett 1955);
"learned" needs no correction: it requires a gain over every baseline (intersection-union test, Berger 1982). A small
dev often names a baseline that is not the best, so the gain over all others is required as well, by the bound of the
normal approximation: the exact test of each would find nothing on a small exam. Where the exam chose, the deciding test
is McNemar's with the mid-p (Lancaster 1961; Fagerland, Lydersen and Laake 2013), for the same reason.

An exam that was opened before, with other settings, has been chosen by: its p-value and its bounds are corrected for
the number of settings that were tried on it (Bonferroni). A recipe that was trained with several seeds is judged with
both levels, items and seeds (`paired_seeds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from terakoya.scoring.statistics.intervals import ALPHA, Z, score_array
from terakoya.scoring.statistics.paired import DRAWS, Effect, flipped_units, paired_seeds

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

State = Literal["learned", "not learned", "cannot be told"]
UNDECIDED: State = "cannot be told"
ChosenOn = Literal["dev", "exam"]
CLOSE = Z  # standard errors: the gain over every other baseline must be larger, see `Decision.close`
_T_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What a model's exam says about its baselines.

    state    "learned", "not learned", or undecided with n items
    against  the baseline that decides
    effect   the gain over it; the upper bound is corrected where that baseline was chosen on the exam
    chosen   where that baseline was chosen: "dev" or "exam"
    close    another baseline that did about as well as the model, so that "learned" cannot be said;
             "" where there is none
    """

    state: State
    against: str
    effect: Effect
    chosen: ChosenOn
    close: str = ""


def decide(
    model: Sequence[float] | Sequence[Sequence[float]] | Floats,
    baselines: Mapping[str, Sequence[float] | Floats],
    *,
    smallest_gain: float = 0.02,
    dev: Mapping[str, float] | None = None,
    openings: int = 1,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    draws: int = DRAWS,
) -> Decision:
    """Whether a model has learned anything that its baselines do not give.

    model          one score an item, or (seeds, items) of a recipe trained with several seeds
    baselines      name → scores of the same items, at least one
    smallest_gain  the smallest gain worth having (0.02)
    dev            name → mean score on dev, which chooses; None, or with one missing: the exam chooses
    openings       settings that this exam was opened with, these included (1)
    groups         the group of each item; None: every item is independent of the others
    seed           of bootstrap and permutation
    resamples      of the bootstrap (2,000)
    draws          of the permutation test (10,000)
    """
    table = seed_table(model)
    by_dev = dev is not None and set(baselines) <= set(dev)
    test = partial(
        paired_seeds,
        seed=seed,
        resamples=resamples,
        draws=draws,
        groups=groups,
        mid_p=not by_dev and len(baselines) > 1,
    )
    effects = {name: test(table, seed_table(scores)) for name, scores in baselines.items()}
    if dev is not None and by_dev:
        against = min(effects, key=lambda name: (-dev[name], name))
        effect = effects[against]
        close = _close(effects, against)
        state = _state(effect, smallest_gain, openings)
        return Decision(UNDECIDED if state == "learned" and close else state, against, effect, "dev", close)
    against = min(effects, key=lambda name: (effects[name].value, effects[name].low, name))
    effect = effects[against]
    if len(effects) > 1:
        row = table.mean(axis=0)
        units = [flipped_units(row - score_array(scores), groups) for scores in baselines.values()]
        stretch = max_type_stretch(units, seed=seed)
        high = min(one.value + (one.high - one.value) * stretch for one in effects.values())
        effect = replace(effect, high=min(1.0, max(high, effect.high)))
    return Decision(_state(effect, smallest_gain, openings), against, effect, "exam")


def seed_table(scores: Sequence[float] | Sequence[Sequence[float]] | Floats) -> Floats:
    """Scores as (seeds, items): those of one model are one row.

    scores  (items,) or (seeds, items)
    Raises DataError as `score_array` does.
    """
    import numpy as np

    return np.stack([score_array(row) for row in np.atleast_2d(np.asarray(scores, dtype=np.float64))])


def _state(effect: Effect, smallest_gain: float, openings: int) -> State:
    if effect.low > 0 and effect.p * openings <= ALPHA:
        return "learned"
    high = effect.value + (effect.high - effect.value) * _opening_stretch(effect, openings)
    return "not learned" if high < smallest_gain else UNDECIDED


def _opening_stretch(effect: Effect, openings: int) -> float:
    """How much longer a bound must be to hold for one of several openings, whichever is looked at."""
    from scipy.special import stdtrit

    freedom = max(1.0, effect.degrees_of_freedom)
    corrected, usual = (float(stdtrit(freedom, 1 - ALPHA / 2 / number)) for number in (openings, 1))
    return corrected / usual


def _close(effects: Mapping[str, Effect], against: str) -> str:
    """The baseline with the least gain over it, where that gain is not clear of 0.

    Dev may have chosen a baseline that is not the best one; without this check a model that equals the best baseline
    would be called learned for beating a worse one.
    """
    gains = {name: effect.value - CLOSE * effect.standard_error for name, effect in effects.items() if name != against}
    least = min(gains, key=lambda name: (gains[name], name), default="")
    return least if least and gains[least] <= 0 else ""


def max_type_stretch(differences: Sequence[Floats], *, seed: int = 0) -> float:
    """How much longer an upper bound must be to hold for the least of several gains at once (Dunnett 1955).

    differences  of the model and each baseline, each (items,) or (groups,)
    seed         of the simulated multivariate t distribution
    Returns at least 1; 1 where all baselines predict alike.
    """
    import numpy as np
    from scipy.special import stdtrit

    table = np.stack(differences)
    table = table[table.std(axis=1) > 1e-12]
    if len(table) < 2 or table.shape[1] < 3:
        return 1.0
    rng = np.random.default_rng(seed)
    freedom = table.shape[1] - 1
    values, vectors = np.linalg.eigh(np.corrcoef(table))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = rng.standard_normal((_T_DRAWS, len(table))) @ root.T
    largest = normal.max(axis=1) / np.sqrt(rng.chisquare(freedom, _T_DRAWS) / freedom)
    return max(1.0, float(np.quantile(largest, 1 - ALPHA / 2)) / float(stdtrit(freedom, 1 - ALPHA / 2)))
