"""Runs side by side, item by item, or the reason why not.

Two figures may be held against each other only when the same questions were asked in the same way and judged alike.
What can be compared gets an effect, an interval, a p-value corrected for the number of comparisons, and the smallest
difference that this exam could have shown.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from terakoya.errors import ConfigError, IncompatibleError
from terakoya.evaluation.item_scores import IMPORTED, Item, Outcome, read_inferences, read_outcomes, read_run
from terakoya.i18n import both, japanese
from terakoya.scoring.statistics.intervals import ALPHA
from terakoya.scoring.statistics.paired import Effect, fisher, holm, paired_seeds
from terakoya.scoring.statistics.power import detectable, needed, roughly

if TYPE_CHECKING:
    from terakoya.scoring.statistics.intervals import Floats

__all__ = ["Comparison", "Item", "Outcome", "Side", "compare", "read_inferences", "read_outcomes", "read_run", "sides"]

State = Literal["first is better", "second is better", "cannot be told apart"]

_TESTS = {
    "mcnemar": ("exact McNemar", "正確マクネマー検定"),
    "permutation": ("paired permutation", "対応のある並べ替え検定"),
    "two-level": ("permutation over items and t over seeds", "問の並べ替え検定とシードの t 検定"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One recipe: its outcomes, one for every seed it was trained with."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def mean(self) -> float:
        return sum(outcome.mean for outcome in self.outcomes) / len(self.outcomes)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides on one exam.

    effect      first minus second; its interval is for this comparison alone
    p           corrected (Holm) for the `family` of comparisons made at once; it decides
    detectable  the smallest difference that this exam would have shown four times in five
    needed      items with which it could be told (None: it was told, or no number of items would do)
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

    def words(self, lang: str = "en") -> str:
        """What may be said, in English or Japanese ("ja")."""
        return _japanese(self) if lang == "ja" else _english(self)


def compare(
    outcomes: Sequence[Outcome],
    *,
    pairs: Literal["all", "first"] = "all",
    across: Collection[Literal["decoding"]] = (),
    together: bool = True,
    smallest_gain: float = 0.02,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[Comparison, ...]:
    """Compare every pair of sides (or the first with each other one), as one family.

    pairs     all of them, or the "first" side against each other
    across    "decoding" where the way of decoding is the question itself
    together  runs of one recipe with different seeds are one side, seeds being a second level of chance
    smallest_gain  differences below this are not worth the items that would show them

    Raises IncompatibleError, naming all that differs, and ConfigError when there are fewer than two sides.
    """
    parties = sides(outcomes) if together else tuple(Side(o.name, (o,)) for o in outcomes)
    if len(parties) < 2:
        raise ConfigError(
            both(
                f"a comparison needs two sides; {len(outcomes)} outcomes of {len(parties)} recipe were given",
                f"比較には二つの側が必要である。与えられたのは{len(parties)}つのレシピの結果{len(outcomes)}件",
            ),
            do=both(
                "Name two runs that differ in more than their seed.", "シード以外も異なる二つの実行を指定すること。"
            ),
        )
    for outcome in outcomes[1:]:
        _refuse_unlike(outcomes[0], outcome, across)
    chosen = [(parties[0], other) for other in parties[1:]] if pairs == "first" else list(combinations(parties, 2))
    effects = [paired_seeds(*_aligned(a, b), seed=seed, resamples=resamples) for a, b in chosen]
    corrected = holm([effect.p for effect in effects])
    return tuple(
        _comparison(a, b, effect, p, len(chosen), smallest_gain)
        for (a, b), effect, p in zip(chosen, effects, corrected, strict=True)
    )


def sides(outcomes: Sequence[Outcome]) -> tuple[Side, ...]:
    """Outcomes of one recipe with different seeds make one side; all others stand alone."""
    groups: dict[str, list[Outcome]] = {}
    for i, outcome in enumerate(outcomes):
        key = outcome.recipe if outcome.recipe and outcome.seed is not None else f"alone {i}"
        if any(outcome.seed == other.seed for other in groups.get(key, ())):
            key = f"alone {i}"  # the same seed again is the same run again, not another draw
        groups.setdefault(key, []).append(outcome)
    return tuple(
        Side(group[0].name if len(group) == 1 else f"{group[0].name} ({len(group)} seeds)", tuple(group))
        for group in groups.values()
    )


def _aligned(first: Side, second: Side) -> tuple[Floats, Floats]:
    """Scores (seeds, items) of both sides, items in the same order."""
    import numpy as np

    order = sorted(first.outcomes[0].keyed())
    tables = [np.array([[o.keyed()[key] for key in order] for o in side.outcomes]) for side in (first, second)]
    return tables[0], tables[1]


def _comparison(a: Side, b: Side, effect: Effect, p: float, family: int, smallest_gain: float) -> Comparison:
    told = p <= ALPHA
    state: State = "cannot be told apart"
    if told:
        state = "first is better" if effect.value > 0 else "second is better"
    alpha = ALPHA / family  # what the first step of Holm's correction asks
    first, second = _aligned(a, b)
    seen = first.mean(axis=0) - second.mean(axis=0)
    count = None if told else needed(effect, max(abs(effect.value), smallest_gain), alpha, differences=seen)
    return Comparison(
        first=a.name,
        second=b.name,
        first_value=a.mean,
        second_value=b.mean,
        metric=a.outcomes[0].signature.metric,
        effect=effect,
        p=p,
        family=family,
        state=state,
        detectable=detectable(effect, alpha, differences=seen),
        needed=None if count is None else max(count, effect.n + 1),
        seeds=(len(a.outcomes), len(b.outcomes)),
    )


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────

_PARTS = (
    ("exam", both("the exam", "試験")),
    ("metric", both("the metric or its version", "指標またはその版")),
    ("labels", both("the label set", "ラベルの集合")),
    ("normal", both("the normal form of answers", "回答の正規形")),
    ("decoding", both("the decoding", "デコード")),
)


def unlike(first: Outcome, second: Outcome, across: Collection[str] = ()) -> tuple[str, ...]:
    """All that forbids a comparison, in words; () when there is nothing."""
    a, b = first.signature, second.signature
    if IMPORTED in (a.decoding, b.decoding):
        a, b = replace(a, decoding=""), replace(b, decoding="")
    faults = [
        both(
            f"{words} ({getattr(a, part) or 'none'} / {getattr(b, part) or 'none'})",
            f"{japanese(words)}（{getattr(a, part) or 'none'} / {getattr(b, part) or 'none'}）",
        )
        for part, words in _PARTS
        if part not in across and getattr(a, part) != getattr(b, part)
    ]
    mine, yours = first.keyed().keys(), second.keyed().keys()
    if mine != yours:
        faults.append(
            both(
                f"the items ({len(mine & yours)} in common of {len(mine)} / {len(yours)})",
                f"問題（{len(mine)} / {len(yours)} のうち共通は{len(mine & yours)}）",
            )
        )
    return tuple(faults)


def _refuse_unlike(first: Outcome, second: Outcome, across: Collection[str]) -> None:
    if wrong := set(across) - {"decoding"}:
        raise ConfigError(
            both(
                f"{', '.join(sorted(wrong))} may not differ in a comparison",
                f"比較では {', '.join(sorted(wrong))} が異なってはならない",
            ),
            do=both("Only 'decoding' may.", "異なってよいのは 'decoding' だけである。"),
        )
    if faults := unlike(first, second, across):
        raise IncompatibleError(
            both(
                f"{first.name} and {second.name} cannot be compared. These differ: {'; '.join(faults)}",
                f"{first.name} と {second.name} は比較できない。異なるもの：{'、'.join(map(japanese, faults))}",
            ),
            do=both(
                f"Set both the same exam: terakoya evaluate RUN --data FILE.{_unpaired(first, second)}",
                f"両方に同じ試験を課すこと：terakoya evaluate RUN --data FILE。{japanese(_unpaired(first, second))}",
            ),
        )


def _unpaired(first: Outcome, second: Outcome) -> str:
    """What would be left if both exams were drawn alike, which nobody can promise: so it is said, not judged."""
    scores = [[item.value for item in side.items] for side in (first, second)]
    if first.signature.metric != second.signature.metric or any(v not in (0, 1) for side in scores for v in side):
        return ""
    right, sizes = [round(sum(side)) for side in scores], [len(side) for side in scores]
    p = fisher(right[0], sizes[0], right[1], sizes[1])
    return both(
        f" (Even if both exams were alike: {right[0]}/{sizes[0]} and {right[1]}/{sizes[1]}, Fisher p = {p:.2g}.)",
        f"（仮に試験が同等だとしても：{right[0]}/{sizes[0]} と {right[1]}/{sizes[1]}、Fisher の p = {p:.2g}。）",
    )


# ── words ───────────────────────────────────────────────────────────────────────────────────────────────


def _figures(c: Comparison) -> str:
    e = c.effect
    return f"{e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}], p = {c.p:.2g}"


def _english(c: Comparison) -> str:
    e = c.effect
    counts = f"{e.wins} items against {e.losses} of {e.n}"
    family = f", corrected for {c.family} comparisons" if c.family > 1 else ""
    facts = (
        f"{c.first} {c.first_value:.3f}, {c.second} {c.second_value:.3f} ({c.metric}): difference {_figures(c)} "
        f"({_TESTS[e.test][0]}, {counts}{family})."
    )
    single = " One seed a side: said of these models, not of their recipes." if c.seeds == (1, 1) else ""
    if c.state != "cannot be told apart":
        return f"{c.first if e.value > 0 else c.second} is better. {facts}{single}"
    more = f"; about {roughly(c.needed)} would be needed" if c.needed else ""
    if not c.needed and e.seed_error:
        more = "; more items would not do, more seeds are needed"
    shown = f" The smallest difference that this exam could have shown is about {c.detectable:.2f}."
    return f"{c.first} and {c.second} cannot be told apart with {e.n} items{more}. {facts}{shown}{single}"


def _japanese(c: Comparison) -> str:
    e = c.effect
    family = f"、{c.family}個の比較で補正" if c.family > 1 else ""
    facts = (
        f"{c.first} {c.first_value:.3f}、{c.second} {c.second_value:.3f}（{c.metric}）。差は {_figures(c)}"
        f"（{_TESTS[e.test][1]}、{e.n}問中 {e.wins} 対 {e.losses}{family}）。"
    )
    single = "シードは各1つなので、この2つのモデルについてだけいえる。" if c.seeds == (1, 1) else ""
    if c.state != "cannot be told apart":
        return f"{c.first if e.value > 0 else c.second} のほうが良い。{facts}{single}"
    more = f"（約{roughly(c.needed)}問が必要）" if c.needed else ""
    if not c.needed and e.seed_error:
        more = "（問ではなくシードを増やす必要がある）"
    shown = f"この試験で見分けられた最小の差は約 {c.detectable:.2f}。"
    return f"{c.first} と {c.second} は {e.n}問では区別できない{more}。{facts}{shown}{single}"
