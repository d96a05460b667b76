"""How many operators a step of full fine-tuning, and a token of answers, send to the device: a GPU waits for each.

    python benchmarks/hub_launches.py

A count, not a time: it is the same on every machine, and needs no GPU. It says what a small model waits for there, not
for how long. The models have the depth and the layers of Gemma-3-270M, LFM2-350M and T5-base and are narrow, for width
does not change how many operators there are. Steps are in bfloat16 beside float32 weights, as on a GPU; ours also with
the layers as the library writes them. An operator that only looks at memory in another way (a view, a split, an
allocation) is not counted; torch's norm, attention and dropout, which a GPU has kernels for, are one forward and one
back, for everybody. Copies to the device are the same for all and are not counted. Written: results/hub_launches.md and
.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count as count_from
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import hub_shapes
import hub_training
import machine

STEP = 3  # the one that is counted; the first allocate what stays
FREE = {
    "view", "_unsafe_view", "t", "transpose", "permute", "unsqueeze", "squeeze", "expand", "slice", "select", "split",
    "split_with_sizes", "unbind", "alias", "detach", "as_strided", "lift_fresh", "empty", "empty_like", "new_empty",
    "new_empty_strided", "empty_strided", "_reshape_alias", "is_same_size", "_record_function_enter_new",
    "_record_function_exit",
}  # fmt: skip
PEERS = {
    "numerals": ("trl", "plain", "ours-library", "ours"),
    "numerals-adapters": ("trl", "ours-library", "ours"),
    "lfm2": ("trl", "plain", "ours-library", "ours"),
    "emoji": ("trainer", "ours-library", "ours"),
    "numerals-answers": ("generate", "ours-library", "ours"),
    "emoji-answers": ("generate", "ours-library", "ours"),
}
TITLES = {
    "numerals": "One step, Gemma-3-270M's layers, kannume rows",
    "numerals-adapters": "One step of LoRA, rank 16 on every linear layer, Gemma-3-270M's layers, kannume rows",
    "lfm2": "One step, LFM2-350M's layers, kannume rows",
    "emoji": "One step, T5-base's layers, sentences and emoji",
    "numerals-answers": "One token of 16 answers, Gemma-3-270M's layers, float32",
    "emoji-answers": "One token of 16 answers, T5-base's layers, float32",
}
SAYS = {
    "trl": "TRL SFTTrainer",
    "plain": "plain transformers loop, full logits, fused AdamW",
    "trainer": "transformers Trainer",
    "generate": "transformers generate, which the text-generation pipeline calls",
    "ours-library": "Terakoya, trimmed vocabulary, layers as the library writes them",
    "ours": "Terakoya, trimmed vocabulary",
}


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Operators by name while this lasts, on the way back too."""
    from torch.utils._python_dispatch import TorchDispatchMode

    found: Counter[str] = Counter()

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = operator.overloadpacket.__name__
            if name not in FREE:
                found[name] += 1
            return operator(*args, **(kwargs or {}))

    with Count():  # type: ignore[no-untyped-call]
        yield found


# A GPU has one kernel each for torch's RMS norm, attention with dropout, and dropout; a processor takes several.


@torch.library.custom_op("counted::rms_norm", mutates_args=())
def _norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    return _rms_norm(x, x.shape[-1:], weight, eps).clone()


@torch.library.custom_op("counted::rms_norm_backward", mutates_args=())
def _norm_back(slope: Tensor, x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    normed = x * inverse
    along = slope if weight is None else slope * weight
    of_x = (along - normed * (along * normed).mean(-1, keepdim=True)) * inverse
    return of_x, (slope * normed).reshape(-1, x.shape[-1]).sum(0)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return _norm(x, weight, eps)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        of_x, of_weight = _norm_back(slope, x, weight, ctx.eps)
        return of_x, None if weight is None else of_weight, None


def _normed(x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Any:
    return _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]


@torch.library.custom_op("counted::attention", mutates_args=())
def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    return _attend(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True).clone()


@torch.library.custom_op("counted::attention_backward", mutates_args=())
def _attention_back(
    slope: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    times = q.shape[1] // k.shape[1]
    keys, values = (part.repeat_interleave(times, 1).float() for part in (k, v))
    scores = q.float() @ keys.transpose(-1, -2) * scale
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1)
    of_values = weights.transpose(-1, -2) @ slope.float()
    of_weights = slope.float() @ values.transpose(-1, -2)
    of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True))
    of_keys = of_scores.transpose(-1, -2) @ q.float() * scale
    of_mask = torch.empty(0) if mask is None else of_scores.sum_to_size(mask.shape).to(slope.dtype)
    by_key, by_value = (
        part.view(len(part), -1, times, *part.shape[2:]).sum(2).to(k.dtype) for part in (of_keys, of_values)
    )
    return (of_scores @ keys * scale).to(q.dtype), by_key, by_value, of_mask


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Any:
        ctx.save_for_backward(q, k, v, mask)
        ctx.told = causal, scale
        return _attention(q, k, v, mask, causal, scale)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        *of_parts, of_mask = _attention_back(slope, *ctx.saved_tensors, *ctx.told)
        return *of_parts, of_mask if ctx.needs_input_grad[3] else None, None, None


@torch.library.custom_op("counted::dropout", mutates_args=())
def _dropout(x: Tensor, share: float) -> tuple[Tensor, Tensor]:
    kept = torch.rand_like(x, dtype=torch.float32) >= share
    return x * kept / (1 - share), kept


@torch.library.custom_op("counted::dropout_backward", mutates_args=())
def _dropout_back(slope: Tensor, kept: Tensor, share: float) -> Tensor:
    return slope * kept / (1 - share)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Any:
        found, kept = _dropout(x, share)
        ctx.save_for_backward(kept)
        ctx.share = share
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return _dropout_back(slope, *ctx.saved_tensors, ctx.share), None


def _dropped(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    return _Dropout.apply(x, p) if training and p else x  # type: ignore[no-untyped-call]


_rms_norm, _attend = functional.rms_norm, functional.scaled_dot_product_attention


def _attended(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """One operator, dropout being a part of it; autocast casts what it is given, as it does for torch's own."""
    if torch.is_autocast_enabled("cpu"):
        q, k, v = (part.bfloat16() for part in (q, k, v))
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.bfloat16()
    return _Attention.apply(  # type: ignore[no-untyped-call]
        q, k, v, attn_mask, is_causal, q.shape[-1] ** -0.5 if scale is None else scale
    )


def kernels_of_a_gpu() -> None:
    counted_as_one = {"rms_norm": _normed, "scaled_dot_product_attention": _attended, "dropout": _dropped}
    for name, operator in counted_as_one.items():
        setattr(functional, name, operator)


def as_on_a_gpu() -> None:
    """Ours would choose the processor's ways."""
    from terakoya.models.pretrained import causal_batches
    from terakoya.models.pretrained.fused import tree_attention

    tree_attention.launches = lambda x: True
    tree = causal_batches.tree
    causal_batches.tree = lambda rows, *, share, lanes=True: tree(rows, share=share, lanes=False)


def narrow(home: Path) -> None:
    """Both works' checkpoints, narrow, where the benchmark of seconds looks for the wide ones."""
    import transformers as t

    tokenizer = hub_shapes._gemma_tokenizer()
    gemma = t.Gemma3TextConfig(
        vocab_size=hub_shapes.GEMMA_WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=18,
        num_attention_heads=4, num_key_value_heads=1, head_dim=16, sliding_window=512, query_pre_attn_scalar=256,
        max_position_embeddings=32768,
        layer_types=["full_attention" if place % 6 == 5 else "sliding_attention" for place in range(18)],
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    hub_shapes._written(home / "gemma", tokenizer, lambda: t.Gemma3ForCausalLM(gemma), torch)
    lfm2 = t.Lfm2Config(
        vocab_size=hub_shapes.GEMMA_WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=16,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        layer_types=["full_attention" if place in {2, 5, 8, 10, 12, 14} else "conv" for place in range(16)],
    )  # fmt: skip
    hub_shapes._written(home / "lfm2", tokenizer, lambda: t.Lfm2ForCausalLM(lfm2), torch)
    t5 = t.T5Config(
        vocab_size=hub_shapes.T5_WORDS, d_model=48, d_kv=4, d_ff=96, num_layers=12, num_heads=12, dropout_rate=0.1,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    setattr(t5, "decoder_start_token_id", 0)  # noqa: B010 - not in the signature of every version
    hub_shapes._written(home / "t5", hub_shapes._t5_tokenizer(), lambda: t.T5ForConditionalGeneration(t5), torch)


def count(peer: str, work: str, home: Path, answers: bool) -> Counter[str]:
    """One step's operators; everybody's steps are those of the benchmark of seconds."""
    torch.set_num_threads(1)
    kernels_of_a_gpu()
    forward = "library" if peer == "ours-library" else "quick"
    if answers:
        return _of_a_token(peer, work, home, forward)
    if peer.startswith("ours"):
        as_on_a_gpu()
        engine, _, _ = hub_training._engine(work, home, "trimmed", forward=forward)
        for step in range(STEP):
            engine.step(step)
        with counted() as found:
            engine.step(STEP)
        return found
    if peer == "plain":
        steps = hub_training.plain(work, home)
        for _ in range(STEP + 1):  # the first only makes everything ready
            next(steps)
        with counted() as found:
            next(steps)
        return found
    return _of_trainer(hub_training.trl if peer == "trl" else hub_training.trainer, work, home)


def _of_a_token(peer: str, work: str, home: Path, forward: str) -> Counter[str]:
    """Of the third token, and what is done between two: choosing it, asking whether all have ended."""
    from terakoya.config import ModelConfig
    from terakoya.models.pretrained import build

    pairs, labels, base = hub_training._data(work, home)
    pairs = pairs[:16]
    if peer == "generate":
        return _generated([pair.ask.source for pair in pairs], work, base)
    as_on_a_gpu()
    told: dict[str, Any] = {"instruction": hub_shapes.INSTRUCTION} if work == "numerals" else {"head": "sequence"}
    config = ModelConfig(base=str(base)).model_copy(update={"vocabulary": "trimmed", "forward": forward, **told})
    model: Any = build.build(config, pairs, labels, seed=0)
    with torch.no_grad():  # as `generate` does; inference mode shows operators before they are taken apart
        state = model.start([pair.ask for pair in pairs])
        for _ in range(STEP - 1):
            state.advance(state.logits.argmax(-1))
        with counted() as found:
            state.advance(state.logits.argmax(-1))
    return found


def _generated(sources: list[str], work: str, base: Path) -> Counter[str]:
    """The difference between writing four tokens and writing three."""
    import transformers as t

    tokenizer: Any = t.AutoTokenizer.from_pretrained(base, padding_side="left" if work == "numerals" else "right")
    kind: Any = t.AutoModelForCausalLM if work == "numerals" else t.AutoModelForSeq2SeqLM
    module: Any = kind.from_pretrained(base)
    if work == "numerals":
        system = {"role": "system", "content": hub_shapes.INSTRUCTION}
        chats = [[system, {"role": "user", "content": source}] for source in sources]
        sources = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
    batch = tokenizer(sources, padding=True, add_special_tokens=work != "numerals", return_tensors="pt")
    found = []
    for many in (STEP, STEP, STEP + 1):  # the first time something is made that stays
        with counted() as one:
            module.generate(**batch, max_new_tokens=many, min_new_tokens=many, do_sample=False)
        found.append(one)
    return found[2] - found[1]


def _of_trainer(teach: Callable[..., None], work: str, home: Path) -> Counter[str]:
    """Operators from one beginning of a step to the next."""
    counting, steps = counted(), count_from(0)
    found: list[Counter[str]] = []

    def turn(_: Any) -> None:
        step = next(steps)
        if step == STEP:
            found.append(counting.__enter__())
        elif step > STEP:
            counting.__exit__(None, None, None)
            raise _Enough

    with suppress(_Enough):
        teach(work, home, turn)
    return found[0]


class _Enough(Exception):
    """The counted step is over."""


def of_process(peer: str, work: str, home: Path) -> dict[str, int]:
    """Counted in a process of its own: what is set for one peer is not set for the next."""
    rows, _, what = work.partition("-")
    env = {"HUB_BENCH_HALF": "1"} | ({"HUB_BENCH_LORA": "1"} if what == "adapters" else {})
    command = [sys.executable, __file__, "--peer", peer, "--work", rows, "--home", str(home)]
    command += ["--answers"] if what == "answers" else []
    told = subprocess.run(command, env=os.environ | env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(told.stdout.splitlines()[-1])
    return found


def page(found: dict[str, dict[str, dict[str, int]]]) -> str:
    lines = [
        "# Operators sent to the device",
        "",
        machine.told(("torch", "transformers", "trl")) + ".",
        "",
    ]
    for work, peers in found.items():
        mine = sum(peers["ours"].values())
        rows = [
            [SAYS[peer], sum(names.values()), f"{sum(names.values()) / mine:.2f} ×", _most(names)]
            for peer, names in peers.items()
        ]
        lines += [
            f"## {TITLES[work]}",
            "",
            machine.table(["peer", "operators", "ours sends fewer by", "most often"], rows),
        ]
    return "\n".join(lines)


def _most(names: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="", help="(for the processes that this one starts)")
    parser.add_argument("--work", default="")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--answers", action="store_true")
    asked = parser.parse_args()
    if asked.peer:
        print(json.dumps(count(asked.peer, asked.work, asked.home, asked.answers)))
        return
    with tempfile.TemporaryDirectory() as folder:
        narrow(Path(folder))
        found = {work: {peer: of_process(peer, work, Path(folder)) for peer in peers} for work, peers in PEERS.items()}
    print(machine.write("hub_launches", page(found), found).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
