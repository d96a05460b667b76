"""Train tiny models for a few steps and write their losses: once alone and once by torchrun on several processes.

python distributed_worker.py LOSSES CASE …      torchrun --nproc_per_node=2 distributed_worker.py LOSSES CASE …

A case is "builtin", "sets", or the folder of a checkpoint with how it is adapted: FOLDER:full, FOLDER:lora.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from terakoya.config import ModelConfig, TrainConfig
from terakoya.models.builtin import model as builtin
from terakoya.models.builtin import set_ensemble
from terakoya.models.pretrained import build
from terakoya.models.protocol import Pair, Query
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

SOURCES = ("一万五千", "二十", "百億三千二", "三千", "七", "四十二", "八百", "九万")
PAIRS = [Pair(Query(source), f"({number})") for number, source in enumerate(SOURCES)]
LABELS = ("🐶", "🐱", "🌧", "🎉")
SETS = [Pair(Query(source), " ".join(LABELS[: 1 + number % 3])) for number, source in enumerate(SOURCES)]


def losses_of(case: str) -> list[float]:
    """Losses of eight steps; [] in every process but the first."""
    model: Any
    pairs = SETS if case == "sets" else PAIRS
    if case == "builtin":
        model = builtin.build(ModelConfig(base="tiny"), pairs, seed=0, dropout=0.0)
    elif case == "sets":
        set_ensemble._FEATURE_DROPOUT = 0.0  # each process draws its own, as with any dropout
        model = builtin.build(ModelConfig(dropout=0.0), pairs, LABELS, seed=0)
    else:
        base, _, adaptation = case.rpartition(":")
        adapted: Any = {"adaptation": adaptation, "lora_dropout": 0.0}
        model = build.build(ModelConfig(base=base, vocabulary="trimmed", **adapted), pairs, seed=0)
    how = resolve(TrainConfig(steps=8, batch_size=4, learning_rate=3e-3, threads=1), model.info, len(pairs))
    losses: list[float] = []
    run_loop(model, EpochBatches(pairs, 4, 0), how, seed=0, on_step=lambda step: losses.append(step.loss), device="cpu")
    return losses


def main(out: str, *cases: str) -> None:
    torch.set_num_threads(1)
    found = {case: losses_of(case) for case in cases}
    if all(found.values()):  # the first process only
        Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
