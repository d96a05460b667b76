"""Collapse during training: predictions that hardly differ, and an input that makes no difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import Message, _
from terakoya.records import Finding, Step
from terakoya.scoring.collapse import CONSECUTIVE, MAX_DISTINCT_SHARE, MAX_INPUT_GAIN
from terakoya.training.guards.base import was_reported


class CollapseGuard:
    """Reports at the third evaluation in a row with hardly any distinct predictions and no use for the right input.

    Loss alone says nothing: the best loss of a collapsing run belongs to the checkpoint that ignores the input. One
    poor evaluation says nothing either, for every training starts there; it is persistence that counts.

    level     "warn", or "stop" where the training shall end
    distinct  share of distinct predictions below which an evaluation is poor
    gain      nats per target that the right input must be worth; at most so much is poor
    """

    name = "collapse"

    def __init__(self, level: str = "warn", distinct: float = MAX_DISTINCT_SHARE, gain: float = MAX_INPUT_GAIN) -> None:
        self.level, self.distinct, self.gain = level, distinct, gain
        self.count, self.reported = 0, False

    def __call__(self, step: Step) -> Sequence[Finding]:
        """A finding where the evaluation of this `step` makes the collapse persistent."""
        dev = step.dev
        if dev is None or "gain" not in dev or "distinct_share" not in dev:
            return ()
        if dev["distinct_share"] >= self.distinct or dev["gain"] > self.gain:
            self.count, self.reported = 0, False
            return ()
        self.count += 1
        if self.reported or self.count < CONSECUTIVE:
            return ()
        self.reported = True
        return [self._finding(step.step, dev)]

    def _finding(self, step: int, dev: Mapping[str, float]) -> Finding:
        return Finding(
            "collapse",
            "stop" if self.level == "stop" else "warn",
            _description(dev["distinct_share"], dev["gain"]),
            where=_("step {step}", step=step),
            do=_(
                "Train sets as sets (model.head = 'set'), choose the checkpoint by train.select = 'metric' and not by "
                "loss, or balance the labels. Smoothing, focal loss, sampling and more epochs did not cure it."
            ),
            values={name: float(dev[name]) for name in ("distinct_share", "gain", "top_share") if name in dev},
        )

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        return {"count": self.count, "reported": self.reported}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        self.count, self.reported = int(state["count"]), was_reported(state)


def _description(distinct: float, gain: float) -> Message:
    """Predictions none of which can be read are not one prediction for all: who looks for that would find nothing."""
    if distinct == 0:
        return _(
            "the predictions have collapsed: none of them can be read, and the right input is worth {gain:.4f} nat",
            gain=gain,
        )
    return _(
        "the predictions have collapsed: {distinct:.1%} of them differ, and the right input is worth {gain:.4f} nat",
        distinct=distinct,
        gain=gain,
    )
