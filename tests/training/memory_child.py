"""Run as a process of its own: trains under a limit on its address space and reports how that ended, as JSON.

python memory_child.py stop|halve MIB FILE    a training; limit in addition to what is held, 0: none; weights go to FILE
python memory_child.py predict MIB            predictions for many queries at once
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file

from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig, TrainConfig
from terakoya.decoding import generate
from terakoya.errors import TerakoyaError
from terakoya.models.builtin.model import build
from terakoya.models.protocol import DecodingState, Pair, Query
from terakoya.records import Finding, Step
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.state import TrainState

BATCH, STEPS = 32, 2


def rows() -> list[Pair]:
    rng = Random(0)
    return [
        Pair(Query("".join(rng.choices("あいうえお", k=120))), "".join(rng.choices("12345", k=40))) for _ in range(64)
    ]


def held() -> int:
    """Bytes of address space."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()


def limited(more: int) -> None:
    """No more address space than what is held now and `more` bytes; 0: no limit."""
    resource.setrlimit(resource.RLIMIT_AS, (held() + more if more else resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def train(on_oom: str, more: int, weights: Path) -> dict[str, object]:
    """A training of two steps under the limit: how it ended, its losses, and its weights in a file."""
    pairs = rows()
    model = build(ModelConfig(base="base", width=128, dropout=0.0), pairs, seed=0)
    settings = {"steps": STEPS, "batch_size": BATCH, "evaluate_every": 1, "threads": 1, "optimizer": "adamw"}
    how = resolve(TrainConfig(**settings, on_oom=on_oom), model.info, len(pairs))  # type: ignore[arg-type]
    saved: list[TrainState] = []
    found: list[Finding] = []
    steps: list[Step] = []
    run_loop(
        model, EpochBatches(pairs[:4], 2, 0), how.model_copy(update={"steps": 1}), seed=0
    )  # libraries allocate their memory first
    limited(more)
    report: dict[str, object] = {}
    try:
        run_loop(
            model, EpochBatches(pairs, BATCH, 0), how, seed=0, evaluate=lambda step: {"exact": 0.0}, save=saved.append,
            on_finding=found.append, on_step=steps.append,
        )  # fmt: skip
    except TerakoyaError as error:
        report = {"error": error.what, "do": error.do, "saved": error.saved, "code": error.exit_code}
    limited(0)
    save_file({name: weight.detach().contiguous() for name, weight in model.parameters_to_train()}, weights)
    losses = [step.loss for step in steps]
    return report | {"steps": len(saved), "parts": [one.values["parts"] for one in found], "losses": losses}


def predict(more: int) -> dict[str, object]:
    """Predictions under the limit, and how many were made at once each time."""
    pairs = rows() * 6
    model = build(ModelConfig(base="base", width=128, dropout=0.0), pairs, seed=0)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():  # an untrained model ignores its source
        for weight in model.module.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=rng)
    queries = [pair.query for pair in pairs]
    decode = DecodeConfig(constrained=False, batch_size=len(queries))
    generate(model, queries[:4], TextCodec(), decode, 4)  # libraries allocate their memory first
    sizes: list[int] = []
    start = model.start

    def counted(some: Sequence[Query]) -> DecodingState:
        sizes.append(len(some))
        return start(some)

    model.start = counted  # type: ignore[method-assign,assignment]
    limited(more)
    found = generate(model, queries, TextCodec(), decode, 12)
    limited(0)
    return {"predictions": [one.raw for one in found], "sizes": sizes}


def main() -> None:
    how, more = sys.argv[1], int(sys.argv[2]) << 20
    torch.set_num_threads(1)
    print(json.dumps(predict(more) if how == "predict" else train(how, more, Path(sys.argv[3]))))


if __name__ == "__main__":
    main()
