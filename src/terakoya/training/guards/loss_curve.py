"""The training loss over time: whether it diverges, and whether anything is learnt at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import Message, _
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
        rise = _("leapt") if leapt else _("climbed")
        cause = self._cause(step)
        return [
            Finding(
                "divergence",
                "stop",
                _(
                    "the loss {rise} to {plain:.3g} at step {step}; its first value was "
                    "{initial:.2f}. Likely cause: {cause}",
                    rise=rise,
                    plain=step.plain,
                    step=step.step,
                    initial=self.initial,
                    cause=cause,
                ),
                where=_("step {step}", step=step.step),
                do=_("Lower it to a tenth or less; keep train.clip = 1 and a warm-up."),
                values={"loss": step.plain, "first": self.initial, "step": float(step.step)},
            )
        ]

    def _cause(self, step: Step) -> Message:
        if self.decay > 1 and self.decay * step.learning_rate > 1:
            return _(
                "weight decay: {decay:.3g} times the learning rate {learning_rate:.2g} is more than 1",
                decay=self.decay,
                learning_rate=step.learning_rate,
            )
        return _(
            "learning rate: {learning_rate:.2g}, at a gradient norm of {gradient_norm:.2g}",
            learning_rate=step.learning_rate,
            gradient_norm=step.gradient_norm,
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
                _(
                    "after {step} steps the loss is {smooth:.2f}; the frequencies of the tokens alone give {prior:.2f}",
                    step=step.step,
                    smooth=self.smooth,
                    prior=self.prior,
                ),
                where=_("step {step}", step=step.step),
                do=_("Is the learning rate far too small, do sources and targets match? See terakoya doctor."),
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
