"""Do faster steps teach as well? The same checkpoint, rows, order, rate and steps; a plain loop, and ours.

    python benchmarks/hub_learning.py [--steps 800] [--seeds 3] [--families gemma3 t5]

Checkpoints are the tests' own: tiny, of the real architectures, randomly initialised; the seed is the checkpoint's. The
plain loop is what everyone writes: padded rows, logits of the whole vocabulary at every place, fused AdamW, a clipped
gradient; it answers by `generate`. Ours trains with the full and with the trimmed vocabulary, and answers greedily. As
on a GPU: both in bfloat16 beside float32 weights, ours with the layers and norms that a GPU is sent.

The rate falls to nothing: at a constant one the last steps throw a tiny model about, and ways that give the same
gradients differed by up to .3. Dev numbers stand in no training row. Written: results/hub_learning.md and .json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from emoji_sets import interval
from machine import table, told, write
from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, ModelConfig, TrainConfig
from terakoya.decoding import answers
from terakoya.models.pretrained import build, causal_batches
from terakoya.models.pretrained.fused import tree_attention
from terakoya.models.pretrained.model import HubModel
from terakoya.models.pretrained.seq2seq_batches import filled
from terakoya.models.protocol import Pair, Query
from terakoya.tasks.numerals import writer
from terakoya.training.batches import Fixed
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.schedule import rate

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "models"))
checkpoint: Any = importlib.import_module("checkpoints").checkpoint

BATCH, RATE, MOST = 16, 3e-3, 16
PLAIN, HALF = "plain loop", "plain loop, bfloat16"
ARMS = {  # and what each is held against
    PLAIN: PLAIN,
    "ours, full vocabulary": PLAIN,
    "ours, trimmed": PLAIN,
    HALF: HALF,
    "ours, trimmed, bfloat16, as on a GPU": HALF,
}


def numerals(count: int, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Kanji numerals below a thousand: rows to teach, and 200 others to be asked."""
    chance = Random(f"hub learning {seed}")
    pairs = [
        Pair(Query(writer.write(one, "kanji", chance)), f"({one})") for one in chance.sample(range(1, 1000), count)
    ]
    return pairs[200:], pairs[:200]


def by_hand(base: Path, rows: Sequence[Pair], dev: Sequence[Pair], steps: int, half: bool) -> list[bool]:
    """A plain loop over the library's own model, asked by its own `generate`."""
    model = build.build(ModelConfig(base=str(base), forward="library"), rows, seed=0)
    assert isinstance(model, HubModel)
    module: Any = model.core
    batches = Fixed(rows, BATCH, 0, model.length)
    optimizer = torch.optim.AdamW(module.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    module.train()
    for step in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = _loss(model, module, batches.at(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = RATE * rate(step, steps, "linear", 0)
        optimizer.step()
        optimizer.zero_grad()
    module.eval()
    right = []
    for pair in dev:
        ids = torch.tensor([model.question(pair.ask)])
        more = {} if model.family == "decoder" else {"decoder_input_ids": torch.tensor([model.begin])}  # type: ignore[attr-defined]
        begun = ids.shape[1] if model.family == "decoder" else len(model.begin)  # type: ignore[attr-defined]
        out = module.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=MOST, **more)
        answer = [token for token in out[0, begun:].tolist() if token != model.end and token != model.pad]
        right.append(model.text(answer) == pair.written)
    return right


def _loss(model: HubModel, module: Any, pairs: Sequence[Pair]) -> Any:
    rows = [(model.question(pair.ask), model.answer(pair.written)) for pair in pairs]
    if model.family == "decoder":
        ids, mask = filled([[*q, *a] for q, a in rows], model.pad)
        labels, _ = filled([[-100] * len(q) + list(a) for q, a in rows], -100)
        logits = module(input_ids=ids, attention_mask=mask).logits
        logits = logits.float()
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    begin: list[int] = model.begin  # type: ignore[attr-defined]
    source, mask = filled([q for q, _ in rows], model.pad)
    decoder, _ = filled([[*begin, *a[:-1]] for _, a in rows], model.pad)
    labels, _ = filled([[-100] * (len(begin) - 1) + list(a) for _, a in rows], -100)
    logits = module(input_ids=source, attention_mask=mask, decoder_input_ids=decoder).logits
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)


def by_us(base: Path, rows: Sequence[Pair], dev: Sequence[Pair], steps: int, vocabulary: str, half: bool) -> list[bool]:
    model = build.build(ModelConfig(base=str(base)).model_copy(update={"vocabulary": vocabulary}), rows, seed=0)
    assert isinstance(model, HubModel)
    how = TrainConfig(
        steps=steps, batch_size=BATCH, learning_rate=RATE, schedule="linear", warmup=0.0, weight_decay=0.0, threads=1,
        select="last", evaluate_every=steps,
    )  # fmt: skip
    how = resolve(how, model.card, len(rows))
    model.settle(how)
    with _as_on_a_gpu(half):
        run_loop(
            model, Fixed(rows, BATCH, 0, model.length), how, seed=0, device="cpu", precision="bf16" if half else "no"
        )
    model.module.eval()
    found = answers(model, [pair.ask for pair in dev], TextCodec(), DecodeConfig(constrained=False), max_tokens=MOST)
    return [answer.raw == pair.written for answer, pair in zip(found, dev, strict=True)]


@contextmanager
def _as_on_a_gpu(wanted: bool) -> Iterator[None]:
    """The layers, norms and layouts that ours sends to a GPU, sent to the processor."""
    launches, tree = tree_attention.launches, causal_batches.tree
    if wanted:
        tree_attention.launches = lambda x: True
        causal_batches.tree = lambda rows, *, share, lanes=True: tree(rows, share=share, lanes=False)
    try:
        yield
    finally:
        tree_attention.launches, causal_batches.tree = launches, tree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=900)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", nargs="*", default=["gemma3", "t5"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    lines: list[tuple[str, ...]] = []
    values: dict[str, Any] = {"machine": told()}
    worse = False
    for family in asked.families:
        right: dict[str, list[list[bool]]] = {arm: [] for arm in ARMS}
        for seed in range(asked.seeds):
            rows, dev = numerals(asked.rows, seed)
            with tempfile.TemporaryDirectory() as home:
                base = checkpoint(Path(home) / family, family, seed=seed, width=64)
                for arm in ARMS:
                    half = "bfloat16" in arm
                    if arm.startswith("plain"):
                        right[arm].append(by_hand(base, rows, dev, asked.steps, half))
                    else:
                        vocabulary = "trimmed" if "trimmed" in arm else "full"
                        right[arm].append(by_us(base, rows, dev, asked.steps, vocabulary, half))
            print(family, seed, {arm: sum(found[-1]) for arm, found in right.items()}, flush=True)
        all_of = {arm: np.concatenate([np.asarray(one, float) for one in found]) for arm, found in right.items()}
        for arm, found in right.items():
            mine, plain = all_of[arm], all_of[ARMS[arm]]
            low, high = interval((mine - plain).tolist())
            worse |= high < 0
            each = " ".join(f"{np.mean(one):.3f}" for one in found)
            effect = "" if arm == ARMS[arm] else f"{(mine - plain).mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            lines.append((family, arm, str(len(mine)), f"{mine.mean():.3f}", each, effect))
        values[family] = right
    text = (
        f"# The same steps, taught faster\n\n{told()}. {asked.rows - 200} rows of kanji numerals below 1,000, "
        f"{asked.steps} steps of {BATCH}, a rate that falls from {RATE} to 0; exact match on 200 dev numbers a seed; "
        "difference to the plain loop of the same precision paired by item, with a 95% interval.\n\n"
        + table(("family", "who", "n", "exact", "every seed", "difference"), lines)
    )
    print(write("hub_learning", text, values).read_text(encoding="utf-8"))
    return int(worse)


if __name__ == "__main__":
    raise SystemExit(main())
