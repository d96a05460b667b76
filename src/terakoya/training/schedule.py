"""The learning rate at every step, as a share of its peak: a pure function of the step, so resuming is exact."""

from __future__ import annotations

import math

from terakoya.config import TrainConfig


def warmup_steps(config: TrainConfig, steps: int) -> int:
    """Number of steps in which the learning rate rises.

    config  its `warmup` is a share of all steps when below 1, else a number of steps
    steps   of the whole training
    """
    warmup = float(config.warmup) if config.warmup != "auto" else 0.0
    return round(warmup * steps) if warmup < 1 else round(warmup)


def learning_rate_scale(step: int, steps: int, schedule: str, warmup: int) -> float:
    """The learning rate of a step as a share of the peak.

    step      counted from 0
    steps     of the whole training
    schedule  "constant": the peak after warm-up; "linear": falls straight to 0; "cosine": falls along half a cosine to
              a tenth of the peak; "one-cycle": rises along half a cosine and falls to almost nothing (Smith, 2018,
              arXiv:1803.09820)
    warmup    number of steps in which it rises
    """
    if step < warmup:
        risen = (step + 1) / warmup
        return (1 - math.cos(math.pi * risen)) / 2 if schedule == "one-cycle" else risen
    left = 1 - (step - warmup) / max(1, steps - warmup)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return left
    floor = 0.1 if schedule == "cosine" else 1e-3
    return floor + (1 - floor) * (1 - math.cos(math.pi * left)) / 2
