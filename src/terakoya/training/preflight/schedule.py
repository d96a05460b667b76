"""Steps, warm-up and learning rate, compared with the data and with what is known to work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from terakoya.i18n import _
from terakoya.models.protocol import ModelInfo
from terakoya.records import Finding
from terakoya.training.defaults import BUILT_IN
from terakoya.training.prepare import TrainingSetup
from terakoya.training.schedule import warmup_steps


@dataclass(frozen=True)
class KnownRates:
    """Peak learning rates that are known to work, from `low` to `high`, and the `source` of that knowledge."""

    low: float
    high: float
    source: str


T5 = KnownRates(
    1e-5,
    1e-3,
    _("Raffel et al., 2020 (1e-3); transformers' T5 page (1e-4 to 3e-4 with AdamW)"),
)
DECODER = KnownRates(
    2e-6,
    3e-4,
    _("Gemma's fine-tuning guide and the numerals log (5e-5); Qwen2.5 report (7e-6 to 7e-7)"),
)
LORA = KnownRates(
    2e-5,
    2e-3,
    _("Hu et al., 2021, arXiv:2106.09685 (2e-4); ten times the rate of full training"),
)
SMALL = KnownRates(
    1e-4,
    2e-2,
    _("our own experiments with built-in models (3e-3 below a million weights; docs/log.md)"),
)
LARGER = KnownRates(
    3e-5,
    6e-3,
    _("our own experiments with built-in models (6e-4 above a million weights; docs/log.md)"),
)

SET_HEAD = KnownRates(
    5e-3,
    1e-1,
    _("our own experiments with the built-in model for sets (3e-2 to 5e-2)"),
)


def known_rates(info: ModelInfo) -> KnownRates:
    """What is known for a model of this family and size.

    info  of the model
    """
    if info.family == "set":
        return SET_HEAD
    if info.name in BUILT_IN:
        return SMALL if info.weights < 1_000_000 else LARGER
    if info.trainable < 0.5 * info.weights:
        return LORA
    return T5 if info.family == "encoder-decoder" else DECODER


def schedule_findings(setup: TrainingSetup) -> Iterator[Finding]:
    """Whether steps and warm-up fit each other and the data, and whether every value can be trained with.

    setup  task, split and resolved config
    """
    train = setup.config.train
    steps, warmup = int(train.steps), warmup_steps(train, int(train.steps))
    if steps < 1:
        yield Finding(
            "steps",
            "stop",
            _("0 steps: nothing would be learnt"),
            where="train.steps",
            do=_("Set train.steps."),
        )
        return
    if warmup >= steps:
        yield Finding(
            "warm-up",
            "stop",
            _(
                "the warm-up takes {warmup} of {steps} steps: the learning rate only ever rises",
                warmup=warmup,
                steps=steps,
            ),
            where="train.warmup",
            do=_("Set train.warmup = 0.1 (a tenth of all steps)."),
            values={"warmup": float(warmup), "steps": float(steps)},
        )
    elif warmup > 0.5 * steps:
        what = _(
            "the warm-up takes {warmup} of {steps} steps: more than half of the training is below its rate",
            warmup=warmup,
            steps=steps,
        )
        yield Finding(
            "warm-up",
            "warn",
            what,
            where="train.warmup",
            do=_("Set train.warmup = 0.1."),
        )
    yield from _number_findings(setup)
    if setup.task.draw is None:
        yield from _coverage_findings(setup, steps)


def rate_findings(setup: TrainingSetup, info: ModelInfo) -> Iterator[Finding]:
    """The learning rate against the known ones above; up to a factor of three beyond them is no concern.

    setup  the resolved config
    info   family and size of the model
    """
    rate, known = float(setup.config.train.learning_rate), known_rates(info)
    if not math.isfinite(rate) or rate <= 0 or known.low / 3 <= rate <= known.high * 3:
        return
    side = _("above") if rate > known.high else _("below")
    low, high, source = known.low, known.high, known.source
    yield Finding(
        "learning-rate",
        "warn",
        _(
            "a learning rate of {rate:.2g} lies {side} all that is known for a model like this ({low:g} to {high:g}: "
            "{source})",
            rate=rate,
            side=side,
            low=low,
            high=high,
            source=source,
        ),
        where="train.learning_rate",
        do=_("Set train.learning_rate = 'auto', unless it is intended."),
        values={"learning_rate": rate, "low": low, "high": high},
    )


def _number_findings(setup: TrainingSetup) -> Iterator[Finding]:
    """TOML knows `nan` and `inf`, and a sign is easily mistyped."""
    train = setup.config.train
    sane = {
        "learning_rate": 0 < float(train.learning_rate) < math.inf,
        "weight_decay": 0 <= float(train.weight_decay) < math.inf,
        "betas": all(0 <= beta < 1 for beta in train.betas),
        "average": 0 <= float(train.average) < 1,
        "clip": train.clip < math.inf,
    }
    for key, is_sane in sane.items():
        if not is_sane:
            value = getattr(train, key)
            what = _("{key} = {value} cannot be trained with", key=key, value=value)
            yield Finding(
                "numbers",
                "stop",
                what,
                where=f"train.{key}",
                do=_("Leave train.{key} out, or correct it.", key=key),
            )
    decayed = float(train.learning_rate) * float(train.weight_decay)
    if decayed > 1:
        what = _(
            "weight decay times learning rate is {decayed:.3g}: every step erases the weights or enlarges them",
            decayed=decayed,
        )
        yield Finding(
            "numbers",
            "stop",
            what,
            where="train.weight_decay",
            do=_("Set train.weight_decay = 0.01."),
        )
    gamma = train.focal_gamma
    if train.loss == "focal" and gamma < 1 and gamma != 0:
        what = _(
            "focal_gamma = {gamma:g}: below 1 the loss has an infinite gradient where the model is certain", gamma=gamma
        )
        yield Finding(
            "numbers",
            "warn",
            what,
            where="train.focal_gamma",
            do=_("Set train.focal_gamma = 2."),
        )


def _coverage_findings(setup: TrainingSetup, steps: int) -> Iterator[Finding]:
    train = setup.config.train
    rows = len(setup.split.train)
    epochs = steps * int(train.batch_size) * train.accumulate / max(1, rows)
    values = {"passes": epochs}
    if epochs < 1:
        what = _(
            "{steps} steps see {epochs:.0%} of the {rows:,} rows: the others are never trained on",
            steps=steps,
            epochs=epochs,
            rows=rows,
        )
        yield Finding(
            "steps",
            "warn",
            what,
            where="train.steps",
            do=_("Raise train.steps or train.epochs."),
            values=values,
        )
    elif epochs > 1000:
        what = _("{steps} steps see every row {epochs:,.0f} times", steps=steps, epochs=epochs)
        yield Finding(
            "steps",
            "warn",
            what,
            where="train.steps",
            do=_("Lower train.steps, or add rows."),
            values=values,
        )
