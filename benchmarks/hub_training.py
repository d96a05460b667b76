"""One step of full fine-tuning at the two logs' settings, against what their authors used.

    python benchmarks/hub_training.py [--work numerals|emoji] [--rounds 5] [--threads 1]

Every peer is a process of its own (so that its peak memory is its own) and all are alive at once; a round times one
step of each, one after the other, and the table shows medians. Seconds are CPU seconds of the process by default,
which other work on the machine hardly moves; wall seconds stand beside them. Written: results/hub_training_WORK.md
and .json.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hub_shapes

RESULTS = Path(__file__).parent / "results"
BATCH, RATE = 16, 5e-5
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


def _engine(work: str, home: Path, vocabulary: str) -> Any:
    import torch

    from terakoya.config import ModelConfig, TrainConfig
    from terakoya.models import hub
    from terakoya.training.batches import Fixed
    from terakoya.training.engine import Engine
    from terakoya.training.recipe import resolve

    pairs, labels, base = _data(work, home)
    told: dict[str, Any] = {"instruction": hub_shapes.INSTRUCTION} if work == "numerals" else {}
    config = ModelConfig(base=str(base)).model_copy(update={"vocabulary": vocabulary, **told})
    model = hub.build(config, pairs, labels, seed=0)
    train = TrainConfig(
        steps=1000, batch_size=BATCH, learning_rate=RATE, schedule="constant", warmup=0.0,
        threads=torch.get_num_threads(),
    )  # fmt: skip
    how = resolve(train, model.card, len(pairs))
    model.settle(how)
    return Engine(model, Fixed(pairs, BATCH, 0, model.length), how, 0, "cpu", "no"), model, pairs


def _data(work: str, home: Path) -> Any:
    if work == "numerals":
        return hub_shapes.pairs(hub_shapes.numeral_rows()), (), hub_shapes.gemma(home / "gemma")
    labels = tuple(hub_shapes.emoji_names()[:296])
    return hub_shapes.pairs(hub_shapes.emoji_rows()), labels, hub_shapes.t5(home / "t5")


def floor(work: str, home: Path) -> Iterator[dict[str, Any]]:
    """What cannot be left out: three products for every weight matrix on the tokens it sees, and the update."""
    import torch

    engine, model, _ = _engine(work, home, "trimmed")
    seen: list[tuple[Any, int]] = []

    def watch(layer: Any, given: Any) -> None:
        seen.append((layer.weight, given[0].numel() // given[0].shape[-1]))

    hooks = [m.register_forward_pre_hook(watch) for m in model.module.modules() if isinstance(m, torch.nn.Linear)]
    batch = model.collate(engine.batches.at(0))
    with torch.no_grad():
        model.outputs(batch)
    for hook in hooks:
        hook.remove()
    for weight in engine.parameters:
        weight.grad = torch.zeros_like(weight)
    sides = {(w.shape, n): (torch.randn(n, w.shape[1]), torch.randn(n, w.shape[0])) for w, n in seen}
    yield {}
    while True:
        with torch.no_grad():
            for weight, count in seen:
                x, g = sides[weight.shape, count]
                x @ weight.T, g @ weight, g.T @ x
            for optimizer in getattr(engine, "optimizers", None) or [engine.optimizer]:
                optimizer.step()
        yield {"real_tokens": batch.tokens}


def plain(work: str, home: Path) -> Iterator[dict[str, Any]]:
    """What everyone writes by hand."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pairs, _, base = _data(work, home)
    tokenizer, module = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, fused=True)
    texts = [tokenizer.apply_chat_template(_messages(p.ask.source, p.written), tokenize=False) for p in pairs]
    module.train()
    yield {}
    step = 0
    while True:
        rows = [texts[(step * BATCH + place) % len(texts)] for place in range(BATCH)]
        batch = tokenizer(rows, padding=True, add_special_tokens=False, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
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
        max_steps=1000, logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, bf16=False,
        disable_tqdm=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base), args=args, train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(base), callbacks=[_waiting(TrainerCallback, wait)],
    )  # fmt: skip
    trainer.train()


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
        logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True,
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
        took = {"wall": time.monotonic() - started[0], "cpu": time.process_time() - started[1]} if started else {}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
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


def measured(work: str, home: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Rounds of one step for each peer; the first is warm-up and is thrown away."""
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
        for peer in PEERS[work]:
            running[peer] = subprocess.Popen([*command, peer], **pipes)
            found[peer] = [json.loads(running[peer].stdout.readline())]
        for number in range(rounds + 1):
            for peer, process in running.items():
                process.stdin.write("go\n")
                process.stdin.flush()
                line = json.loads(process.stdout.readline())
                print(number, peer, line, file=sys.stderr, flush=True)
                found[peer].append(line)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return {peer: _summary(lines) for peer, lines in found.items()}


def _summary(lines: list[dict[str, Any]]) -> dict[str, Any]:
    first, _, *steps = lines
    return {
        **{key: value for key, value in first.items() if key in ("tokens", "weights", "vocabulary")},
        "cpu": statistics.median(step["cpu"] for step in steps),
        "wall": statistics.median(step["wall"] for step in steps),
        "all_cpu": [round(step["cpu"], 3) for step in steps],
        "real_tokens": statistics.mean(step.get("real_tokens", 0) for step in steps),
        "peak_gb": max(step["peak_gb"] for step in steps),
        "losses": [step["loss"] for step in steps if "loss" in step],
    }


def table(work: str, peers: dict[str, Any], facts: dict[str, Any]) -> str:
    mine = peers["ours"]
    lines = [
        f"# One step of full fine-tuning: {work}", "",
        ", ".join(f"{key} {value}" for key, value in facts.items()) + ".", "",
        "| peer | CPU s a step | wall s | ours is faster by | peak GB | ours needs |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for peer, found in peers.items():
        lines.append(
            f"| {SAYS[peer]} | {found['cpu']:.2f} | {found['wall']:.2f} | {found['cpu'] / mine['cpu']:.2f} × "
            f"| {found['peak_gb']:.2f} | {mine['peak_gb'] / found['peak_gb']:.2f} × |"
        )
    if "ours-full" in peers:
        full = peers["ours-full"]
        lines += ["", f"Full vocabulary: {peers['plain']['cpu'] / full['cpu']:.2f} × the plain loop, "
                  f"{peers['trl']['cpu'] / full['cpu']:.2f} × TRL."]  # fmt: skip
    if "trainer" in peers:
        # The Trainer draws rows evenly, so a step of it holds the mean number of real tokens.
        theirs = peers["trainer"]["cpu"] / (BATCH * mine["tokens"])
        ours_per_token = statistics.mean(mine["all_cpu"]) / mine["real_tokens"]
        lines += ["", f"Per real token: {theirs / ours_per_token:.2f} ×."]
    lines += ["", f"Distance to the floor: {mine['cpu'] / peers['floor']['cpu']:.2f} ×."]
    return "\n".join(lines) + "\n"


def facts_of(threads: int, rounds: int, peers: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    return {
        "machine": f"{cpu} {platform.machine()}", "threads": threads, "dtype": "float32", "batch": BATCH,
        "rounds": rounds, "mean real tokens a row": round(peers["ours"].get("tokens", 0), 1),
        "torch": torch.__version__, "transformers": transformers.__version__,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=sorted(PEERS), default="numerals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path("/tmp/terakoya-hub-shapes"))
    parser.add_argument("--peer", default="", help="(for the processes that this one starts)")
    parser.add_argument("--again", action="store_true", help="write the table again from the figures on disk")
    asked = parser.parse_args()
    if asked.peer:
        return work_as(asked.peer, asked.work, asked.home, asked.threads)
    if asked.again:
        known = json.loads((RESULTS / f"hub_training_{asked.work}.json").read_text())
        (RESULTS / f"hub_training_{asked.work}.md").write_text(table(asked.work, known["peers"], known["facts"]))
        return None
    asked.home.mkdir(parents=True, exist_ok=True)
    _data(asked.work, asked.home)
    peers = measured(asked.work, asked.home, asked.rounds, asked.threads)
    facts = facts_of(asked.threads, asked.rounds, peers)
    RESULTS.mkdir(exist_ok=True)
    name = f"hub_training_{asked.work}"
    (RESULTS / f"{name}.json").write_text(json.dumps({"facts": facts, "peers": peers}, indent=1, ensure_ascii=False))
    page = table(asked.work, peers, facts)
    (RESULTS / f"{name}.md").write_text(page)
    print(page)
    return None


if __name__ == "__main__":
    main()
