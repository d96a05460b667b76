"""Watching for collapse while a model is taught: the meter's figures at every evaluation, and a guard that speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import Both, both
from terakoya.models.protocol import Pair
from terakoya.records import Finding, Step
from terakoya.scoring.collapse import DISTINCT, GAIN, IN_A_ROW


def rotated(pairs: Sequence[Pair]) -> list[Pair]:
    """Every answer with its neighbour's question: a model that listens finds these rows worse than the true ones."""
    return [Pair(pairs[number - 1].ask, pair.written, pair.key) for number, pair in enumerate(pairs)]


class Collapse:
    """Speaks at the third evaluation in a row with hardly any different answers and no use for the right input.

    Loss alone says nothing: the best loss of a collapsing run belongs to the checkpoint that has given up the input.
    One poor evaluation says nothing either, for every training begins there; it is persistence that counts.
    level  "warn", or "stop" where the training shall end
    """

    name = "collapse"

    def __init__(self, level: str = "warn", distinct: float = DISTINCT, gain: float = GAIN) -> None:
        self.level, self.distinct, self.gain = level, distinct, gain
        self.count, self.told = 0, False

    def __call__(self, step: Step) -> Sequence[Finding]:
        dev = step.dev
        if dev is None or "gain" not in dev or "distinct_share" not in dev:
            return ()
        if dev["distinct_share"] >= self.distinct or dev["gain"] > self.gain:
            self.count, self.told = 0, False
            return ()
        self.count += 1
        if self.told or self.count < IN_A_ROW:
            return ()
        self.told = True
        return [self._finding(step.step, dev)]

    def _finding(self, step: int, dev: Mapping[str, float]) -> Finding:
        return Finding(
            "collapse",
            "stop" if self.level == "stop" else "warn",
            _said(dev["distinct_share"], dev["gain"]),
            where=both(f"step {step}", f"ステップ{step}"),
            do=both(
                "Teach sets as sets (model.head = 'set'), choose the checkpoint by train.select = 'metric' and not by "
                "loss, or balance the labels. Smoothing, focal loss, sampling and more epochs did not cure it.",
                "集合は集合として学習し（model.head = 'set'）、"
                "チェックポイントは損失でなく train.select = 'metric' で選ぶか、"
                "ラベルの偏りを減らすこと。平滑化、focal損失、サンプリング、"
                "エポック数の増加では治らなかった。",
            ),
            values={name: float(dev[name]) for name in ("distinct_share", "gain", "top_share") if name in dev},
        )

    def state(self) -> Mapping[str, Any]:
        return {"count": self.count, "told": self.told}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count, self.told = int(state["count"]), bool(state["told"])


def _said(distinct: float, gain: float) -> Both:
    """Answers of which none can be read are not one answer for all: a reader who looks for that would find nothing."""
    if distinct == 0:
        return both(
            f"the answers have collapsed: none of them can be read, and the right input is worth {gain:.4f} nat",
            f"回答が崩壊している：読み取れる回答がなく、正しい入力の価値は {gain:.4f} nat である",
        )
    return both(
        f"the answers have collapsed: {distinct:.1%} of them differ, and the right input is worth {gain:.4f} nat",
        f"回答が崩壊している：異なる回答は {distinct:.1%} だけで、正しい入力の価値は {gain:.4f} nat である",
    )
