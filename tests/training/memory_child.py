"""Run as a process of its own: teaches under a limit on its address space and tells how that ended, as JSON.

python memory_child.py stop|halve MIB FILE    a training; limit beyond what is held then, 0: none; weights go to FILE
python memory_child.py ask MIB                answers to many questions at once
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
from terakoya.decoding import answers
from terakoya.errors import TerakoyaError
from terakoya.models.builtin.model import build
from terakoya.models.protocol import Pair, Query, State
from terakoya.records import Finding, Step
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.state import TrainState

BATCH, STEPS = 32, 2


def rows() -> list[Pair]:
    chance = Random(0)
    return [
        Pair(Query("".join(chance.choices("あいうえお", k=120))), "".join(chance.choices("12345", k=40)))
        for _ in range(64)
    ]


def held() -> int:
    """Bytes of address space."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()


def limited(more: int) -> None:
    """No more address space than what is held now and `more` bytes; 0: no limit."""
    resource.setrlimit(resource.RLIMIT_AS, (held() + more if more else resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def lesson(on_oom: str, more: int, weights: Path) -> dict[str, object]:
    """A training of two steps under the limit: how it ended, its losses, and its weights in a file."""
    pairs = rows()
    model = build(ModelConfig(base="base", width=128, dropout=0.0), pairs, seed=0)
    settings = {"steps": STEPS, "batch_size": BATCH, "evaluate_every": 1, "threads": 1, "optimizer": "adamw"}
    how = resolve(TrainConfig(**settings, on_oom=on_oom), model.card, len(pairs))  # type: ignore[arg-type]
    saved: list[TrainState] = []
    found: list[Finding] = []
    steps: list[Step] = []
    run_loop(
        model, Fixed(pairs[:4], 2, 0), how.model_copy(update={"steps": 1}), seed=0
    )  # libraries take their room first
    limited(more)
    told: dict[str, object] = {}
    try:
        run_loop(
            model, Fixed(pairs, BATCH, 0), how, seed=0, evaluate=lambda step: {"exact": 0.0}, save=saved.append,
            on_finding=found.append, on_step=steps.append,
        )  # fmt: skip
    except TerakoyaError as error:
        told = {"error": error.what, "do": error.do, "saved": error.saved, "code": error.exit_code}
    limited(0)
    save_file({name: weight.detach().contiguous() for name, weight in model.parameters_to_train()}, weights)
    losses = [step.loss for step in steps]
    return told | {"steps": len(saved), "parts": [one.values["parts"] for one in found], "losses": losses}


def questions(more: int) -> dict[str, object]:
    """Answers under the limit, and how many were asked at once each time."""
    pairs = rows() * 6
    model = build(ModelConfig(base="base", width=128, dropout=0.0), pairs, seed=0)
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():  # untrained, the source is not heard
        for weight in model.module.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=chance)
    asks = [pair.ask for pair in pairs]
    decode = DecodeConfig(constrained=False, batch_size=len(asks))
    answers(model, asks[:4], TextCodec(), decode, 4)  # libraries take their room first
    sizes: list[int] = []
    start = model.start

    def counted(some: Sequence[Query]) -> State:
        sizes.append(len(some))
        return start(some)

    model.start = counted  # type: ignore[method-assign,assignment]
    limited(more)
    found = answers(model, asks, TextCodec(), decode, 12)
    limited(0)
    return {"answers": [one.raw for one in found], "sizes": sizes}


def main() -> None:
    how, more = sys.argv[1], int(sys.argv[2]) << 20
    torch.set_num_threads(1)
    print(json.dumps(questions(more) if how == "ask" else lesson(how, more, Path(sys.argv[3]))))


if __name__ == "__main__":
    main()
