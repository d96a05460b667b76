"""A task that a few thousand weights learn in seconds: a word of a, b and c written backwards."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any

from terakoya.config import ModelConfig, TrainConfig
from terakoya.models.builtin.model import BuiltinModel, build
from terakoya.models.protocol import Pair, Query
from terakoya.training.defaults import resolve

SMALL = ModelConfig(base="tiny", width=16, layers=1, attention_heads=2)


def word(rng: Random, progress: float = 1.0) -> Pair:
    letters = "".join(rng.choice("abc") for _ in range(rng.randint(1, 2 + round(3 * progress))))
    return Pair(Query(letters), letters[::-1], f"row {letters}")


def words(count: int = 50) -> list[Pair]:
    return [word(Random(number)) for number in range(count)]


def small_model(
    pairs: list[Pair] | None = None, *, dropout: float = 0.1, family: str = "encoder-decoder", width: int = 16
) -> BuiltinModel:
    config = ModelConfig(**(SMALL.model_dump() | {"family": family, "width": width}))
    return build(config, pairs or words(), seed=3, dropout=dropout)


def recipe(model: BuiltinModel, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {"steps": 20, "batch_size": 8, "evaluate_every": 5, "threads": 1} | changes
    return resolve(TrainConfig(**settings), model.info, 50)


def bits(model: BuiltinModel) -> str:
    """The hash of all weights: equal losses hide unequal weights."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.module.named_parameters()):
        digest.update(name.encode())
        digest.update(weight.detach().numpy().tobytes())
    return digest.hexdigest()
