"""Was anything learnt? A figure is nothing without what a constant, a neighbour or a rule would have got.

Learned: the paired 95% lower bound of the gain over the best baseline that is not exempt lies above 0. Not learned:
the upper bound lies below the smallest gain worth having. Else it cannot be told with these items.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.scoring.baselines.standard import NAMES_JA
from terakoya.scoring.statistics.intervals import array
from terakoya.scoring.statistics.paired import Effect, paired
from terakoya.scoring.statistics.power import detectable, needed, roughly

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

State = Literal["learned", "not learned", "cannot be told"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, and all that it rests on.

    best, baseline  the best baseline that counts, and its figure; `value` is the model's
    gain, low, high the mean paired difference and its 95% interval, made to agree with the exact test's p
    detectable      the smallest gain that this exam would have shown four times in five
    needed          items with which it could be told (None: already told, or no number of items would do)
    smallest_gain   the smallest gain worth having, as configured
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
        """The verdict as a sentence, in English or Japanese ("ja")."""
        return _japanese(self) if lang == "ja" else _english(self)


def verdict(
    model: Sequence[float] | Floats,
    baselines: Mapping[str, Sequence[float] | Floats],
    *,
    exempt: Collection[str] = (),
    smallest_gain: float = 0.02,
    seed: int = 0,
    resamples: int = 2000,
) -> Verdict:
    """Judge a model's scores, item by item, against those of its baselines on the same items.

    `exempt` baselines are shown elsewhere but need not be beaten. Raises ConfigError when none is left, DataError when
    items are missing.
    """
    rivals = {name: scores for name, scores in baselines.items() if name not in exempt}
    if not rivals:
        raise ConfigError(
            both("there is no baseline to judge the model by", "モデルを判定するベースラインがない"),
            do=both("Give at least the constant.", "少なくとも定数のベースラインを与えること。"),
        )
    effects = {name: paired(model, scores, seed=seed, resamples=resamples) for name, scores in rivals.items()}
    best = min(effects, key=lambda name: (effects[name].value, effects[name].low, name))
    effect = effects[best]
    seen = array(model) - array(rivals[best])
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
        detectable(effect, differences=seen),
        _more_items(effect, smallest_gain, seen) if state == "cannot be told" else None,
        smallest_gain,
    )


def _state(effect: Effect, smallest_gain: float) -> State:
    if effect.low > 0:
        return "learned"
    return "not learned" if effect.high < smallest_gain else "cannot be told"


def _more_items(effect: Effect, smallest_gain: float, seen: Floats) -> int | None:
    """Two ways lead out of doubt: seeing the gain that was met, or ruling out the smallest one worth having."""
    count = needed(effect, max(effect.value, smallest_gain - effect.value), differences=seen)
    return None if count is None else max(count, effect.n + 1)


def _figures(v: Verdict) -> str:
    return f"{v.gain:+.3f} [{v.low:+.3f}, {v.high:+.3f}], n = {v.n}, p = {v.p:.2g}"


def _english(v: Verdict) -> str:
    against = f"{v.value:.3f} against {v.baseline:.3f} of the baseline '{v.best}': gain {_figures(v)}."
    if v.state == "learned":
        return f"Learned. {against}"
    if v.state == "not learned":
        return f"Not learned: a gain of {v.smallest_gain:g} or more is ruled out. {against}"
    more = f"; about {roughly(v.needed)} would be needed" if v.needed else ""
    shows = f"This exam shows a gain from about {v.detectable:.2f} upwards."
    return f"Cannot be told with {v.n} items{more}. {against} {shows}"


def _japanese(v: Verdict) -> str:
    against = (
        f"{v.value:.3f}、最良のベースライン「{NAMES_JA.get(v.best, v.best)}」は {v.baseline:.3f}。差は {_figures(v)}。"
    )
    if v.state == "learned":
        return f"学習できた。{against}"
    if v.state == "not learned":
        return f"学習できていない（{v.smallest_gain:g} 以上の向上はないといえる）。{against}"
    more = f"（約{roughly(v.needed)}問が必要）" if v.needed else ""
    return f"{v.n}問では判断できない{more}。{against}この試験で見分けられる差は約 {v.detectable:.2f} 以上。"
