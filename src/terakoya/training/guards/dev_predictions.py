"""The predictions on dev: whether they can be read, and whether they are all the same. The loss shows neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from terakoya.i18n import _
from terakoya.records import Finding, Step
from terakoya.training.guards.base import was_reported

_HALF = 0.5
_IN_A_ROW = 2  # evaluations: one alone is luck
_GRACE_SHARE = 0.2  # of all steps, in which a model may still be learning to write


class ShareGuard:
    """Warns when a share of dev's predictions stays above one half; once, and again should it come back.

    steps  of the whole training; the first fifth of them is not judged
    """

    name = ""
    metric = ""  # of `Step.dev`

    def __init__(self, steps: int) -> None:
        self.steps, self.count, self.reported = steps, 0, False

    def __call__(self, step: Step) -> Sequence[Finding]:
        """A finding where the evaluation of this `step` makes the share persistent."""
        if step.dev is None or self.metric not in step.dev or step.step < _GRACE_SHARE * self.steps:
            return ()
        share = float(step.dev[self.metric])
        if not self.is_alarming(share, step.dev):
            self.count, self.reported = 0, False
            return ()
        self.count += 1
        if self.reported or (self.count < _IN_A_ROW and step.step < self.steps):
            return ()
        self.reported = True
        return [self.finding(share, step.step)]

    def is_alarming(self, share: float, dev: Mapping[str, float]) -> bool:
        """Whether a `share` is too high, given the other metrics of `dev`."""
        return share > _HALF

    def finding(self, share: float, step: int) -> Finding:
        """What is reported of this `share` at this `step`."""
        raise NotImplementedError

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        return {"count": self.count, "reported": self.reported}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        self.count, self.reported = int(state["count"]), was_reported(state)


class UnreadableGuard(ShareGuard):
    """Warns when more than half of the predictions are illegal, as in the emoji log's third trial."""

    name = "unreadable"
    metric = "unreadable"

    def finding(self, share: float, step: int) -> Finding:
        """What is reported of this `share` of illegal predictions at this `step`."""
        return Finding(
            "unreadable-answers",
            "warn",
            _("{share:.0%} of the predictions on dev are illegal at step {step}", share=share, step=step),
            where=_("step {step}", step=step),
            do=_("Train longer or at a higher rate; decode.constrained = true keeps every prediction legal."),
            values={"share": share, "step": float(step)},
        )


class ConstantPredictionGuard(ShareGuard):
    """Warns when more than half of the inputs get the same prediction, where the targets say otherwise.

    steps  of the whole training
    usual  share of the most frequent target: that many equal predictions are no alarm
    """

    name = "one-answer"
    metric = "top_share"

    def __init__(self, steps: int, usual: float) -> None:
        super().__init__(steps)
        self.usual = usual

    def is_alarming(self, share: float, dev: Mapping[str, float]) -> bool:
        """Whether a `share` is too high for these targets; not judged where `dev` is mostly unreadable."""
        # Where hardly anything can be read, the few that can are no sample of all.
        return share > max(_HALF, 1.5 * self.usual) and dev.get("unreadable", 0.0) < _HALF

    def finding(self, share: float, step: int) -> Finding:
        """What is reported of this `share` of equal predictions at this `step`."""
        return Finding(
            "one-answer",
            "warn",
            _(
                "the same prediction for {share:.0%} of the inputs at step {step}, where the most frequent target has "
                "{usual:.0%}: the model ignores its input",
                share=share,
                step=step,
                usual=self.usual,
            ),
            where=_("step {step}", step=step),
            do=_(
                "Train sets as sets (model.head = 'set'), choose the checkpoint by train.select = 'metric', balance "
                "the data."
            ),
            values={"share": share, "usual": self.usual, "step": float(step)},
        )
