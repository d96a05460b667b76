"""Greedy decoding with a model of Gemma-3-270M's shape, against transformers' text-generation pipeline.

    python -m benchmarks.speed.pretrained_decoding [--prompts 200] [--tokens 32] [--rounds 5] [--threads 1]
        [--device cpu|cuda]

All in one process, interleaved; medians. No sequence ends early (random weights never predict the end), so all generate
the same number of tokens. Full vocabulary: tokens must equal the pipeline's. Trimmed: they must equal the pipeline's
with all other tokens suppressed, checked on --checked prompts. On a CPU CPU seconds and float32; on a GPU wall seconds
and bfloat16, in which two implementations may differ at a tie. Written: results/pretrained_decoding.md and .json, with
the name of the GPU in the file name where there is one.
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

from benchmarks.reporting import RESULTS
from benchmarks.speed import pretrained_shapes as shapes
from benchmarks.speed.pretrained_training import CUDA, DEVICE, result_name, run_facts
from terakoya.config import DecodeConfig, ModelConfig
from terakoya.decoding import evaluation_mode
from terakoya.decoding.autoregressive import generate_batch
from terakoya.decoding.sampling import GreedySelector
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.protocol import Query

TokenIds = list[list[int]]


class Recorder(GreedySelector):
    """Greedy decoding that keeps the tokens of every step."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def tokens(self, logits: torch.Tensor) -> torch.Tensor:
        self.steps.append(super().tokens(logits))
        return self.steps[-1]


def ours(model: PretrainedModel, queries: list[Query], tokens: int, batch: int = DecodeConfig().batch_size) -> TokenIds:
    """Token ids of the full vocabulary, one row per query, decoded as in use: length-bucketed batches, with
    log-probabilities."""
    order = sorted(range(len(queries)), key=lambda index: len(model.prompt_ids(queries[index])))
    rows: TokenIds = [[] for _ in queries]
    with evaluation_mode(model), prepacked_weights(model.module, len(queries)):
        for first in range(0, len(order), batch):
            indices = order[first : first + batch]
            recorder = Recorder()
            generate_batch(model, [queries[index] for index in indices], None, tokens, recorder)
            assert all(len(step) == len(indices) for step in recorder.steps), "a sequence ended early"
            for index, line in zip(indices, torch.stack(recorder.steps, dim=1).tolist(), strict=True):
                rows[index] = model.vocabulary.id_map.to_full(line)
    return rows


def theirs(pipe: Any, prompts: list[str], tokens: int, batch: int = 16, **options: Any) -> TokenIds:
    """Token ids that the pipeline generates."""
    outputs = pipe(
        prompts, batch_size=batch, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, return_tensors=True,
        add_special_tokens=False, **options,
    )  # fmt: skip
    return [output[0]["generated_token_ids"][-tokens:] for output in outputs]


def theirs_sorted(pipe: Any, prompts: list[str], tokens: int) -> TokenIds:
    """Token ids that the pipeline generates in batches of 64 prompts of similar length."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found = theirs(pipe, [prompts[index] for index in order], tokens, batch=64)
    rows: TokenIds = [[] for _ in prompts]
    for index, row in zip(order, found, strict=True):
        rows[index] = row
    return rows


def measure(generate: Callable[[], TokenIds]) -> tuple[float, TokenIds]:
    """Seconds of one call (wall on a GPU, CPU otherwise), and what it generated."""
    clock = time.monotonic if CUDA else time.process_time
    started = clock()
    rows = generate()  # ends with ids on the CPU, so the GPU has finished
    return clock() - started, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checked", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/terakoya-pretrained-shapes"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    if args.device == "cuda" and not CUDA:
        command = [sys.executable, "-m", "benchmarks.speed.pretrained_decoding", *sys.argv[1:]]
        env = os.environ | {"BENCH_DEVICE": "cuda"}
        raise SystemExit(subprocess.run(command, env=env, check=False).returncode)
    torch.set_num_threads(args.threads)
    base = shapes.gemma(args.folder / "gemma")
    rows = shapes.numeral_rows(min(args.prompts, 200))
    pairs, queries = shapes.pairs(rows), [Query(source) for source, _ in rows]
    config = ModelConfig(base=str(base), instruction=shapes.INSTRUCTION, dtype="bfloat16" if CUDA else "auto")
    full, small = (
        build.build(config.model_copy(update={"vocabulary": kind}), pairs, seed=0) for kind in ("full", "trimmed")
    )
    assert isinstance(full, PretrainedModel)
    assert isinstance(small, PretrainedModel)
    for model in (full, small):
        model.module.eval().to(DEVICE)
    pipe, prompts = _pipeline(base, queries)
    peers: dict[str, Callable[[], TokenIds]] = {
        "pipeline": lambda: theirs(pipe, prompts, args.tokens),
        "pipeline-sorted": lambda: theirs_sorted(pipe, prompts, args.tokens),
        "ours-full": lambda: ours(full, queries, args.tokens),
        "ours": lambda: ours(small, queries, args.tokens),
    }
    times: dict[str, list[float]] = {name: [] for name in peers}
    generated: dict[str, TokenIds] = {}
    for number in range(args.rounds):
        for name, generate in peers.items():
            took, generated[name] = measure(generate)
            times[name].append(took)
            print(number, name, round(took, 2), file=sys.stderr, flush=True)
    kept = set(small.vocabulary.id_map.kept_ids or ())
    suppressed = [token for token in range(shapes.GEMMA_VOCABULARY) if token not in kept]
    restricted = theirs(pipe, prompts[: args.checked], args.tokens, suppress_tokens=suppressed)
    same = {
        "ours-full": _exact_share(generated["ours-full"], generated["pipeline"]),
        "ours": _exact_share(generated["ours"][: args.checked], restricted),
    }
    _write_page(args, times, same)


def _pipeline(base: Path, queries: list[Query]) -> tuple[Any, list[str]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    tokenizer: Any = AutoTokenizer.from_pretrained(base, padding_side="left")
    dtype = torch.bfloat16 if CUDA else torch.float32
    module: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    module.to(DEVICE)
    pipe = pipeline("text-generation", model=module, tokenizer=tokenizer, device=DEVICE)
    system = {"role": "system", "content": shapes.INSTRUCTION}
    chats = [[system, {"role": "user", "content": query.source}] for query in queries]
    return pipe, [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]


def _exact_share(one: TokenIds, other: TokenIds) -> float:
    """Share of the sequences that are equal in every token."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(other)


def _write_page(args: argparse.Namespace, times: dict[str, list[float]], same: dict[str, float]) -> None:
    medians = {name: statistics.median(values) for name, values in times.items()}
    facts = run_facts(args.threads, args.rounds, {"ours": {}}) | {"prompts": args.prompts, "new tokens": args.tokens}
    del facts["batch"], facts["mean real tokens a row"], facts["steps a round"]
    facts |= {"dtype": "bfloat16"} if CUDA else {}
    lines = [
        "# Greedy decoding, Gemma-3-270M's shape", "", ", ".join(f"{k} {v}" for k, v in facts.items()) + ".", "",
        f"| who | {'wall' if CUDA else 'CPU'} seconds | faster than the faster pipeline by | same tokens |",
        "|---|---|---|---|",
        f"| transformers text-generation pipeline, batch 16 | {medians['pipeline']:.2f} | | |",
        f"| the same, batch 64, sorted by length | {medians['pipeline-sorted']:.2f} | | |",
    ]  # fmt: skip
    strongest = min(medians["pipeline"], medians["pipeline-sorted"])
    for name, description in (("ours-full", "Terakoya, full vocabulary"), ("ours", "Terakoya, trimmed vocabulary")):
        ratio = strongest / medians[name]
        lines.append(f"| {description} | {medians[name]:.2f} | {ratio:.2f} × | {same[name]:.1%} |")
    page = "\n".join(lines) + "\n"
    RESULTS.mkdir(exist_ok=True)
    values = {"facts": facts, "times": times, "same": same}
    (RESULTS / f"{result_name('pretrained_decoding')}.json").write_text(
        json.dumps(values, indent=1, ensure_ascii=False)
    )
    (RESULTS / f"{result_name('pretrained_decoding')}.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
