"""What a GPU is to tell us, in one script of at most ten minutes: training steps, decoding, memory.

    python -m benchmarks.speed.gpu [--device cuda|cpu] [--minutes 10] [--tiny] [--only TEXT] [--write]

Shapes of Gemma-3-270M and T5-base with random weights; full and LoRA (rank 16); batches of 16 and 64. Contestants:
Terakoya with its fused layers and without, the same with `torch.compile`, with its forward and backward captured as a
CUDA graph, TRL with completion-only loss and rows grouped by length, TRL packed, and Trainer padded to the longest of a
batch. Decoding: Terakoya, the text-generation pipeline in batches of 16 and of 64 sorted rows, and `generate`. The most
important lines come first; what the minutes do not reach is listed as not reached, what fails says why.

On a GPU bfloat16 autocast over float32 weights and wall seconds; with --device cpu float32 and CPU seconds. --tiny:
two layers of width 64 instead, which shows that every line works, and no figure. --write: results/gpu_NAME.md, .json.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.speed import pretrained_shapes as shapes
from benchmarks.speed import pretrained_training as training

HEADER = (
    "shape",
    "adapted",
    "batch",
    "who",
    "ms a step or answer",
    "real tokens a second",
    "peak GB",
    "against the best other",
)


class Stop(Exception):
    """Raised in a trainer's callback when enough steps were timed."""


class Timer:
    """Seconds of single steps, the first ones as warm-up; peak memory besides."""

    warm, steps = 3, 10

    def __init__(self) -> None:
        import torch

        self.cuda, self.seconds, self.tokens = training.CUDA, list[float](), list[float]()
        self.count, self.started = 0, 0.0
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()

    def now(self) -> float:
        import torch

        if self.cuda:
            torch.cuda.synchronize()
        return time.monotonic() if self.cuda else time.process_time()

    def tick(self, values: dict[str, Any]) -> None:
        """One step has ended, or the first one begins; raises Stop after the last one."""
        now = self.now()
        if self.count > self.warm:
            self.seconds.append(now - self.started)
            self.tokens.append(values.get("real_tokens", 0))
        if len(self.seconds) >= self.steps:
            raise Stop
        self.count += 1
        self.started = self.now()

    def row(self) -> dict[str, float]:
        import torch

        seconds = statistics.median(self.seconds)
        peak = torch.cuda.max_memory_allocated() / 1e9 if self.cuda else 0.0
        return {"ms": seconds * 1e3, "tokens_a_second": statistics.mean(self.tokens) / seconds, "peak_gb": peak}


def timed(run: Callable[[Timer], None]) -> dict[str, float]:
    timer = Timer()
    with contextlib.suppress(Stop):  # the timer's own sign that it has seen enough
        run(timer)
    return timer.row()


def ours(dataset: str, folder: Path, *, forward: str = "fused", how: str = "") -> Callable[[Timer], None]:
    """Terakoya's step; `how`: "compile" or "graph"."""

    def run(timer: Timer) -> None:
        engine, model, _pairs = training.make_engine(dataset, folder, "trimmed", forward)
        if how == "compile":
            import torch

            model.module.forward = torch.compile(model.module.forward, dynamic=True)
        elif how == "graph":
            captured_backward(engine)
        timer.tick({})
        step = 0
        while True:
            timer.tick({"real_tokens": engine.step(step).tokens})
            step += 1

    return run


def captured_backward(engine: Any) -> None:
    """Forward and backward of each batch shape captured once and replayed: what launching its kernels costs is seen.

    A batch is padded by the model to the longest of its rows; so one graph is captured for each shape that comes up.
    """
    import torch

    graphs: dict[Any, Any] = {}
    plain = engine._backward

    def backward(model: Any, batch: Any, share: float) -> Any:
        key = tuple((name, tuple(tensor.shape)) for name, tensor in sorted(batch.tensors.items()))
        if key not in graphs:
            static = {name: tensor.clone() for name, tensor in batch.tensors.items()}
            held = type(batch)(static, batch.targets, batch.tokens, batch.keys)
            side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(side):
                for _ in range(2):
                    plain(model, held, share)
            torch.cuda.current_stream().wait_stream(side)
            for weight in engine.parameters:
                weight.grad.zero_()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                losses = plain(model, held, share)
            graphs[key] = (graph, static, losses, [weight.grad for weight in engine.parameters])
        graph, static, losses, gradients = graphs[key]
        for name, tensor in batch.tensors.items():
            static[name].copy_(tensor)
        for weight, gradient in zip(engine.parameters, gradients, strict=True):
            gradient.zero_()
            weight.grad = gradient
        graph.replay()
        return losses

    engine._backward = backward


def theirs(dataset: str, folder: Path, peer: str) -> Callable[[Timer], None]:
    """TRL ("trl-tuned", "trl-packed") or Trainer ("trainer-tuned")."""

    def run(timer: Timer) -> None:
        if peer.startswith("trl"):
            training.trl(dataset, folder, timer.tick, peer.partition("-")[2])
        else:
            training.trainer(dataset, folder, timer.tick, tuned=True)

    return run


def contests(folder: Path) -> Iterator[tuple[str, str, int, str, Callable[[], dict[str, float]]]]:
    """(shape, adaptation, batch, who, measure), the most important first."""
    order = [("numerals", False, 16), ("numerals", True, 16), ("emoji", False, 16), ("numerals", False, 64),
             ("numerals", True, 64), ("emoji", False, 64), ("emoji", True, 16), ("emoji", True, 64)]  # fmt: skip
    yield from (("gemma", "full", 64, who, measure) for who, measure in decoding(folder))
    for number, (dataset, lora, batch) in enumerate(order):
        shape = "gemma" if dataset == "numerals" else "t5"
        peers = ("trl-tuned", "trl-packed") if dataset == "numerals" else ("trainer-tuned",)
        runs = {"Terakoya": ours(dataset, folder)}
        runs |= {peer: theirs(dataset, folder, peer) for peer in peers}
        runs |= {"Terakoya, library layers": ours(dataset, folder, forward="library")}
        if number == 0:
            runs |= {"Terakoya, CUDA graph": ours(dataset, folder, how="graph")}
            runs |= {"Terakoya, torch.compile": ours(dataset, folder, how="compile")}
        for who, run in runs.items():
            yield shape, "LoRA" if lora else "full", batch, who, _with(lora, batch, run)


def _with(lora: bool, batch: int, run: Callable[[Timer], None]) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        training.LORA, training.BATCH = lora, batch
        return timed(run)

    return measure


def decoding(folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Answers of 32 tokens to 64 prompts, greedily."""
    from benchmarks.speed import pretrained_decoding as decode
    from terakoya.config import ModelConfig
    from terakoya.models.pretrained import build
    from terakoya.models.protocol import Query

    prompts, tokens = 64, 32
    rows = shapes.numeral_rows(prompts)
    queries = [Query(source) for source, _ in rows]
    base = shapes.gemma(folder / "gemma")

    def measure(generate: Callable[[], Any]) -> dict[str, float]:
        generate()
        took = statistics.median(decode.measure(generate)[0] for _ in range(3))
        return {"ms": took / prompts * 1e3, "tokens_a_second": prompts * tokens / took, "peak_gb": 0.0}

    def mine() -> dict[str, float]:
        dtype = "bfloat16" if training.CUDA else "auto"
        config = ModelConfig(base=str(base), instruction=shapes.INSTRUCTION, dtype=dtype)  # type: ignore[arg-type]
        model: Any = build.build(config.model_copy(update={"vocabulary": "trimmed"}), shapes.pairs(rows), seed=0)
        model.module.eval().to(training.DEVICE)
        return measure(lambda: decode.ours(model, queries, tokens))

    def pipeline(how: str) -> dict[str, float]:
        pipe, texts = decode._pipeline(base, queries)
        if how == "generate":
            inputs = pipe.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            inputs = inputs.to(training.DEVICE)
            options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
            return measure(lambda: pipe.model.generate(**inputs, **options).tolist())
        run = decode.theirs_sorted if how == "sorted" else decode.theirs
        return measure(lambda: run(pipe, texts, tokens))

    yield "decoding: Terakoya", mine
    yield "decoding: generate, batch 64", lambda: pipeline("generate")
    yield "decoding: pipeline, batch 64, sorted", lambda: pipeline("sorted")
    yield "decoding: pipeline, batch 16", lambda: pipeline("plain")


def tiny_shapes() -> None:
    """Two layers of width 64 instead of the real ones; the vocabularies stay."""
    import transformers as t

    gemma, t5 = t.Gemma3TextConfig, t.T5Config
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
    folder = Path("/tmp/terakoya-tiny-shapes")

    def gemma_config(**values: Any) -> Any:
        return gemma(**(values | small | {"layer_types": ["sliding_attention", "full_attention"]}))

    def t5_config(**values: Any) -> Any:
        return t5(**(values | {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}))

    # Each just before it is used: loading another part of transformers sets its names anew.
    with mock.patch.object(t, "Gemma3TextConfig", gemma_config):
        shapes.gemma(folder / "gemma")
    with mock.patch.object(t, "T5Config", t5_config):
        shapes.t5(folder / "t5")


def against_others(rows: list[dict[str, Any]]) -> None:
    """How many times faster than the best contestant that is not ours, for the same shape and batch, by real tokens."""
    for row in rows:
        others = [
            other["tokens_a_second"]
            for other in rows
            if "ms" in other
            and "Terakoya" not in other["who"]
            and all(other[key] == row[key] for key in ("shape", "adapted", "batch"))
            and other["who"].startswith("decoding") == row["who"].startswith("decoding")
        ]
        if "Terakoya" in row["who"] and "ms" in row and others:
            row["ratio"] = row["tokens_a_second"] / max(others)


def table(rows: list[dict[str, Any]]) -> str:
    """All rows as a table."""
    cells = []
    for row in rows:
        figures = [row.get("why", "")] + [""] * 3
        if "ms" in row:
            ratio = f"× {row['ratio']:.2f}" if "ratio" in row else ""
            figures = [f"{row['ms']:.2f}", f"{row['tokens_a_second']:,.0f}", f"{row['peak_gb']:.2f}", ratio]
        cells.append([row["shape"], row["adapted"], row["batch"], row["who"], *figures])
    return markdown_table(HEADER, cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="", help="only lines (shape adapted batch who) that contain this")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if args.device == "cuda" and not training.CUDA:
        command = [sys.executable, "-m", "benchmarks.speed.gpu", *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, env=os.environ | {"BENCH_DEVICE": "cuda"}, check=False).returncode)
    import torch

    deadline = time.monotonic() + args.minutes * 60 - 20
    folder = Path("/tmp/terakoya-tiny-shapes" if args.tiny else "/tmp/terakoya-pretrained-shapes")
    if args.tiny:
        tiny_shapes()
        Timer.warm, Timer.steps = 1, 2
    rows: list[dict[str, Any]] = []
    for shape, adapted, batch, who, measure in contests(folder):
        if args.only not in f"{shape} {adapted} {batch} {who}":
            continue
        row: dict[str, Any] = {"shape": shape, "adapted": adapted, "batch": batch, "who": who}
        rows.append(row)
        if time.monotonic() > deadline:
            row["why"] = "not reached"
            continue
        if "graph" in who and not training.CUDA:
            row["why"] = "needs a GPU"
            continue
        started = time.monotonic()
        try:
            row |= measure()
        except Exception as error:  # one contestant's fault is a line of the table; the others are timed
            row["why"] = f"failed: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
        gc.collect()
        if training.CUDA:
            torch.cuda.empty_cache()
        seconds = time.monotonic() - started
        print(*row.values(), f"(section of {seconds:.0f} s)", file=sys.stderr, flush=True)
    against_others(rows)
    device = torch.cuda.get_device_name() if training.CUDA else "CPU"
    facts = f"{machine_summary(('torch', 'transformers', 'trl', 'peft'))}; {device}" + (
        "; tiny shapes" if args.tiny else ""
    )
    facts += f". Medians of {Timer.steps} steps after {Timer.warm}"
    page = f"# Training and decoding on a GPU\n\n{facts}.\n\n{table(rows)}"
    print(page)
    if args.write:
        print(write_results(training.result_name("gpu"), page, {"facts": facts, "rows": rows}))


if __name__ == "__main__":
    main()
