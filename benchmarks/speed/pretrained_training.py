"""One step of full fine-tuning, against the tools that the logs' authors used, as they used them and as tuned.

The tuned ones are what a careful user of the same tools would set: only the completion in the loss and rows grouped by
length, rows packed to full length, padding to the longest row of a batch. A packed step sees other rows than a step of
16, so seconds a thousand real tokens stand beside seconds a step.

    python -m benchmarks.speed.pretrained_training [--data numerals|emoji] [--rounds 5] [--threads 1]
        [--device cpu|cuda]

Every peer is a process of its own (so that its peak memory is its own) and all are alive at once; a round times one
step of each (ten on a GPU), one after the other, and the table shows medians. On a CPU seconds are CPU seconds of the
process, which other load on the machine hardly moves, and all work in float32; on a GPU they are wall seconds, and all
use bfloat16 autocast over float32 weights. Written: results/pretrained_training_DATA.md and .json, with the name of the
GPU in the file name where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reporting import RESULTS
from benchmarks.speed import pretrained_shapes as shapes

BATCH, RATE = 16, 5e-5
CUDA = os.environ.get("BENCH_DEVICE") == "cuda"  # set by the parent for the processes that it starts
DEVICE = "cuda" if CUDA else "cpu"
BF16 = CUDA or bool(os.environ.get("BENCH_BF16"))  # bfloat16 autocast over float32 weights
LORA = bool(os.environ.get("BENCH_LORA"))  # rank 16 on every linear layer, instead of all weights
STEPS = 10 if CUDA else 1  # of a round
SECONDS = "wall" if CUDA else "cpu"
VERBOSE = bool(os.environ.get("VERBOSE"))  # show what the libraries print
PEERS = {
    "numerals": ("trl", "trl-tuned", "trl-packed", "plain", "ours-full", "ours", "floor"),
    "emoji": ("trainer", "trainer-tuned", "ours", "floor"),
}
DESCRIPTIONS = {
    "trl": "TRL SFTTrainer, max_length 512, no packing, fused AdamW",
    "trl-tuned": "TRL SFTTrainer, loss on completions only, rows grouped by length, fused AdamW",
    "trl-packed": "TRL SFTTrainer, loss on completions only, rows packed to 512 tokens (one a step), fused AdamW",
    "plain": "plain transformers loop, padded to the longest, full logits, fused AdamW",
    "trainer": "transformers Trainer, inputs padded to 128, labels to 32, 5,222 tokens added",
    "trainer-tuned": "transformers Trainer, padded to the longest of a batch, grouped by length, fused AdamW",
    "ours-full": "Terakoya, full vocabulary",
    "ours": "Terakoya, trimmed vocabulary",
    "floor": "only the matmuls of the trimmed model on these tokens, and fused AdamW",
}


# ── peers: each yields once when it is ready, then once after every step ────────────────────────────────────


def ours(dataset: str, folder: Path, vocabulary: str = "trimmed") -> Iterator[dict[str, Any]]:
    """Terakoya, fine-tuning the real checkpoint shape with this vocabulary setting."""
    engine, model, pairs = make_engine(dataset, folder, vocabulary)
    tokens = sum(map(model.length, pairs)) / len(pairs)
    yield {"tokens": tokens, "weights": model.info.weights, "vocabulary": model.info.vocabulary}
    step = 0
    while True:
        result = engine.step(step)
        yield {"loss": result.plain, "real_tokens": result.tokens}
        step += 1


def make_engine(dataset: str, folder: Path, vocabulary: str, forward: str = "fused") -> Any:
    """(engine, model, pairs): the trainer of one step, ready for its first."""
    import torch

    from terakoya.config import ModelConfig, TrainConfig
    from terakoya.models.pretrained import build
    from terakoya.training.batches import EpochBatches
    from terakoya.training.defaults import resolve
    from terakoya.training.step import Engine

    pairs, labels, base = load_data(dataset, folder)
    # The log wrote emoji as a sequence; labels would get a set head otherwise.
    options: dict[str, Any] = {"head": "sequence"} if dataset == "emoji" else {"instruction": shapes.INSTRUCTION}
    config = ModelConfig(base=str(base)).model_copy(update={"vocabulary": vocabulary, "forward": forward, **options})
    config = config.model_copy(update={"adaptation": "lora", "lora_rank": 16} if LORA else {})
    model = build.build(config, pairs, labels, seed=0)
    train = TrainConfig(
        steps=1000, batch_size=BATCH, learning_rate=RATE, schedule="constant", warmup=0.0,
        threads=torch.get_num_threads(),
    )  # fmt: skip
    resolved = resolve(train, model.info, len(pairs))
    model.configure(resolved)
    precision = "bf16" if BF16 else "no"
    return Engine(model, EpochBatches(pairs, BATCH, 0, model.length), resolved, 0, DEVICE, precision), model, pairs


def load_data(dataset: str, folder: Path) -> Any:
    """(pairs, labels, checkpoint folder) of a data set."""
    if dataset == "numerals":
        return shapes.pairs(shapes.numeral_rows()), (), shapes.gemma(folder / "gemma")
    if dataset == "lfm2":  # only where operators are counted (pretrained_launches.py)
        return shapes.pairs(shapes.numeral_rows()), (), folder / "lfm2"
    labels = tuple(shapes.emoji_names()[:296])
    return shapes.pairs(shapes.emoji_rows()), labels, shapes.t5(folder / "t5")


def floor(dataset: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The lower bound: three matmuls for every weight matrix on the tokens it sees, and the optimizer's update.

    The batches are those of `ours`, step by step, so both work on the same tokens.
    """
    import torch

    engine, model, _ = make_engine(dataset, folder, "trimmed")
    for weight in engine.parameters:
        weight.grad = torch.zeros_like(weight)
    placement: Any = {"device": DEVICE, "dtype": torch.bfloat16 if BF16 else torch.float32}
    batches = [_matmul_sizes(model, engine.batches.at(step)) for step in range(12)]  # before anything is timed
    operands = {(w.shape, n): (torch.randn(n, w.shape[1], **placement), torch.randn(n, w.shape[0], **placement))
             for _, sizes in batches for w, n in sizes}  # fmt: skip
    yield {}
    step = 0
    while True:
        tokens, sizes = batches[step % len(batches)]
        with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled=BF16):
            for weight, count in sizes:
                x, g = operands[weight.shape, count]
                x @ weight.T, g @ weight, g.T @ x
            for optimizer in engine.optimizers:
                optimizer.step()
        yield {"real_tokens": tokens}
        step += 1


def _matmul_sizes(model: Any, rows: Any) -> Any:
    """(real tokens of these rows, [(weight matrix, number of tokens it is applied to)])."""
    import torch

    sizes: list[tuple[Any, int]] = []

    def record(layer: Any, given: Any) -> None:
        sizes.append((layer.weight, given[0].numel() // given[0].shape[-1]))

    hooks = [m.register_forward_pre_hook(record) for m in model.module.modules() if isinstance(m, torch.nn.Linear)]
    batch = model.collate(rows).to(torch.device(DEVICE))
    with torch.no_grad():
        model.outputs(batch)
    for hook in hooks:
        hook.remove()
    return batch.tokens, sizes


def plain(dataset: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A training loop written by hand with transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pairs, _, base = load_data(dataset, folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    module: Any = AutoModelForCausalLM.from_pretrained(base)
    module.to(DEVICE)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, fused=True)
    texts = [tokenizer.apply_chat_template(_messages(p.query.source, p.target), tokenize=False) for p in pairs]
    module.train()
    yield {}
    step = 0
    while True:
        rows = [texts[(step * BATCH + row) % len(texts)] for row in range(BATCH)]
        batch = tokenizer(rows, padding=True, add_special_tokens=False, return_tensors="pt").to(DEVICE)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=BF16):
            loss = module(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield {"loss": loss.item(), "real_tokens": int(batch["attention_mask"].sum())}
        step += 1


def _messages(source: str, target: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": shapes.INSTRUCTION},
        {"role": "user", "content": source},
        {"role": "assistant", "content": target},
    ]


def trl(dataset: str, folder: Path, wait: Callable[[dict[str, Any]], None], style: str = "") -> None:
    """TRL as in the numerals log, "tuned" or "packed"; a callback calls `wait` before every step."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    pairs, _, base = load_data(dataset, folder)
    chats = [_messages(p.query.source, p.target) for p in pairs]
    tuned: dict[str, Any] = {}
    if style:
        rows = Dataset.from_list([{"prompt": chat[:-1], "completion": chat[-1:]} for chat in chats])
        tuned = {"completion_only_loss": True}
    else:
        rows = Dataset.from_list([{"messages": chat} for chat in chats])
    if style == "tuned":
        tuned |= {"train_sampling_strategy": "group_by_length"}
    packed = style == "packed"
    args = SFTConfig(
        output_dir=str(folder / f"trl{style}"), max_length=512, packing=packed,
        per_device_train_batch_size=1 if packed else BATCH, **tuned,
        gradient_checkpointing=False, optim="adamw_torch_fused", learning_rate=RATE, lr_scheduler_type="constant",
        max_steps=1000, logging_steps=1, save_strategy="no", report_to="none", use_cpu=not CUDA, bf16=BF16,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base), args=args, train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(base),
        peft_config=_lora_config() if LORA else None,
    )  # fmt: skip
    dataset_of_tokens: Any = trainer.train_dataset
    lengths = [len(row["input_ids"]) for row in dataset_of_tokens]
    tokens = (1 if packed else BATCH) * statistics.mean(lengths)
    trainer.add_callback(_wait_callback(TrainerCallback, wait, tokens))
    trainer.train()


def _lora_config(task: str = "CAUSAL_LM") -> Any:
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", lora_dropout=0.0, task_type=task)


def trainer(dataset: str, folder: Path, wait: Callable[[dict[str, Any]], None], tuned: bool = False) -> None:
    """Trainer as in the emoji log: every row padded to the limits, padding masked in the labels (its second trial).

    tuned  padded to the longest row of a batch, rows of similar length together
    """
    import torch
    from transformers import (
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    pairs, _, base = load_data(dataset, folder)
    tokenizer, module = AutoTokenizer.from_pretrained(base), AutoModelForSeq2SeqLM.from_pretrained(base)
    tokenizer.add_tokens(shapes.emoji_names())
    module.resize_token_embeddings(shapes.T5_VOCABULARY + shapes.EMOJI_COUNT, mean_resizing=False)
    if LORA:
        from peft import get_peft_model

        module = get_peft_model(module, _lora_config("SEQ_2_SEQ_LM"))

    def row(source: str, target: str) -> dict[str, Any]:
        if tuned:
            return {**tokenizer(source), "labels": tokenizer(target)["input_ids"]}
        encoded = tokenizer(source, padding="max_length", max_length=128, truncation=True)
        labels = torch.tensor(tokenizer(target, padding="max_length", max_length=32, truncation=True)["input_ids"])
        return {**encoded, "labels": labels.masked_fill(labels == tokenizer.pad_token_id, -100)}

    rows = [row(p.query.source, p.target) for p in pairs]
    options: dict[str, Any] = {}
    if tuned:
        options = {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"}
    real = [len(tokenizer(p.query.source)["input_ids"]) + len(tokenizer(p.target)["input_ids"]) for p in pairs]
    args = TrainingArguments(
        output_dir=str(folder / "trainer"), **options, per_device_train_batch_size=BATCH, learning_rate=RATE,
        max_steps=1000,
        logging_steps=1, save_strategy="no", report_to="none", use_cpu=not CUDA, bf16=BF16,
        disable_tqdm=True,
    )  # fmt: skip
    Trainer(
        model=module, args=args, train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=module) if tuned else None,
        callbacks=[_wait_callback(TrainerCallback, wait, BATCH * statistics.mean(real))],
    ).train()  # fmt: skip


def _wait_callback(base: Any, wait: Callable[[dict[str, Any]], None], tokens: float) -> Any:
    """A callback that waits before every step; `tokens` are the real ones that a step holds on average."""

    class WaitCallback(base):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            wait({"real_tokens": tokens})

    return WaitCallback()


# ── processes and rounds ──────────────────────────────────────────────────────────────────────────────────


def run_peer(peer: str, dataset: str, folder: Path, threads: int) -> None:
    """The body of a peer's process: one step per line read from stdin, one line of JSON per step to stdout."""
    import torch

    torch.set_num_threads(threads)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to stdout; the protocol with the parent must stay clean
    started: list[float] = []

    def report_and_wait(values: dict[str, Any]) -> None:
        """Report what the last step took, and wait for the parent's next line."""
        if CUDA:
            torch.cuda.synchronize()
        took = {"wall": time.monotonic() - started[0], "cpu": time.process_time() - started[1]} if started else {}
        memory = torch.cuda.max_memory_allocated() if CUDA else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1e3
        peak = memory / 1e9
        print(json.dumps(values | took | {"peak_gb": peak}), file=out, flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        started[:] = [time.monotonic(), time.process_time()]

    if peer.startswith("trl"):
        return trl(dataset, folder, report_and_wait, peer.partition("-")[2])
    if peer.startswith("trainer"):
        return trainer(dataset, folder, report_and_wait, tuned=peer == "trainer-tuned")
    peers: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "ours": lambda: ours(dataset, folder),
        "ours-full": lambda: ours(dataset, folder, "full"),
        "floor": lambda: floor(dataset, folder),
        "plain": lambda: plain(dataset, folder),
    }
    for values in peers[peer]():
        report_and_wait(values)
    return None


def measure_peers(dataset: str, folder: Path, rounds: int, threads: int, peers: Sequence[str]) -> dict[str, Any]:
    """Rounds of `STEPS` steps for each peer; the first is warm-up and is discarded."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.pretrained_training",
        "--dataset",
        dataset,
        "--folder",
        str(folder),
    ]
    command += ["--threads", str(threads), "--peer"]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": None if VERBOSE else subprocess.DEVNULL,
        "text": True,
    }
    lines: dict[str, list[dict[str, Any]]] = {}
    running: dict[str, Any] = {}
    try:
        for peer in peers:
            running[peer] = subprocess.Popen([*command, peer], **pipes)
        for peer in peers:
            lines[peer] = [json.loads(running[peer].stdout.readline())]
        for number in range(rounds + 1):
            for peer, process in running.items():
                line = _round_mean([_next_step(process) for _ in range(STEPS)])
                print(number, peer, line, file=sys.stderr, flush=True)
                lines[peer].append(line)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return {peer: _summary(steps) for peer, steps in lines.items()}


def _next_step(process: Any) -> dict[str, Any]:
    process.stdin.write("go\n")
    process.stdin.flush()
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def _round_mean(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean seconds of the steps of a round, with the last step's loss and peak memory."""
    means = {key: statistics.mean(step[key] for step in steps) for key in ("cpu", "wall")}
    tokens = (
        {"real_tokens": statistics.mean(step["real_tokens"] for step in steps)} if "real_tokens" in steps[0] else {}
    )
    return steps[-1] | means | tokens


def _summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    first, _, *steps = lines
    return {
        **{key: value for key, value in first.items() if key in ("tokens", "weights", "vocabulary")},
        "cpu": statistics.median(step["cpu"] for step in steps),
        "wall": statistics.median(step["wall"] for step in steps),
        "seconds": statistics.median(step[SECONDS] for step in steps),
        "all_seconds": [round(step[SECONDS], 4) for step in steps],
        "real_tokens": statistics.mean(step.get("real_tokens", 0) for step in steps),
        "peak_gb": max(step["peak_gb"] for step in steps),
        "losses": [step["loss"] for step in steps if "loss" in step],
    }


def format_page(dataset: str, peers: dict[str, Any], facts: dict[str, Any]) -> str:
    mine, clock = peers["ours"], "wall" if "GPU" in facts else "CPU"
    lines = [
        f"# One step of full fine-tuning: {dataset}", "",
        ", ".join(f"{key} {value}" for key, value in facts.items()) + ".", "",
        f"| peer | {clock} s a step | all rounds | {clock} s per 1,000 real tokens | ours is faster by "
        "| peak GB | ours needs |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    per_token = {peer: statistics.mean(one["all_seconds"]) / one["real_tokens"] for peer, one in peers.items()}
    for peer, values in peers.items():
        lines.append(
            f"| {DESCRIPTIONS[peer]} | {values['seconds']:.3f} "
            f"| {' '.join(f'{one:.3f}' for one in values['all_seconds'])} "
            f"| {1000 * per_token[peer]:.2f} | {per_token[peer] / per_token['ours']:.2f} × "
            f"| {values['peak_gb']:.2f} | {mine['peak_gb'] / values['peak_gb']:.2f} × |"
        )
    others = [peer for peer in peers if peer not in ("ours", "ours-full", "floor")]
    if others:
        # A library's trainer draws rows evenly: a step of it holds the mean number of real tokens.
        strongest = min(others, key=lambda peer: per_token[peer])
        ratio = per_token[strongest] / per_token["ours"]
        lines += ["", f"**{ratio:.2f} × as fast per real token as the strongest peer** ({DESCRIPTIONS[strongest]})."]
        if "ours-full" in peers:
            lines += ["", f"With the full vocabulary {per_token[strongest] / per_token['ours-full']:.2f} ×."]
    if "floor" in peers:
        lines += ["", f"Ratio to the floor: {mine['seconds'] / peers['floor']['seconds']:.2f} ×."]
    if missing := [DESCRIPTIONS[peer] for peer in PEERS[dataset] if peer not in peers]:
        lines += ["", f"Not measured here: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


def run_facts(threads: int, rounds: int, peers: dict[str, Any]) -> dict[str, Any]:
    """Machine, versions and settings of a measurement, for its page."""
    import torch
    import transformers

    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    return {
        "machine": f"{cpu} {platform.machine()}", **({"GPU": torch.cuda.get_device_name()} if CUDA else {}),
        "threads": threads, "dtype": "bfloat16 autocast over float32" if CUDA else "float32", "batch": BATCH,
        "rounds": rounds, "steps a round": STEPS, "mean real tokens a row": round(peers["ours"].get("tokens", 0), 1),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip


def result_name(stem: str) -> str:
    """`stem`, with the name of the GPU where there is one."""
    import torch

    return stem + ("_" + torch.cuda.get_device_name().replace(" ", "-") if CUDA else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", "--work", choices=sorted(PEERS), default="numerals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--without", nargs="*", default=[], help="peers that are left out, and named in the table")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/terakoya-pretrained-shapes"))
    parser.add_argument("--peer", default="", help="(for the processes that this one starts)")
    args = parser.parse_args()
    if args.device == "cuda" and not CUDA:  # module constants read the device at import
        raise SystemExit(
            subprocess.run(
                [sys.executable, "-m", "benchmarks.speed.pretrained_training", *sys.argv[1:]],
                env=os.environ | {"BENCH_DEVICE": "cuda"},
            ).returncode
        )
    if args.peer:
        return run_peer(args.peer, args.dataset, args.folder, args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    load_data(args.dataset, args.folder)
    chosen = [peer for peer in PEERS[args.dataset] if peer not in args.without]
    peers = measure_peers(args.dataset, args.folder, args.rounds, args.threads, chosen)
    facts = run_facts(args.threads, args.rounds, peers)
    RESULTS.mkdir(exist_ok=True)
    name = result_name(f"pretrained_training_{args.dataset}")
    (RESULTS / f"{name}.json").write_text(json.dumps({"facts": facts, "peers": peers}, indent=1, ensure_ascii=False))
    page = format_page(args.dataset, peers, facts)
    (RESULTS / f"{name}.md").write_text(page)
    print(page)
    return None


if __name__ == "__main__":
    main()
