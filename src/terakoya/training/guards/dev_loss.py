"""A dev loss that is NaN or infinite although every training step was finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from terakoya.i18n import Both, both, japanese
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
                both(
                    f"the dev loss is {loss} while the training loss is {step.plain:.3g}; this step cannot become the "
                    f"best one. Likely cause: {cause}",
                    f"検証損失が {loss} である（学習損失は {step.plain:.3g}）。このステップは最良にならない。"
                    f"考えられる原因：{japanese(cause)}",
                ),
                where=both(f"step {step.step}", f"ステップ{step.step}"),
                do=advice,
                values={"loss": loss, "step": float(step.step), "rows": float(len(rows))},
            )
        ]

    def _cause(self, rows: Sequence[str]) -> tuple[Both, Both]:
        """The likely cause, and what to do about it."""
        dtype = str(self.dtype()).removeprefix("torch.")
        if dtype != "float32" and rows:
            return (
                both(
                    f"half precision: a value leaves the range of {dtype}",
                    f"半精度：値が {dtype} の範囲を超えた",
                ),
                both("Set model.dtype = 'float32'.", "model.dtype = 'float32' とすること。"),
            )
        if rows:
            count, shown = len(rows), ", ".join(rows[:_SHOWN])
            return (
                both(
                    f"bad row: the loss of {count} dev rows is not finite by itself ({shown})",
                    f"壊れた行：検証データの{count}行が単独で有限でない（{shown}）",
                ),
                both(
                    "Look at the dev rows named: remove or correct them. Where it is all of them, lower "
                    "train.learning_rate.",
                    "名前の挙がった検証データの行を見て、取り除くか直すこと。"
                    "全行がそうなら train.learning_rate を下げること。",
                ),
            )
        if self.averaged:
            return (
                both(
                    "averaged weights: with the weights being trained every dev row is finite",
                    "平均した重み：学習中の重みでは検証データの全行が有限である",
                ),
                both("Set train.average = 0.", "train.average = 0 とすること。"),
            )
        return (
            both(
                "overflow: every dev row is finite by itself, and their sum is not",
                "桁あふれ：検証データの各行は有限だが、その和が有限でない",
            ),
            both("Lower train.learning_rate.", "train.learning_rate を下げること。"),
        )

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        return {"reported": self.reported}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        self.reported = was_reported(state)
