"""Train a tiny causal model for a few steps and write its losses: once alone and once by torchrun on two processes.

python distributed_worker.py BASE LOSSES      torchrun --nproc_per_node=2 distributed_worker.py BASE LOSSES
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from terakoya.config import ModelConfig, TrainConfig
from terakoya.models.pretrained import build
from terakoya.models.protocol import Pair, Query
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop

SOURCES = ("一万五千", "二十", "百億三千二", "三千", "七", "四十二", "八百", "九万")
PAIRS = [Pair(Query(source), f"({number})") for number, source in enumerate(SOURCES)]


def main(base: str, out: str) -> None:
    torch.set_num_threads(1)
    model = build.build(ModelConfig(base=base, vocabulary="trimmed"), PAIRS, seed=0)
    how = resolve(TrainConfig(steps=8, batch_size=4, learning_rate=3e-3, threads=1), model.info, len(PAIRS))
    losses: list[float] = []
    run_loop(model, EpochBatches(PAIRS, 4, 0), how, seed=0, on_step=lambda step: losses.append(step.loss), device="cpu")
    if losses:  # of the first process only
        Path(out).write_text(json.dumps(losses), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
