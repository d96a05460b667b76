"""What `auto` means: every setting of a training resolved from model family, size and data, and recorded."""

from __future__ import annotations

import math

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.models.cores import available_cores
from terakoya.models.protocol import ModelInfo

BUILT_IN = ("tiny", "small", "base")
ENOUGH_DEV_ITEMS = 100  # below it no checkpoint is chosen on dev
_EVALUATIONS = 20  # of a training on dev
# Where no checkpoint is chosen by them. Twenty predictions of 26 dev items took longer than 100 steps of Gemma 3 270M.
_FEW_EVALUATIONS = 5
_SMALL_WEIGHTS = 1_000_000  # below it a built-in model is a small one


def resolve(
    train: TrainConfig, info: ModelInfo, examples: int, *, streaming: bool = False, dev: int | None = None
) -> TrainConfig:
    """The same `train` section with every `auto` replaced, so that the record says what was done.

    train      as the user wrote it; what is not "auto" stays
    info       family and size of the model
    examples   rows of the train split (ignored where rows are sampled)
    streaming  the task samples fresh rows without end
    dev        items of the dev split; None: enough

    The values depend on the kind of model: a built-in sequence model, the built-in set head, or a pretrained model.

    ================  =========================================  ==============================  ====================
    key               built-in sequence model                    built-in set head               pretrained
    ================  =========================================  ==============================  ====================
    batch_size        64 streaming; 16 below 1,000 rows;         32 below 2,000 rows; else 64    16
                      else 32
    steps             10,000 streaming; else 40 epochs, at       20 epochs below 2,000 rows,     3 epochs, at least
                      least 1,500 and at most 20,000             else 25; at least 150           100
    learning_rate     3e-3 below a million weights; else 6e-4    0.05                            2e-4 LoRA; else 5e-5
    optimizer         "adamw" below 1,000 rows; else "muon"      "adamw"                         "adamw"
    schedule          "one-cycle"                                "linear"                        "linear"
    warmup            0.1                                        0                               0.06
    weight_decay      0.01                                       0                               0
    loss              "cross-entropy"                            "cross-entropy"                 "cross-entropy"
    average           0 (no averaged weights)                    0                               0
    curriculum        true streaming; else false                 false                           false
    prefix_cache      false                                      false                           true
    evaluate_every    a twentieth of all steps                   a tenth of the epochs above     a twentieth of all
                                                                                                 steps; a fifth where
                                                                                                 the last weights are
                                                                                                 kept
    refit             false                                      true, but false streaming       false
    select ("auto")   "last" below 100 dev items (unless the       "metric"                        as built-in
                      schedule is constant); else "metric"         sequence models
    threads (0)       1 below a million weights; else one for    1                               one for every core
                      every core
    replicas          2 (at most one for every core) below a     the same                        1
                      million weights on one thread; else 1
    ================  =========================================  ==============================  ====================

    `steps` follows from `epochs` where only that is given, and `epochs` from `steps` where that is "auto" (0 where rows
    are sampled). LoRA is taken to be any pretrained model of which less than half of the weights is trained.
    Raises ConfigError where `train.refit = true` and the model cannot be refitted.
    """
    values = (
        _builtin_defaults(info, examples, streaming) if info.name in BUILT_IN else _pretrained_defaults(info, examples)
    )
    given = {name: value for name, value in train.model_dump().items() if value != "auto"}
    batch = int(given.get("batch_size", values["batch_size"])) * train.accumulate
    if "steps" not in given and "epochs" in given and not streaming:
        given["steps"] = math.ceil(float(given["epochs"]) * math.ceil(examples / batch))
    merged = values | given
    steps = int(merged["steps"])
    merged["epochs"] = given.get("epochs", round(steps * batch / max(1, examples), 3) if not streaming else 0.0)
    merged["select"] = _resolve_select(str(given.get("select", "auto")), str(merged["schedule"]), info, dev)
    times = _FEW_EVALUATIONS if info.name not in BUILT_IN and merged["select"] == "last" else _EVALUATIONS
    merged["evaluate_every"] = given.get("evaluate_every", values.get("evaluate_every", max(1, steps // times)))
    merged["refit"] = _resolve_refit(train, info, streaming)
    small = info.weights < _SMALL_WEIGHTS
    # One thread for small matrices: a second one doubled CPU time and memory and saved no time (docs/log.md). A set
    # head may have millions of weights, and its matrices are small all the same.
    cores = available_cores()  # not all of the machine: affinity and control groups count
    merged["threads"] = train.threads or (1 if small or info.family == "set" else cores)
    # What a second thread inside a matmul does not save, a second half of the batch on it does.
    merged["replicas"] = given.get("replicas", min(2, cores) if small and merged["threads"] == 1 else 1)
    return TrainConfig(**merged)


def _resolve_select(given: str, schedule: str, info: ModelInfo, dev: int | None) -> str:
    """Few dev items choose among twenty checkpoints by luck; where the rate falls to nothing the last one is better."""
    if given != "auto":
        return given
    few = dev is not None and 0 < dev < ENOUGH_DEV_ITEMS
    return "last" if few and schedule != "constant" and info.family != "set" else "metric"


def _resolve_refit(train: TrainConfig, info: ModelInfo, streaming: bool) -> bool:
    """Only a model that trains in seconds, and is rebuilt for other rows, is trained again once all is chosen."""
    able = info.family == "set" and info.name in BUILT_IN and not streaming
    if train.refit is True and not able:
        raise ConfigError(
            _("only the built-in set head can be trained again on train and dev"),
            where="train.refit",
            do=_("Leave train.refit out."),
        )
    return able if train.refit == "auto" else bool(train.refit)


def _builtin_defaults(info: ModelInfo, examples: int, streaming: bool) -> dict[str, float | int | str | bool]:
    """Built-in models, by weights: the larger, the smaller the learning rate."""
    if info.family == "set":
        return _set_head_defaults(examples)
    few = not streaming and examples < 1000
    batch = 64 if streaming else 16 if few else 32
    steps = 10_000 if streaming else min(20_000, max(1500, math.ceil(40 * examples / batch)))
    return {
        "batch_size": batch,
        "steps": steps,
        "learning_rate": 3e-3 if info.weights < _SMALL_WEIGHTS else 6e-4,
        # Muon learns a rule from many rows far sooner, and memorises few rows (docs/log.md).
        "optimizer": "adamw" if few else "muon",
        "schedule": "one-cycle",
        "warmup": 0.1,
        "weight_decay": 0.01,
        "loss": "cross-entropy",
        "average": 0.0,
        "curriculum": streaming,
        "prefix_cache": False,
    }


def _set_head_defaults(examples: int) -> dict[str, float | int | str | bool]:
    """Feature weights: many rows of which each step touches few, so the learning rate is high and falls to nothing."""
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


def _pretrained_defaults(info: ModelInfo, examples: int) -> dict[str, float | int | str | bool]:
    """Fine-tuning: three epochs and more where rows are few; LoRA (few trainable weights) takes a higher rate."""
    lora = info.trainable < 0.5 * info.weights
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
