"""The course of the loss: whether it runs away, and whether anything is learnt at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import both, japanese
from terakoya.records import Finding, Step

_SMOOTH = 0.9  # of ten steps or so
_SLOW = 0.98  # of fifty


class Divergence:
    """A loss far above where it began: at once when it leaps, after some steps when it climbs.

    even   nats of an even guess (0: not known); no model that guesses badly is called diverging below it
    decay  the weight decay, which can be what drives it
    """

    name = "divergence"

    def __init__(self, even: float, decay: float = 0.0) -> None:
        self.even, self.decay = even, decay
        self.first = self.smooth = 0.0
        self.seen = 0
        self.told = False

    def __call__(self, step: Step) -> Sequence[Finding]:
        self.seen += 1
        if self.seen == 1:
            self.first = self.smooth = step.plain
        self.smooth += (1 - _SMOOTH) * (step.plain - self.smooth)
        usual = max(self.first, self.even)
        leapt = step.plain > 5 * usual + 5
        climbed = self.seen > 20 and self.smooth > 1.25 * usual + 1
        if self.told or not (leapt or climbed):
            return ()
        self.told = True
        rose, rose_ja = ("leapt", "跳ね上がった") if leapt else ("climbed", "上がり続けた")
        return [
            Finding(
                "divergence",
                "stop",
                both(
                    f"the loss {rose} to {step.plain:.3g} at step {step.step}; it began at "
                    f"{self.first:.2f}. Likely cause: {self._cause(step)}",
                    f"ステップ{step.step}で損失が {step.plain:.3g} まで{rose_ja}。"
                    f"初めは {self.first:.2f} だった。考えられる原因：{japanese(self._cause(step))}",
                ),
                where=both(f"step {step.step}", f"ステップ{step.step}"),
                do=both(
                    "Lower it to a tenth or less; keep train.clip = 1 and a warm-up.",
                    "十分の一以下に下げ、train.clip = 1 とウォームアップを保つこと。",
                ),
                values={"loss": step.plain, "first": self.first, "step": float(step.step)},
            )
        ]

    def _cause(self, step: Step) -> str:
        if self.decay > 1 and self.decay * step.learning_rate > 1:
            return both(
                f"weight decay: {self.decay:.3g} times the learning rate {step.learning_rate:.2g} is more than 1",
                f"重み減衰：{self.decay:.3g} と学習率 {step.learning_rate:.2g} の積が 1 を超える",
            )
        return both(
            f"learning rate: {step.learning_rate:.2g}, at a gradient norm of {step.gradient_norm:.2g}",
            f"学習率：{step.learning_rate:.2g}（勾配ノルム {step.gradient_norm:.2g}）",
        )

    def state(self) -> Mapping[str, Any]:
        return {"first": self.first, "smooth": self.smooth, "seen": self.seen, "told": self.told}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first, self.smooth = float(state["first"]), float(state["smooth"])
        self.seen, self.told = int(state["seen"]), bool(state["told"])


class NoLearning:
    """A third of the training is over, and the loss is no lower than knowing how frequent tokens are, nor falling.

    prior  nats per token of that knowledge alone; a warning, for some tasks are learnt in one leap after a long rest
    """

    name = "no-learning"

    def __init__(self, prior: float, steps: int) -> None:
        self.prior, self.due = prior, max(100, steps // 3)
        self.smooth = self.slow = 0.0
        self.seen = 0
        self.told = False

    def __call__(self, step: Step) -> Sequence[Finding]:
        self.seen += 1
        if self.seen == 1:
            self.smooth = self.slow = step.plain
        self.smooth += (1 - _SMOOTH) * (step.plain - self.smooth)
        self.slow += (1 - _SLOW) * (step.plain - self.slow)
        falling = self.smooth < 0.97 * self.slow
        if self.told or step.step < self.due or falling or self.smooth < 0.98 * self.prior:
            return ()
        self.told = True
        return [
            Finding(
                "no-learning",
                "warn",
                both(
                    f"after {step.step} steps the loss is {self.smooth:.2f}; knowing nothing but how frequent "
                    "tokens are "
                    f"gives {self.prior:.2f}",
                    f"{step.step}ステップの後で損失が {self.smooth:.2f} である。"
                    f"トークンの頻度だけを知っていても {self.prior:.2f} になる",
                ),
                where=both(f"step {step.step}", f"ステップ{step.step}"),
                do=both(
                    "Is the learning rate far too small, are sources and targets matched? See terakoya doctor.",
                    "学習率が小さすぎないか、入力と正解が対応しているか。terakoya doctor を見ること。",
                ),
                values={"loss": self.smooth, "prior": self.prior, "step": float(step.step)},
            )
        ]

    def state(self) -> Mapping[str, Any]:
        return {"smooth": self.smooth, "slow": self.slow, "seen": self.seen, "told": self.told}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.smooth, self.slow = float(state["smooth"]), float(state["slow"])
        self.seen, self.told = int(state["seen"]), bool(state["told"])
