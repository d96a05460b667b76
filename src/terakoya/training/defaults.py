"""What `auto` means: every setting of a training resolved from model family, size and data, and recorded."""

from __future__ import annotations

import math
import os

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.i18n import both
from terakoya.models.protocol import ModelInfo

BUILT_IN = ("tiny", "small", "base")


def resolve(train: TrainConfig, card: ModelInfo, examples: int, *, drawn: bool = False) -> TrainConfig:
    """The same config with every `auto` replaced by a number.

    examples  rows of the training side (ignored where they are drawn)
    drawn     fresh examples come by rule without end
    """
    values = _from_nothing(card, examples, drawn) if card.name in BUILT_IN else _pretrained(card, examples)
    given = {name: value for name, value in train.model_dump().items() if value != "auto"}
    batch = int(given.get("batch_size", values["batch_size"])) * train.accumulate
    if "steps" not in given and "epochs" in given and not drawn:
        given["steps"] = max(1, math.ceil(float(given["epochs"]) * math.ceil(examples / batch)))
    merged = values | given
    steps = int(merged["steps"])
    merged["epochs"] = given.get("epochs", round(steps * batch / max(1, examples), 3) if not drawn else 0.0)
    merged["evaluate_every"] = given.get("evaluate_every", values.get("evaluate_every", max(1, steps // 20)))
    merged["refit"] = _refit(train, card, drawn)
    small = card.weights < 1_000_000
    # One thread for small matrices: a second one doubled CPU time and memory and saved no time (docs/log.md). A set
    # head may have millions of weights, and its matrices are small all the same.
    cores = os.cpu_count() or 1
    merged["threads"] = train.threads or (1 if small or card.family == "set" else cores)
    # What a second thread inside a product does not save, a second half of the batch on it does.
    merged["replicas"] = given.get("replicas", min(2, cores) if small and merged["threads"] == 1 else 1)
    return TrainConfig(**merged)


def _refit(train: TrainConfig, card: ModelInfo, drawn: bool) -> bool:
    """Only a model that takes seconds, and is made anew for other rows, is taught again once all is chosen."""
    able = card.family == "set" and card.name in BUILT_IN and not drawn
    if train.refit is True and not able:
        raise ConfigError(
            both(
                "only the built-in set head is taught again on train and dev",
                "学習と検証を合わせて学習し直せるのは、組み込みの集合ヘッドだけである",
            ),
            where="train.refit",
            do=both("Leave train.refit out.", "train.refit を外すこと。"),
        )
    return able if train.refit == "auto" else bool(train.refit)


def _from_nothing(card: ModelInfo, examples: int, drawn: bool) -> dict[str, float | int | str | bool]:
    """Built-in models, by weights: the larger, the smaller the rate."""
    if card.family == "set":
        return _evidence(examples)
    rate = 3e-3 if card.weights < 1_000_000 else 6e-4
    few = not drawn and examples < 1000
    batch = 64 if drawn else 16 if few else 32
    steps = 10_000 if drawn else min(20_000, max(1500, math.ceil(40 * examples / batch)))
    return {
        "batch_size": batch,
        "steps": steps,
        "learning_rate": rate,
        # Muon learns a rule from many rows far sooner, and learns few rows by heart (docs/log.md).
        "optimizer": "adamw" if few else "muon",
        "schedule": "one-cycle",
        "warmup": 0.1,
        "weight_decay": 0.01,
        "loss": "cross-entropy",
        "average": 0.0,
        "curriculum": drawn,
        "prefix_cache": False,
    }


def _evidence(examples: int) -> dict[str, float | int | str | bool]:
    """A table of evidence: many rows that few steps touch, so the rate is high and falls to nothing."""
    batch = 32 if examples < 2000 else 64
    epochs = 20 if examples < 2000 else 25
    return {
        "batch_size": batch,
        "steps": max(150, epochs * math.ceil(examples / batch)),
        "learning_rate": 0.05,
        "optimizer": "adamw",
        "schedule": "linear",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "loss": "cross-entropy",
        "average": 0.0,
        "curriculum": False,
        "prefix_cache": False,
        "evaluate_every": max(1, epochs * math.ceil(examples / batch) // 10),
    }


def _pretrained(card: ModelInfo, examples: int) -> dict[str, float | int | str | bool]:
    """Fine-tuning: three epochs and more where rows are few; LoRA (few trainable weights) takes a higher rate."""
    lora = card.trainable < 0.5 * card.weights
    steps = max(100, math.ceil(3 * examples / 16))
    return {
        "batch_size": 16,
        "steps": steps,
        "learning_rate": 2e-4 if lora else 5e-5,
        "optimizer": "adamw",
        "schedule": "linear",
        "warmup": 0.06,
        "weight_decay": 0.0,
        "loss": "cross-entropy",
        "average": 0.0,
        "curriculum": False,
        "prefix_cache": True,
    }
