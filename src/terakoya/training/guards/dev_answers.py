"""The answers to dev: whether they can be read, and whether they are all the same. Loss says neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import both
from terakoya.records import Finding, Step

HALF = 0.5
_IN_A_ROW = 2  # evaluations: one alone is luck
_GRACE = 0.2  # of all steps, in which a model may still be learning to write


class Persisting:
    """A share among dev's answers that stays above one half; told once, and again should it come back."""

    name = ""
    figure = ""

    def __init__(self, steps: int) -> None:
        self.steps, self.count, self.told = steps, 0, False

    def __call__(self, step: Step) -> Sequence[Finding]:
        if step.dev is None or self.figure not in step.dev or step.step < _GRACE * self.steps:
            return ()
        share = float(step.dev[self.figure])
        if not self.alarming(share, step.dev):
            self.count, self.told = 0, False
            return ()
        self.count += 1
        if self.told or (self.count < _IN_A_ROW and step.step < self.steps):
            return ()
        self.told = True
        return [self.finding(share, step.step)]

    def alarming(self, share: float, dev: Mapping[str, float]) -> bool:
        return share > HALF

    def finding(self, share: float, step: int) -> Finding:
        raise NotImplementedError

    def state(self) -> Mapping[str, Any]:
        return {"count": self.count, "told": self.told}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count, self.told = int(state["count"]), bool(state["told"])


class Unreadable(Persisting):
    """More than half of the answers are no answers at all, as in the emoji log's third trial."""

    name = "unreadable"
    figure = "unreadable"

    def finding(self, share: float, step: int) -> Finding:
        return Finding(
            "unreadable-answers",
            "warn",
            both(
                f"{share:.0%} of the answers to dev are no legal answer at step {step}",
                f"ステップ{step}で、検証の回答の{share:.0%}が正しい形をしていない",
            ),
            where=both(f"step {step}", f"ステップ{step}"),
            do=both(
                "Train longer or at a higher rate; decode.constrained = true keeps every answer legal.",
                "長く、または高い学習率で学習すること。decode.constrained = true なら、どの回答も正しい形になる。",
            ),
            values={"share": share, "step": float(step)},
        )


class OneAnswer(Persisting):
    """One answer for more than half of the inputs, where the targets say otherwise.

    usual  share of the most frequent target: that many equal answers are no alarm
    """

    name = "one-answer"
    figure = "top_share"

    def __init__(self, steps: int, usual: float) -> None:
        super().__init__(steps)
        self.usual = usual

    def alarming(self, share: float, dev: Mapping[str, float]) -> bool:
        # Where hardly anything can be read, the few that can are no picture of all.
        return share > max(HALF, 1.5 * self.usual) and dev.get("unreadable", 0.0) < HALF

    def finding(self, share: float, step: int) -> Finding:
        return Finding(
            "one-answer",
            "warn",
            both(
                f"one answer for {share:.0%} of the inputs at step {step}, where the most frequent target has "
                f"{self.usual:.0%}: the model has stopped listening",
                f"ステップ{step}で入力の{share:.0%}に同じ回答をしている。"
                f"最も多い正解でも{self.usual:.0%}である：モデルが入力に応じなくなっている",
            ),
            where=both(f"step {step}", f"ステップ{step}"),
            do=both(
                "Teach sets as sets (model.head = 'set'), choose the checkpoint by train.select = 'metric', balance "
                "the data.",
                "集合は集合として学習し（model.head = 'set'）、"
                "チェックポイントを train.select = 'metric' で選び、データの偏りを減らすこと。",
            ),
            values={"share": share, "usual": self.usual, "step": float(step)},
        )
