"""The learning rate at every step, as a share of its peak: a pure function of the step, so resuming is exact.

Warmup-stable-decay (Hu et al., 2024, MiniCPM, arXiv:2404.06395) need not know the length of a training in advance: the
peak is held until the loop says that dev is solved, and the decay takes as many steps whenever it begins. Its shape,
1 - sqrt, is the best of those that Hägele et al. (2024, arXiv:2405.18392) compared.
"""

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


def decay_steps(config: TrainConfig, steps: int) -> int:
    """Number of steps in which the learning rate falls to 0 under the schedule wsd, at least 1.

    config  its `decay` is a share of all steps when below 1, else a number of steps
    steps   of the whole training; no decay is longer
    """
    decay = config.decay * steps if config.decay < 1 else config.decay
    return max(1, min(steps, round(decay)))


def learning_rate_scale(step: int, steps: int, schedule: str, warmup: int, decay: int = 1) -> float:
    """The learning rate of a step as a share of the peak.

    step      counted from 0
    steps     of the whole training; under "wsd" a training that is shortened has fewer, and decays sooner
    schedule  "constant": the peak after warm-up; "linear": falls straight to 0; "cosine": falls along half a cosine to
              a tenth of the peak; "one-cycle": rises along half a cosine and falls to almost nothing (Smith, 2018,
              arXiv:1803.09820); "wsd": the peak, then 1 - sqrt of the decay that is over
    warmup    number of steps in which it rises
    decay     number of last steps in which it falls; only "wsd" uses it
    """
    if step < warmup:
        risen = (step + 1) / warmup
        return (1 - math.cos(math.pi * risen)) / 2 if schedule == "one-cycle" else risen
    left = 1 - (step - warmup) / max(1, steps - warmup)
    if schedule == "constant":
        return 1.0
    if schedule == "wsd":
        return 1 - math.sqrt(max(0, step - (steps - decay)) / decay)
    if schedule == "linear":
        return left
    floor = 0.1 if schedule == "cosine" else 1e-3
    return floor + (1 - floor) * (1 - math.cos(math.pi * left)) / 2
