"""One step of full fine-tuning at the two logs' settings, against what their authors used.

    python benchmarks/hub_training.py [--work numerals|emoji] [--rounds 5] [--threads 1] [--device cpu|cuda]

Every peer is a process of its own (so that its peak memory is its own) and all are alive at once; a round times one
step of each (on a GPU ten), one after the other, and the table shows medians. On a processor seconds are CPU seconds
of the process, which other work on the machine hardly moves, and everybody works in float32; on a GPU they are wall
seconds, and everybody works in bfloat16 beside float32 weights. Written: results/hub_training_WORK.md and .json, with
the GPU's name in the file's where there is one.
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

import hub_shapes

RESULTS = Path(__file__).parent / "results"
BATCH, RATE = 16, 5e-5
CUDA = os.environ.get("HUB_BENCH_DEVICE") == "cuda"  # told by the parent to the processes that it starts
DEVICE = "cuda" if CUDA else "cpu"
HALF = CUDA or bool(os.environ.get("HUB_BENCH_HALF"))  # bfloat16 beside float32 weights
LORA = bool(os.environ.get("HUB_BENCH_LORA"))  # adapters of rank 16 on every linear layer, in place of all weights
STEPS = 10 if CUDA else 1  # of a round
SECONDS = "wall" if CUDA else "cpu"
VERBOSE = bool(os.environ.get("VERBOSE"))  # show what the libraries print
PEERS = {
    "numerals": ("trl", "plain", "ours-full", "ours", "floor"),
    "emoji": ("trainer", "ours", "floor"),
}
SAYS = {
    "trl": "TRL SFTTrainer, max_length 512, no packing, fused AdamW",
    "plain": "plain transformers loop, padded to the longest, full logits, fused AdamW",
    "trainer": "transformers Trainer, inputs padded to 128, labels to 32, 5,222 tokens added",
    "ours-full": "Terakoya, full vocabulary",
    "ours": "Terakoya, trimmed vocabulary",
    "floor": "the matrix products of the trimmed model on these tokens, and fused AdamW, alone",
}


# ── peers: each yields once when it is ready and once after every step ────────────────────────────────────


def ours(work: str, home: Path, vocabulary: str = "trimmed") -> Iterator[dict[str, Any]]:
    engine, model, pairs = _engine(work, home, vocabulary)
    tokens = sum(len(q) + len(a) for q, a in map(model._row, pairs)) / len(pairs)
    yield {"tokens": tokens, "weights": model.card.weights, "vocabulary": model.card.vocabulary}
    step = 0
    while True:
        did = engine.step(step)
        yield {"loss": did.plain, "real_tokens": did.tokens}
        step += 1


def _engine(work: str, home: Path, vocabulary: str, forward: str = "quick") -> Any:
    import torch

    from terakoya.config import ModelConfig, TrainConfig
    from terakoya.models.pretrained import build
    from terakoya.training.batches import Fixed
    from terakoya.training.defaults import resolve
    from terakoya.training.step import Engine

    pairs, labels, base = _data(work, home)
    # The log wrote emoji as a sequence; labels would get a set head otherwise.
    told: dict[str, Any] = {"head": "sequence"} if work == "emoji" else {"instruction": hub_shapes.INSTRUCTION}
    config = ModelConfig(base=str(base)).model_copy(update={"vocabulary": vocabulary, "forward": forward, **told})
    config = config.model_copy(update={"adaptation": "lora", "lora_rank": 16} if LORA else {})
    model = build.build(config, pairs, labels, seed=0)
    train = TrainConfig(
        steps=1000, batch_size=BATCH, learning_rate=RATE, schedule="constant", warmup=0.0,
        threads=torch.get_num_threads(),
    )  # fmt: skip
    how = resolve(train, model.card, len(pairs))
    model.settle(how)
    precision = "bf16" if HALF else "no"
    return Engine(model, Fixed(pairs, BATCH, 0, model.length), how, 0, DEVICE, precision), model, pairs


def _data(work: str, home: Path) -> Any:
    if work == "numerals":
        return hub_shapes.pairs(hub_shapes.numeral_rows()), (), hub_shapes.gemma(home / "gemma")
    if work == "lfm2":  # where operators are counted
        return hub_shapes.pairs(hub_shapes.numeral_rows()), (), home / "lfm2"
    labels = tuple(hub_shapes.emoji_names()[:296])
    return hub_shapes.pairs(hub_shapes.emoji_rows()), labels, hub_shapes.t5(home / "t5")


def floor(work: str, home: Path) -> Iterator[dict[str, Any]]:
    """What cannot be left out: three products for every weight matrix on the tokens it sees, and the update.

    Step by step the batches are those of `ours`, so both work on the same tokens.
    """
    import torch

    engine, model, _ = _engine(work, home, "trimmed")
    for weight in engine.parameters:
        weight.grad = torch.zeros_like(weight)
    kind: Any = {"device": DEVICE, "dtype": torch.bfloat16 if HALF else torch.float32}
    work_of = [_seen(model, engine.batches.at(step)) for step in range(12)]  # before the clock runs
    sides = {(w.shape, n): (torch.randn(n, w.shape[1], **kind), torch.randn(n, w.shape[0], **kind))
             for _, seen in work_of for w, n in seen}  # fmt: skip
    yield {}
    step = 0
    while True:
        tokens, seen = work_of[step % len(work_of)]
        with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16, enabled=HALF):
            for weight, count in seen:
                x, g = sides[weight.shape, count]
                x @ weight.T, g @ weight, g.T @ x
            for optimizer in engine.optimizers:
                optimizer.step()
        yield {"real_tokens": tokens}
        step += 1


def _seen(model: Any, rows: Any) -> Any:
    """Real tokens of these rows, and every weight matrix with the number of tokens that it sees of them."""
    import torch

    seen: list[tuple[Any, int]] = []

    def watch(layer: Any, given: Any) -> None:
        seen.append((layer.weight, given[0].numel() // given[0].shape[-1]))

    hooks = [m.register_forward_pre_hook(watch) for m in model.module.modules() if isinstance(m, torch.nn.Linear)]
    batch = model.collate(rows).to(torch.device(DEVICE))
    with torch.no_grad():
        model.outputs(batch)
    for hook in hooks:
        hook.remove()
    return batch.tokens, seen


def plain(work: str, home: Path) -> Iterator[dict[str, Any]]:
    """What everyone writes by hand."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pairs, _, base = _data(work, home)
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    module: Any = AutoModelForCausalLM.from_pretrained(base)
    module.to(DEVICE)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, fused=True)
    texts = [tokenizer.apply_chat_template(_messages(p.ask.source, p.written), tokenize=False) for p in pairs]
    module.train()
    yield {}
    step = 0
    while True:
        rows = [texts[(step * BATCH + place) % len(texts)] for place in range(BATCH)]
        batch = tokenizer(rows, padding=True, add_special_tokens=False, return_tensors="pt").to(DEVICE)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=HALF):
            loss = module(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield {"loss": loss.item(), "real_tokens": int(batch["attention_mask"].sum())}
        step += 1


def _messages(source: str, target: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": hub_shapes.INSTRUCTION},
        {"role": "user", "content": source},
        {"role": "assistant", "content": target},
    ]


def trl(work: str, home: Path, wait: Callable[[dict[str, Any]], None]) -> None:
    """As in the numerals log; a callback waits for its turn before every step."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

    pairs, _, base = _data(work, home)
    rows = Dataset.from_list([{"messages": _messages(p.ask.source, p.written)} for p in pairs])
    args = SFTConfig(
        output_dir=str(home / "trl"), max_length=512, packing=False, per_device_train_batch_size=BATCH,
        gradient_checkpointing=False, optim="adamw_torch_fused", learning_rate=RATE, lr_scheduler_type="constant",
        max_steps=1000, logging_steps=1, save_strategy="no", report_to="none", use_cpu=not CUDA, bf16=HALF,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base), args=args, train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(base), callbacks=[_waiting(TrainerCallback, wait)],
        peft_config=_adapters() if LORA else None,
    )  # fmt: skip
    trainer.train()


def _adapters() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", lora_dropout=0.0, task_type="CAUSAL_LM")


def trainer(work: str, home: Path, wait: Callable[[dict[str, Any]], None]) -> None:
    """As in the emoji log: every row padded to the limits, padding masked in the labels (its second trial)."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

    pairs, _, base = _data(work, home)
    tokenizer, module = AutoTokenizer.from_pretrained(base), AutoModelForSeq2SeqLM.from_pretrained(base)
    tokenizer.add_tokens(hub_shapes.emoji_names())
    module.resize_token_embeddings(hub_shapes.T5_WORDS + hub_shapes.EMOJI, mean_resizing=False)

    def row(source: str, target: str) -> dict[str, Any]:
        asked = tokenizer(source, padding="max_length", max_length=128, truncation=True)
        told = torch.tensor(tokenizer(target, padding="max_length", max_length=32, truncation=True)["input_ids"])
        return {**asked, "labels": told.masked_fill(told == tokenizer.pad_token_id, -100)}

    args = TrainingArguments(
        output_dir=str(home / "trainer"), per_device_train_batch_size=BATCH, learning_rate=RATE, max_steps=1000,
        logging_steps=1, save_strategy="no", report_to="none", use_cpu=not CUDA, bf16=HALF,
        disable_tqdm=True,
    )  # fmt: skip
    Trainer(
        model=module, args=args, train_dataset=[row(p.ask.source, p.written) for p in pairs],
        callbacks=[_waiting(TrainerCallback, wait)],
    ).train()  # fmt: skip


def _waiting(base: Any, wait: Callable[[dict[str, Any]], None]) -> Any:
    class Waiting(base):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            wait({})

    return Waiting()


# ── processes and rounds ──────────────────────────────────────────────────────────────────────────────────


def work_as(peer: str, work: str, home: Path, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print; the answers must stand alone
    started: list[float] = []

    def turn(told: dict[str, Any]) -> None:
        """Tell what the last step took, and wait for the next turn."""
        if CUDA:
            torch.cuda.synchronize()
        took = {"wall": time.monotonic() - started[0], "cpu": time.process_time() - started[1]} if started else {}
        memory = torch.cuda.max_memory_allocated() if CUDA else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1e3
        peak = memory / 1e9
        print(json.dumps(told | took | {"peak_gb": peak}), file=out, flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        started[:] = [time.monotonic(), time.process_time()]

    if peer in ("trl", "trainer"):
        (trl if peer == "trl" else trainer)(work, home, turn)
        return
    peers: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "ours": lambda: ours(work, home),
        "ours-full": lambda: ours(work, home, "full"),
        "floor": lambda: floor(work, home),
        "plain": lambda: plain(work, home),
    }
    for told in peers[peer]():
        turn(told)


def measured(work: str, home: Path, rounds: int, threads: int, peers: Sequence[str]) -> dict[str, Any]:
    """Rounds of `STEPS` steps for each peer; the first is warm-up and is thrown away."""
    command = [sys.executable, __file__, "--work", work, "--home", str(home), "--threads", str(threads), "--peer"]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": None if VERBOSE else subprocess.DEVNULL,
        "text": True,
    }
    found: dict[str, list[dict[str, Any]]] = {}
    running: dict[str, Any] = {}
    try:
        for peer in peers:
            running[peer] = subprocess.Popen([*command, peer], **pipes)
        for peer in peers:
            found[peer] = [json.loads(running[peer].stdout.readline())]
        for number in range(rounds + 1):
            for peer, process in running.items():
                line = _together([_asked(process) for _ in range(STEPS)])
                print(number, peer, line, file=sys.stderr, flush=True)
                found[peer].append(line)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return {peer: _summary(lines) for peer, lines in found.items()}


def _asked(process: Any) -> dict[str, Any]:
    process.stdin.write("go\n")
    process.stdin.flush()
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def _together(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The steps of a round as one: mean seconds, the last step's loss and peak."""
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


def table(work: str, peers: dict[str, Any], facts: dict[str, Any]) -> str:
    mine, clock = peers["ours"], "wall" if "GPU" in facts else "CPU"
    lines = [
        f"# One step of full fine-tuning: {work}", "",
        ", ".join(f"{key} {value}" for key, value in facts.items()) + ".", "",
        f"| peer | {clock} s a step | all rounds | ours is faster by | peak GB | ours needs |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for peer, found in peers.items():
        lines.append(
            f"| {SAYS[peer]} | {found['seconds']:.3f} | {' '.join(f'{one:.3f}' for one in found['all_seconds'])} "
            f"| {found['seconds'] / mine['seconds']:.2f} × "
            f"| {found['peak_gb']:.2f} | {mine['peak_gb'] / found['peak_gb']:.2f} × |"
        )
    if "ours-full" in peers:
        full = peers["ours-full"]["seconds"]
        told = [f"{peers[one]['seconds'] / full:.2f} × {name}"
                for one, name in (("plain", "the plain loop"), ("trl", "TRL")) if one in peers]  # fmt: skip
        lines += ["", f"Full vocabulary: {', '.join(told)}."]
    if "trainer" in peers:
        # The Trainer draws rows evenly, so a step of it holds the mean number of real tokens.
        theirs = peers["trainer"]["seconds"] / (BATCH * mine["tokens"])
        ours_per_token = statistics.mean(mine["all_seconds"]) / mine["real_tokens"]
        lines += ["", f"Per real token: {theirs / ours_per_token:.2f} ×."]
    lines += ["", f"Distance to the floor: {mine['seconds'] / peers['floor']['seconds']:.2f} ×."]
    if missing := [SAYS[peer] for peer in PEERS[work] if peer not in peers]:
        lines += ["", f"Not measured here: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


def facts_of(threads: int, rounds: int, peers: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    return {
        "machine": f"{cpu} {platform.machine()}", **({"GPU": torch.cuda.get_device_name()} if CUDA else {}),
        "threads": threads, "dtype": "bfloat16 beside float32" if CUDA else "float32", "batch": BATCH,
        "rounds": rounds, "steps a round": STEPS, "mean real tokens a row": round(peers["ours"].get("tokens", 0), 1),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip


def name_of(stem: str) -> str:
    """The result's file, with the GPU's name where there is one."""
    import torch

    return stem + ("_" + torch.cuda.get_device_name().replace(" ", "-") if CUDA else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=sorted(PEERS), default="numerals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--without", nargs="*", default=[], help="peers that are left out, and named in the table")
    parser.add_argument("--home", type=Path, default=Path("/tmp/terakoya-hub-shapes"))
    parser.add_argument("--peer", default="", help="(for the processes that this one starts)")
    asked = parser.parse_args()
    if asked.device == "cuda" and not CUDA:  # everything below reads it when it is imported
        raise SystemExit(
            subprocess.run([sys.executable, *sys.argv], env=os.environ | {"HUB_BENCH_DEVICE": "cuda"}).returncode
        )
    if asked.peer:
        return work_as(asked.peer, asked.work, asked.home, asked.threads)
    asked.home.mkdir(parents=True, exist_ok=True)
    _data(asked.work, asked.home)
    chosen = [peer for peer in PEERS[asked.work] if peer not in asked.without]
    peers = measured(asked.work, asked.home, asked.rounds, asked.threads, chosen)
    facts = facts_of(asked.threads, asked.rounds, peers)
    RESULTS.mkdir(exist_ok=True)
    name = name_of(f"hub_training_{asked.work}")
    (RESULTS / f"{name}.json").write_text(json.dumps({"facts": facts, "peers": peers}, indent=1, ensure_ascii=False))
    page = table(asked.work, peers, facts)
    (RESULTS / f"{name}.md").write_text(page)
    print(page)
    return None


if __name__ == "__main__":
    main()
