"""Train tiny models for a few steps and write their losses: once alone and once by torchrun on several processes.

python distributed_worker.py LOSSES CASE …      torchrun --nproc_per_node=2 distributed_worker.py LOSSES CASE …

A case is "builtin", "sets", or the folder of a checkpoint with how it is adapted: FOLDER:full, FOLDER:lora. With
FOLDER:full:shard or FOLDER:lora:shard the weights are divided among the processes; there dev is evaluated, too, and the
training is done a second time, from the checkpoint in its middle.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from terakoya.config import ModelConfig, TrainConfig
from terakoya.models.builtin import model as builtin
from terakoya.models.protocol import Pair, Query
from terakoya.records import Step
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.dev_evaluation import plain_loss
from terakoya.training.loop import run_loop
from terakoya.training.state import TrainState

SOURCES = ("一万五千", "二十", "百億三千二", "三千", "七", "四十二", "八百", "九万")
PAIRS = [Pair(Query(source), f"({number})") for number, source in enumerate(SOURCES)]
LABELS = ("🐶", "🐱", "🌧", "🎉")
SETS = [Pair(Query(source), " ".join(LABELS[: 1 + number % 3])) for number, source in enumerate(SOURCES)]


def losses_of(case: str) -> list[float]:
    """Losses of eight steps; [] in every process but the first."""
    model: Any
    pairs = SETS if case == "sets" else PAIRS
    if case.endswith(":shard"):
        return losses_of_shards(case)
    if case == "builtin":
        model = builtin.build(ModelConfig(base="tiny"), pairs, seed=0, dropout=0.0)
    elif case == "sets":
        model = builtin.build(ModelConfig(dropout=0.0), pairs, LABELS, seed=0)
    else:
        from terakoya.models.pretrained import build  # transformers takes seconds

        base, adaptation = case.split(":")
        adapted: Any = {"adaptation": adaptation, "lora_dropout": 0.0}
        model = build.build(ModelConfig(base=base, vocabulary="trimmed", **adapted), pairs, seed=0)
    how = resolve(TrainConfig(steps=8, batch_size=4, learning_rate=3e-3, threads=1), model.info, len(pairs))
    losses: list[float] = []
    run_loop(model, EpochBatches(pairs, 4, 0), how, seed=0, on_step=lambda step: losses.append(step.loss), device="cpu")
    return losses


def losses_of_shards(case: str) -> list[float]:
    """Losses of eight steps, of dev, of the last four steps again, and a sum over the weights of both trainings."""
    from terakoya.models.pretrained import build

    base, adaptation, _ = case.split(":")
    adapted: Any = {"adaptation": adaptation, "lora_dropout": 0.0}
    states: list[TrainState] = []
    found: list[float] = []

    def train(resume: TrainState | None) -> None:
        model = build.build(ModelConfig(base=base, vocabulary="trimmed", **adapted), PAIRS, seed=0)
        how = TrainConfig(  # batches of seven rows and of one, of which a second process has none
            steps=8, batch_size=7, learning_rate=3e-3, threads=1, evaluate_every=4, average=0.5, accumulate=2,
            clip=0.5, select="loss", shard=True,
        )  # fmt: skip
        plain = dict(model.module.named_parameters())

        def evaluate(step: int) -> dict[str, float]:
            assert not any(isinstance(weight, DTensor) for weight in model.module.parameters())
            return {"exact": 0.0, "loss": plain_loss(model, PAIRS)}

        def on_step(step: Step) -> None:
            found.append(step.loss)
            found.extend([step.dev["loss"]] if step.dev else [])

        run_loop(
            model, EpochBatches(PAIRS, 7, 0), resolve(how, model.info, len(PAIRS)), seed=0, evaluate=evaluate,
            on_step=on_step, save=states.append, resume=resume, device="cpu",
        )  # fmt: skip
        assert all(weight is plain[name] for name, weight in model.module.named_parameters())
        assert not any(part._forward_pre_hooks for part in model.module.modules()), "hooks of FSDP are left"
        if found:
            found.append(sum(float(weight.detach().double().abs().sum()) for weight in plain.values()))

    train(None)
    train(states[0] if states else None)
    return found


def main(out: str, *cases: str) -> None:
    torch.set_num_threads(1)
    found = {case: losses_of(case) for case in cases}
    if all(found.values()):  # the first process only
        Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
