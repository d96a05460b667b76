"""The training loss over time: whether it diverges, and whether anything is learnt at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import Both, both, japanese
from terakoya.records import Finding, Step
from terakoya.training.guards.base import was_reported

_FAST_DECAY = 0.9  # moving average of ten steps or so
_SLOW_DECAY = 0.98  # of fifty


class DivergenceGuard:
    """Ends a training whose loss is far above its first value: at once when it leaps, after some steps when it climbs.

    even   loss of a uniform guess in nats (0: not known); below it no model is called diverging
    decay  the weight decay, which can be what drives it
    """

    name = "divergence"

    def __init__(self, even: float, decay: float = 0.0) -> None:
        self.even, self.decay = even, decay
        self.initial = self.smooth = 0.0
        self.seen = 0
        self.reported = False

    def __call__(self, step: Step) -> Sequence[Finding]:
        """A finding at the first `step` whose loss diverges."""
        self.seen += 1
        if self.seen == 1:
            self.initial = self.smooth = step.plain
        self.smooth += (1 - _FAST_DECAY) * (step.plain - self.smooth)
        usual = max(self.initial, self.even)
        leapt = step.plain > 5 * usual + 5
        climbed = self.seen > 20 and self.smooth > 1.25 * usual + 1
        if self.reported or not (leapt or climbed):
            return ()
        self.reported = True
        rise = both("leapt", "跳ね上がった") if leapt else both("climbed", "上がり続けた")
        cause = self._cause(step)
        return [
            Finding(
                "divergence",
                "stop",
                both(
                    f"the loss {rise} to {step.plain:.3g} at step {step.step}; its first value was "
                    f"{self.initial:.2f}. Likely cause: {cause}",
                    f"ステップ{step.step}で損失が {step.plain:.3g} まで{japanese(rise)}。"
                    f"最初の値は {self.initial:.2f} だった。考えられる原因：{japanese(cause)}",
                ),
                where=both(f"step {step.step}", f"ステップ{step.step}"),
                do=both(
                    "Lower it to a tenth or less; keep train.clip = 1 and a warm-up.",
                    "十分の一以下に下げ、train.clip = 1 とウォームアップを保つこと。",
                ),
                values={"loss": step.plain, "first": self.initial, "step": float(step.step)},
            )
        ]

    def _cause(self, step: Step) -> Both:
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
        """What it remembers, as JSON can carry it."""
        return {"first": self.initial, "smooth": self.smooth, "seen": self.seen, "reported": self.reported}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        self.initial, self.smooth = float(state["first"]), float(state["smooth"])
        self.seen, self.reported = int(state["seen"]), was_reported(state)


class NoLearningGuard:
    """Warns when, after a third of the training, the loss is no lower than that of the token frequencies, nor falling.

    A warning only: some tasks are learnt in one leap after a long plateau.

    prior  loss of a model that knows only the token frequencies, in nats per token (`prior_entropy`)
    steps  of the whole training
    """

    name = "no-learning"

    def __init__(self, prior: float, steps: int) -> None:
        self.prior, self.due = prior, max(100, steps // 3)
        self.smooth = self.slow = 0.0
        self.seen = 0
        self.reported = False

    def __call__(self, step: Step) -> Sequence[Finding]:
        """A finding at the first `step`, after a third of them, at which nothing has been learnt."""
        self.seen += 1
        if self.seen == 1:
            self.smooth = self.slow = step.plain
        self.smooth += (1 - _FAST_DECAY) * (step.plain - self.smooth)
        self.slow += (1 - _SLOW_DECAY) * (step.plain - self.slow)
        falling = self.smooth < 0.97 * self.slow
        if self.reported or step.step < self.due or falling or self.smooth < 0.98 * self.prior:
            return ()
        self.reported = True
        return [
            Finding(
                "no-learning",
                "warn",
                both(
                    f"after {step.step} steps the loss is {self.smooth:.2f}; the frequencies of the tokens alone give "
                    f"{self.prior:.2f}",
                    f"{step.step}ステップの後で損失が {self.smooth:.2f} である。"
                    f"トークンの頻度だけでも {self.prior:.2f} になる",
                ),
                where=both(f"step {step.step}", f"ステップ{step.step}"),
                do=both(
                    "Is the learning rate far too small, do sources and targets match? See terakoya doctor.",
                    "学習率が小さすぎないか、入力と正解が対応しているか。terakoya doctor を見ること。",
                ),
                values={"loss": self.smooth, "prior": self.prior, "step": float(step.step)},
            )
        ]

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        return {"smooth": self.smooth, "slow": self.slow, "seen": self.seen, "reported": self.reported}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        self.smooth, self.slow = float(state["smooth"]), float(state["slow"])
        self.seen, self.reported = int(state["seen"]), was_reported(state)
