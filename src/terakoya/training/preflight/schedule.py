"""Steps, warm-up and learning rate, held against the data and against what is known to work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from terakoya.models.model import Card
from terakoya.records import Finding
from terakoya.training.lesson import Lesson
from terakoya.training.recipe import BUILT_IN
from terakoya.training.schedule import warmup_steps


@dataclass(frozen=True)
class Known:
    """Peak learning rates that are known to teach, and by whom."""

    low: float
    high: float
    source: str


T5 = Known(1e-5, 1e-3, "Raffel et al., 2020 (1e-3); transformers' T5 page (1e-4 to 3e-4 with AdamW)")
DECODER = Known(2e-6, 3e-4, "Gemma's fine-tuning guide and the numerals log (5e-5); Qwen2.5 report (7e-6 to 7e-7)")
ADAPTED = Known(2e-5, 2e-3, "Hu et al., 2021, arXiv:2106.09685 (2e-4); ten times the rate of full training")
SMALL = Known(1e-4, 2e-2, "our own trials with built-in models (3e-3 below a million weights; docs/log.md)")
LARGER = Known(3e-5, 6e-3, "our own trials with built-in models (6e-4 above a million weights; docs/log.md)")

EVIDENCE = Known(5e-3, 1e-1, "our own trials with the built-in model for sets (3e-2 to 5e-2)")


def known_rates(card: Card) -> Known:
    """What is known for a model of this family and size."""
    if card.family == "set":
        return EVIDENCE
    if card.name in BUILT_IN:
        return SMALL if card.weights < 1_000_000 else LARGER
    if card.trainable < 0.5 * card.weights:
        return ADAPTED
    return T5 if card.family == "encoder-decoder" else DECODER


def schedule_findings(lesson: Lesson) -> Iterator[Finding]:
    how = lesson.config.train
    steps, warmup = int(how.steps), warmup_steps(how, int(how.steps))
    if steps < 1:
        yield Finding("steps", "stop", "0 steps: nothing would be taught", where="train.steps", do="Set train.steps.")
        return
    if warmup >= steps:
        yield Finding(
            "warm-up",
            "stop",
            f"the warm-up takes {warmup} of {steps} steps: the learning rate only ever rises",
            where="train.warmup",
            do="Set train.warmup = 0.1 (a tenth of all steps).",
            figures={"warmup": float(warmup), "steps": float(steps)},
        )
    elif warmup > 0.5 * steps:
        what = f"the warm-up takes {warmup} of {steps} steps: more than half of the training is below its rate"
        yield Finding("warm-up", "warn", what, where="train.warmup", do="Set train.warmup = 0.1.")
    yield from _numbers(lesson)
    if lesson.task.draw is None:
        yield from _rows_seen(lesson, steps)


def rate_findings(lesson: Lesson, card: Card) -> Iterator[Finding]:
    """The learning rate against the table above; a factor of three beyond it is still nobody's business."""
    rate, known = float(lesson.config.train.learning_rate), known_rates(card)
    if not math.isfinite(rate) or rate <= 0 or known.low / 3 <= rate <= known.high * 3:
        return
    side = "above" if rate > known.high else "below"
    yield Finding(
        "learning-rate",
        "warn",
        f"a learning rate of {rate:.2g} lies {side} all that is known for a model like this ({known.low:g} to "
        f"{known.high:g}: {known.source})",
        where="train.learning_rate",
        do="Set train.learning_rate = 'auto', or be sure.",
        figures={"learning_rate": rate, "low": known.low, "high": known.high},
    )


def _numbers(lesson: Lesson) -> Iterator[Finding]:
    """TOML knows `nan` and `inf`, and a sign is easily mistyped."""
    how = lesson.config.train
    sane = {
        "learning_rate": 0 < float(how.learning_rate) < math.inf,
        "weight_decay": 0 <= float(how.weight_decay) < math.inf,
        "betas": all(0 <= beta < 1 for beta in how.betas),
        "average": 0 <= float(how.average) < 1,
        "clip": how.clip < math.inf,
    }
    for key, is_sane in sane.items():
        if not is_sane:
            what = f"{key} = {getattr(how, key)} cannot be trained with"
            yield Finding("numbers", "stop", what, where=f"train.{key}", do=f"Leave train.{key} out, or mend it.")
    decayed = float(how.learning_rate) * float(how.weight_decay)
    if decayed > 1:
        what = f"weight decay times learning rate is {decayed:.3g}: every step wipes out the weights or enlarges them"
        yield Finding("numbers", "stop", what, where="train.weight_decay", do="Set train.weight_decay = 0.01.")
    if how.loss == "focal" and how.focal_gamma < 1 and how.focal_gamma != 0:
        what = f"focal_gamma = {how.focal_gamma:g}: below 1 the loss has an infinite slope where the model is sure"
        yield Finding("numbers", "warn", what, where="train.focal_gamma", do="Set train.focal_gamma = 2.")


def _rows_seen(lesson: Lesson, steps: int) -> Iterator[Finding]:
    how = lesson.config.train
    rows = len(lesson.split.train)
    passes = steps * int(how.batch_size) * how.accumulate / max(1, rows)
    figures = {"passes": passes}
    if passes < 1:
        what = f"{steps} steps see {passes:.0%} of the {rows:,} rows: the others are never taught"
        yield Finding(
            "steps", "warn", what, where="train.steps", do="Raise train.steps or train.epochs.", figures=figures
        )
    elif passes > 1000:
        what = f"{steps} steps see every row {passes:,.0f} times"
        yield Finding(
            "steps", "warn", what, where="train.steps", do="Lower train.steps, or bring rows.", figures=figures
        )
