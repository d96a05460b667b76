"""Greedy answers of a model with Gemma-3-270M's shape, against transformers' text-generation pipeline.

    python benchmarks/hub_decoding.py [--prompts 200] [--tokens 32] [--rounds 5] [--threads 1] [--device cpu|cuda]

All in one process, interleaved; medians. Nothing ends early (random weights never say so), so everyone writes the same
number of tokens. Full vocabulary: tokens must be those of the pipeline. Trimmed: those of the pipeline held to the
kept tokens (bad words suppressed), checked on --checked prompts. On a processor CPU seconds and float32; on a GPU wall
seconds and bfloat16, in which two ways of computing the same may part at a tie. Written: results/hub_decoding.md and
.json, with the GPU's name in the file's where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import hub_shapes
from hub_training import CUDA, DEVICE, RESULTS, facts_of, name_of
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import asking
from terakoya.decoding.autoregressive import write
from terakoya.decoding.sampling import Greedy
from terakoya.models.prepacked import packed
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import HubModel
from terakoya.models.protocol import Query

Ids = list[list[int]]


class Recorder(Greedy):
    """Greedy, and what it chose."""

    def __init__(self) -> None:
        self.turns: list[torch.Tensor] = []

    def tokens(self, logits: torch.Tensor) -> torch.Tensor:
        self.turns.append(super().tokens(logits))
        return self.turns[-1]


def ours(model: HubModel, asks: list[Query], tokens: int, batch: int = DecodeConfig().batch_size) -> Ids:
    """Full ids of the answers, in the order of `asks`, written as the house writes them: batches of like length,
    probabilities counted."""
    order = sorted(range(len(asks)), key=lambda place: len(model.question(asks[place])))
    found: Ids = [[] for _ in asks]
    with asking(model), packed(model.module, len(asks)):
        for first in range(0, len(order), batch):
            places = order[first : first + batch]
            chosen = Recorder()
            write(model, [asks[place] for place in places], None, tokens, chosen)
            assert all(len(turn) == len(places) for turn in chosen.turns), "an answer ended early"
            for place, line in zip(places, torch.stack(chosen.turns, dim=1).tolist(), strict=True):
                found[place] = model.words.numbering.outward(line)
    return found


def theirs(pipe: Any, prompts: list[str], tokens: int, **more: Any) -> Ids:
    """Ids as the pipeline writes them, batch 16."""
    told = pipe(
        prompts, batch_size=16, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, return_tensors=True,
        add_special_tokens=False, **more,
    )  # fmt: skip
    return [one[0]["generated_token_ids"][-tokens:] for one in told]


def timed(work: Callable[[], Ids]) -> tuple[float, Ids]:
    clock = time.monotonic if CUDA else time.process_time
    started = clock()
    found = work()  # ends with ids on the processor, so the GPU has done its part
    return clock() - started, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checked", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path("/tmp/terakoya-hub-shapes"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    asked = parser.parse_args()
    if asked.device == "cuda" and not CUDA:
        command, env = [sys.executable, *sys.argv], os.environ | {"HUB_BENCH_DEVICE": "cuda"}
        raise SystemExit(subprocess.run(command, env=env, check=False).returncode)
    torch.set_num_threads(asked.threads)
    base = hub_shapes.gemma(asked.home / "gemma")
    rows = hub_shapes.numeral_rows(min(asked.prompts, 200))
    pairs, asks = hub_shapes.pairs(rows), [Query(source) for source, _ in rows]
    config = ModelConfig(base=str(base), instruction=hub_shapes.INSTRUCTION, dtype="bfloat16" if CUDA else "auto")
    full, small = (
        build.build(config.model_copy(update={"vocabulary": kind}), pairs, seed=0) for kind in ("full", "trimmed")
    )
    assert isinstance(full, HubModel)
    assert isinstance(small, HubModel)
    for model in (full, small):
        model.module.eval().to(DEVICE)
    pipe, prompts = _pipeline(base, asks)
    peers: dict[str, Callable[[], Ids]] = {
        "pipeline": lambda: theirs(pipe, prompts, asked.tokens),
        "ours-full": lambda: ours(full, asks, asked.tokens),
        "ours": lambda: ours(small, asks, asked.tokens),
    }
    times: dict[str, list[float]] = {name: [] for name in peers}
    answers: dict[str, Ids] = {}
    for number in range(asked.rounds):
        for name, work in peers.items():
            took, answers[name] = timed(work)
            times[name].append(took)
            print(number, name, round(took, 2), file=sys.stderr, flush=True)
    kept = set(small.words.numbering.kept or ())
    barred = [token for token in range(hub_shapes.GEMMA_WORDS) if token not in kept]
    held = theirs(pipe, prompts[: asked.checked], asked.tokens, suppress_tokens=barred)
    same = {
        "ours-full": _share(answers["ours-full"], answers["pipeline"]),
        "ours": _share(answers["ours"][: asked.checked], held),
    }
    _write(asked, times, same)


def _pipeline(base: Path, asks: list[Query]) -> tuple[Any, list[str]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    tokenizer: Any = AutoTokenizer.from_pretrained(base, padding_side="left")
    kind = torch.bfloat16 if CUDA else torch.float32
    module: Any = AutoModelForCausalLM.from_pretrained(base, dtype=kind)
    module.to(DEVICE)
    pipe = pipeline("text-generation", model=module, tokenizer=tokenizer, device=DEVICE)
    system = {"role": "system", "content": hub_shapes.INSTRUCTION}
    chats = [[system, {"role": "user", "content": ask.source}] for ask in asks]
    return pipe, [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]


def _share(one: Ids, other: Ids) -> float:
    """Share of answers that are the same in every token."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(other)


def _write(asked: argparse.Namespace, times: dict[str, list[float]], same: dict[str, float]) -> None:
    medians = {name: statistics.median(values) for name, values in times.items()}
    facts = facts_of(asked.threads, asked.rounds, {"ours": {}}) | {"prompts": asked.prompts, "new tokens": asked.tokens}
    del facts["batch"], facts["mean real tokens a row"], facts["steps a round"]
    facts |= {"dtype": "bfloat16"} if CUDA else {}
    lines = [
        "# Greedy answers, Gemma-3-270M's shape", "", ", ".join(f"{k} {v}" for k, v in facts.items()) + ".", "",
        f"| who | {'wall' if CUDA else 'CPU'} seconds | faster than the pipeline by | same answers |",
        "|---|---|---|---|",
        f"| transformers text-generation pipeline, batch 16 | {medians['pipeline']:.2f} | | |",
    ]  # fmt: skip
    for name, says in (("ours-full", "Terakoya, full vocabulary"), ("ours", "Terakoya, trimmed vocabulary")):
        ratio = medians["pipeline"] / medians[name]
        lines.append(f"| {says} | {medians[name]:.2f} | {ratio:.2f} × | {same[name]:.1%} |")
    page = "\n".join(lines) + "\n"
    RESULTS.mkdir(exist_ok=True)
    told = {"facts": facts, "times": times, "same": same}
    (RESULTS / f"{name_of('hub_decoding')}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False))
    (RESULTS / f"{name_of('hub_decoding')}.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
