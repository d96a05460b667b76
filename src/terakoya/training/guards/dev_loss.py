"""A dev loss that is NaN or infinite although every training step was finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from terakoya.i18n import Message, _
from terakoya.records import Finding, Step
from terakoya.training.guards.base import was_reported

_SHOWN = 5  # rows named


class DevLossGuard:
    """Warns at the first evaluation whose dev loss is not finite, with the likely cause; again should it come back.

    Such an evaluation is never chosen as the best one (loop.py), and steps of which dev says nothing are lost.

    find_rows  names of the dev rows whose own loss is not finite with the weights being trained; called only then
    dtype      of the weights; called only then
    averaged   whether dev is evaluated with averaged weights, which are not the ones being trained
    """

    name = "dev-loss"

    def __init__(
        self, find_rows: Callable[[], Sequence[str]], dtype: Callable[[], torch.dtype], averaged: bool = False
    ) -> None:
        self.find_rows, self.dtype, self.averaged = find_rows, dtype, averaged
        self.reported = False

    def __call__(self, step: Step) -> Sequence[Finding]:
        """A finding where the dev loss of this `step` is not finite and was finite, or unknown, before."""
        if step.dev is None or "loss" not in step.dev:
            return ()
        loss = float(step.dev["loss"])
        if math.isfinite(loss):
            self.reported = False
            return ()
        if self.reported:
            return ()
        self.reported = True
        rows = self.find_rows()
        cause, advice = self._cause(rows)
        return [
            Finding(
                "dev-loss",
                "warn",
                _(
                    "the dev loss is {loss} while the training loss is {plain:.3g}; this step cannot become the "
                    "best one. Likely cause: {cause}",
                    loss=loss,
                    plain=step.plain,
                    cause=cause,
                ),
                where=_("step {step}", step=step.step),
                do=advice,
                values={"loss": loss, "step": float(step.step), "rows": float(len(rows))},
            )
        ]

    def _cause(self, rows: Sequence[str]) -> tuple[Message, Message]:
        """The likely cause, and what to do about it."""
        dtype = str(self.dtype()).removeprefix("torch.")
        if dtype != "float32" and rows:
            return (
                _("half precision: a value leaves the range of {dtype}", dtype=dtype),
                _("Set model.dtype = 'float32'."),
            )
        if rows:
            count, shown = len(rows), ", ".join(rows[:_SHOWN])
            return (
                _("bad row: the loss of {count} dev rows is not finite by itself ({shown})", count=count, shown=shown),
                _(
                    "Look at the dev rows named: remove or correct them. Where it is all of them, lower "
                    "train.learning_rate."
                ),
            )
        if self.averaged:
            return (
                _("averaged weights: with the weights being trained every dev row is finite"),
                _("Set train.average = 0."),
            )
        return (
            _("overflow: every dev row is finite by itself, and their sum is not"),
            _("Lower train.learning_rate."),
        )

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        return {"reported": self.reported}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        self.reported = was_reported(state)
