"""Do faster training steps learn as well? The same checkpoint, rows, order, learning rate and steps in a plain loop and
ours.

    python -m benchmarks.quality.pretrained_learning [--steps 800] [--seeds 3] [--families gemma3 t5]

Checkpoints are those of the tests: tiny, of the real architectures, randomly initialised; the seed is the checkpoint's.
The plain loop is the usual one: padded rows, logits of the whole vocabulary at every position, fused AdamW, gradient
clipping; it predicts by `generate`. Ours trains with the full and with the trimmed vocabulary and decodes greedily. As
on a GPU: both under bfloat16 autocast over float32 weights, ours with the layers and norms that it uses on a GPU.

The learning rate decays to zero: with a constant one the last steps move a tiny model so much that implementations with
equal gradients differed by up to .3. Dev numbers are in no training row. Written: results/pretrained_learning.md and
.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from checkpoints import checkpoint

from benchmarks.quality.emoji_sets import bootstrap_interval
from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig, TrainConfig
from terakoya.decoding import generate
from terakoya.models.pretrained import build, causal_batches
from terakoya.models.pretrained.fused import dispatch
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.pretrained.seq2seq_batches import pad_sequences
from terakoya.models.protocol import Pair, Query
from terakoya.tasks.numerals import writer
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.schedule import learning_rate_scale

BATCH, LEARNING_RATE, MAX_TOKENS = 16, 3e-3, 16
PLAIN, PLAIN_BF16 = "plain loop", "plain loop, bfloat16"
ARMS = {  # arm → the arm it is compared with
    PLAIN: PLAIN,
    "ours, full vocabulary": PLAIN,
    "ours, trimmed": PLAIN,
    PLAIN_BF16: PLAIN_BF16,
    "ours, trimmed, bfloat16, as on a GPU": PLAIN_BF16,
}


def numeral_pairs(count: int, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Kanji numerals below a thousand as (training pairs, 200 other pairs for dev)."""
    rng = Random(f"hub learning {seed}")
    pairs = [Pair(Query(writer.write(one, "kanji", rng)), f"({one})") for one in rng.sample(range(1, 1000), count)]
    return pairs[200:], pairs[:200]


def train_plain(base: Path, rows: Sequence[Pair], dev: Sequence[Pair], steps: int, bf16: bool) -> list[bool]:
    """Which dev pairs the library's own model predicts exactly after a plain loop."""
    model = build.build(ModelConfig(base=str(base), forward="library"), rows, seed=0)
    assert isinstance(model, PretrainedModel)
    module: Any = model.core
    batches = EpochBatches(rows, BATCH, 0, model.length)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    module.train()
    for step in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = _loss(model, module, batches.at(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * learning_rate_scale(step, steps, "linear", 0)
        optimizer.step()
        optimizer.zero_grad()
    module.eval()
    correct = []
    for pair in dev:
        ids = torch.tensor([model.prompt_ids(pair.query)])
        decoder_inputs = {} if model.family == "decoder" else {"decoder_input_ids": torch.tensor([model.decoder_start])}  # type: ignore[attr-defined]
        start = ids.shape[1] if model.family == "decoder" else len(model.decoder_start)  # type: ignore[attr-defined]
        output = module.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_TOKENS, **decoder_inputs
        )
        token_ids = [token for token in output[0, start:].tolist() if token != model.end and token != model.pad]
        correct.append(model.text(token_ids) == pair.target)
    return correct


def _loss(model: PretrainedModel, module: Any, pairs: Sequence[Pair]) -> Any:
    rows = [(model.prompt_ids(pair.query), model.target_ids(pair.target)) for pair in pairs]
    if model.family == "decoder":
        ids, mask = pad_sequences([[*q, *a] for q, a in rows], model.pad)
        labels, _ = pad_sequences([[-100] * len(q) + list(a) for q, a in rows], -100)
        logits = module(input_ids=ids, attention_mask=mask).logits
        logits = logits.float()
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    decoder_start: list[int] = model.decoder_start  # type: ignore[attr-defined]
    source, mask = pad_sequences([q for q, _ in rows], model.pad)
    decoder, _ = pad_sequences([[*decoder_start, *a[:-1]] for _, a in rows], model.pad)
    labels, _ = pad_sequences([[-100] * (len(decoder_start) - 1) + list(a) for _, a in rows], -100)
    logits = module(input_ids=source, attention_mask=mask, decoder_input_ids=decoder).logits
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)


def train_ours(
    base: Path, rows: Sequence[Pair], dev: Sequence[Pair], steps: int, vocabulary: str, bf16: bool
) -> list[bool]:
    """Which dev pairs our model predicts exactly after our loop."""
    model = build.build(ModelConfig(base=str(base)).model_copy(update={"vocabulary": vocabulary}), rows, seed=0)
    assert isinstance(model, PretrainedModel)
    config = TrainConfig(
        steps=steps, batch_size=BATCH, learning_rate=LEARNING_RATE, schedule="linear", warmup=0.0, weight_decay=0.0,
        threads=1, select="last", evaluate_every=steps,
    )  # fmt: skip
    config = resolve(config, model.info, len(rows))
    model.configure(config)
    with _gpu_layers(bf16):
        run_loop(
            model,
            EpochBatches(rows, BATCH, 0, model.length),
            config,
            seed=0,
            device="cpu",
            precision="bf16" if bf16 else "no",
        )
    model.module.eval()
    predictions = generate(
        model, [pair.query for pair in dev], TextCodec(), DecodeConfig(constrained=False), max_tokens=MAX_TOKENS
    )
    return [prediction.raw == pair.target for prediction, pair in zip(predictions, dev, strict=True)]


@contextmanager
def _gpu_layers(enabled: bool) -> Iterator[None]:
    """Use the layers, norms and batch layouts of a GPU on the CPU."""
    is_on_gpu, tree = dispatch.is_on_gpu, causal_batches.prefix_tree_batch
    if enabled:
        dispatch.is_on_gpu = lambda x: True
        causal_batches.prefix_tree_batch = lambda rows, *, share, branches=True: tree(rows, share=share, branches=False)
    try:
        yield
    finally:
        dispatch.is_on_gpu, causal_batches.prefix_tree_batch = is_on_gpu, tree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=900)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", nargs="*", default=["gemma3", "t5"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines: list[tuple[str, ...]] = []
    values: dict[str, Any] = {"machine": machine_summary()}
    worse = False
    for family in args.families:
        correct: dict[str, list[list[bool]]] = {arm: [] for arm in ARMS}
        for seed in range(args.seeds):
            rows, dev = numeral_pairs(args.rows, seed)
            with tempfile.TemporaryDirectory() as folder:
                base = checkpoint(Path(folder) / family, family, seed=seed, width=64)
                for arm in ARMS:
                    bf16 = "bfloat16" in arm
                    if arm.startswith("plain"):
                        correct[arm].append(train_plain(base, rows, dev, args.steps, bf16))
                    else:
                        vocabulary = "trimmed" if "trimmed" in arm else "full"
                        correct[arm].append(train_ours(base, rows, dev, args.steps, vocabulary, bf16))
            print(family, seed, {arm: sum(found[-1]) for arm, found in correct.items()}, flush=True)
        scores = {arm: np.concatenate([np.asarray(one, float) for one in found]) for arm, found in correct.items()}
        for arm, found in correct.items():
            mine, plain = scores[arm], scores[ARMS[arm]]
            low, high = bootstrap_interval((mine - plain).tolist())
            worse |= high < 0
            each = " ".join(f"{np.mean(one):.3f}" for one in found)
            effect = "" if arm == ARMS[arm] else f"{(mine - plain).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            lines.append((family, arm, str(len(mine)), f"{mine.mean():.3f}", each, effect))
        values[family] = correct
    text = (
        f"# The same steps, faster\n\n{machine_summary()}. "
        f"{args.rows - 200} rows of kanji numerals below 1,000, "
        f"{args.steps} steps of {BATCH}, a learning rate that decays from {LEARNING_RATE} to 0; exact match on "
        "200 dev numbers a seed; "
        "difference to the plain loop of the same precision paired by item, with a 95% interval.\n\n"
        + markdown_table(("family", "who", "n", "exact", "every seed", "difference"), lines)
    )
    print(write_results("pretrained_learning", text, values).read_text(encoding="utf-8"))
    return int(worse)


if __name__ == "__main__":
    raise SystemExit(main())
