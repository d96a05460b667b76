"""Operators that one training step, or one decoded token, sends to the device: on a GPU each is a kernel launch.

    python -m benchmarks.speed.pretrained_launches

A count, not a time: it is the same on every machine and needs no GPU. It says how many launches a small model waits
for, not how long. The models have the depth and the layers of Gemma-3-270M, LFM2-350M and T5-base and are narrow, since
width does not change the number of operators. Steps use bfloat16 autocast over float32 weights, as on a GPU; ours also
with the library's own layers. Operators that only change the view of memory (view, split, allocation) are not counted;
torch's norm, attention and dropout, for which a GPU has kernels, count as one forward and one backward operator, for
every peer. Copies to the device are the same for all and are not counted. Written: results/pretrained_launches.md and
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

from benchmarks.reporting import machine_summary, markdown_table, write_results
from benchmarks.speed import pretrained_shapes as shapes
from benchmarks.speed import pretrained_training as training

STEP = 3  # the counted step; the first ones allocate buffers that stay
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
    "numerals-decoding": ("generate", "ours-library", "ours"),
    "emoji-decoding": ("generate", "ours-library", "ours"),
}
TITLES = {
    "numerals": "One step, Gemma-3-270M's layers, kannume rows",
    "numerals-adapters": "One step of LoRA, rank 16 on every linear layer, Gemma-3-270M's layers, kannume rows",
    "lfm2": "One step, LFM2-350M's layers, kannume rows",
    "emoji": "One step, T5-base's layers, sentences and emoji",
    "numerals-decoding": "One decoded token, batch of 16, Gemma-3-270M's layers, float32",
    "emoji-decoding": "One decoded token, batch of 16, T5-base's layers, float32",
}
DESCRIPTIONS = {
    "trl": "TRL SFTTrainer",
    "plain": "plain transformers loop, full logits, fused AdamW",
    "trainer": "transformers Trainer",
    "generate": "transformers generate, which the text-generation pipeline calls",
    "ours-library": "Terakoya, trimmed vocabulary, layers of the library",
    "ours": "Terakoya, trimmed vocabulary",
}


@contextmanager
def count_operators() -> Iterator[Counter[str]]:
    """Count the operators dispatched inside the context by name, the backward pass included."""
    from torch.utils._python_dispatch import TorchDispatchMode

    found: Counter[str] = Counter()

    class CountingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = operator.overloadpacket.__name__
            if name not in FREE:
                found[name] += 1
            return operator(*args, **(kwargs or {}))

    with CountingMode():  # type: ignore[no-untyped-call]
        yield found


# A GPU has one kernel each for torch's RMS norm, attention with dropout, and dropout; a processor takes several.


@torch.library.custom_op("counted::rms_norm", mutates_args=())
def _norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    return _rms_norm(x, x.shape[-1:], weight, eps).clone()


@torch.library.custom_op("counted::rms_norm_backward", mutates_args=())
def _norm_back(grad: Tensor, x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    normed = x * inverse
    scaled = grad if weight is None else grad * weight
    grad_x = (scaled - normed * (scaled * normed).mean(-1, keepdim=True)) * inverse
    return grad_x, (grad * normed).reshape(-1, x.shape[-1]).sum(0)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return _norm(x, weight, eps)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        grad_x, grad_weight = _norm_back(grad, x, weight, ctx.eps)
        return grad_x, None if weight is None else grad_weight, None


def _fused_norm(x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Any:
    return _Norm.apply(x, weight, eps)  # type: ignore[no-untyped-call]


@torch.library.custom_op("counted::attention", mutates_args=())
def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    return _attend(q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True).clone()


@torch.library.custom_op("counted::attention_backward", mutates_args=())
def _attention_back(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    groups = q.shape[1] // k.shape[1]
    keys, values = (part.repeat_interleave(groups, 1).float() for part in (k, v))
    scores = q.float() @ keys.transpose(-1, -2) * scale
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = scores.softmax(-1)
    grad_values = weights.transpose(-1, -2) @ grad.float()
    grad_weights = grad.float() @ values.transpose(-1, -2)
    grad_scores = weights * (grad_weights - (grad_weights * weights).sum(-1, keepdim=True))
    grad_keys = grad_scores.transpose(-1, -2) @ q.float() * scale
    grad_mask = torch.empty(0) if mask is None else grad_scores.sum_to_size(mask.shape).to(grad.dtype)
    grad_k, grad_v = (
        part.view(len(part), -1, groups, *part.shape[2:]).sum(2).to(k.dtype) for part in (grad_keys, grad_values)
    )
    return (grad_scores @ keys * scale).to(q.dtype), grad_k, grad_v, grad_mask


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Any:
        ctx.save_for_backward(q, k, v, mask)
        ctx.options = causal, scale
        return _attention(q, k, v, mask, causal, scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        *grads, grad_mask = _attention_back(grad, *ctx.saved_tensors, *ctx.options)
        return *grads, grad_mask if ctx.needs_input_grad[3] else None, None, None


@torch.library.custom_op("counted::dropout", mutates_args=())
def _dropout(x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    kept = torch.rand_like(x, dtype=torch.float32) >= p
    return x * kept / (1 - p), kept


@torch.library.custom_op("counted::dropout_backward", mutates_args=())
def _dropout_back(grad: Tensor, kept: Tensor, p: float) -> Tensor:
    return grad * kept / (1 - p)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Any:
        output, kept = _dropout(x, p)
        ctx.save_for_backward(kept)
        ctx.p = p
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _dropout_back(grad, *ctx.saved_tensors, ctx.p), None


def _fused_dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    return _Dropout.apply(x, p) if training and p else x  # type: ignore[no-untyped-call]


_rms_norm, _attend = functional.rms_norm, functional.scaled_dot_product_attention


def _fused_attention(
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


def use_gpu_operators() -> None:
    """Replace torch's norm, attention and dropout by operators that count as one, as a GPU's kernels do."""
    operators = {"rms_norm": _fused_norm, "scaled_dot_product_attention": _fused_attention, "dropout": _fused_dropout}
    for name, operator in operators.items():
        setattr(functional, name, operator)


def use_gpu_layers() -> None:
    """Choose the layers that ours uses on a GPU; on a CPU it would choose others."""
    from terakoya.models.pretrained import causal_batches
    from terakoya.models.pretrained.fused import dispatch

    dispatch.is_on_gpu = lambda x: True
    tree = causal_batches.prefix_tree_batch
    causal_batches.prefix_tree_batch = lambda rows, *, share, branches=True: tree(rows, share=share, branches=False)


def save_narrow_checkpoints(folder: Path) -> None:
    """Narrow checkpoints, where pretrained_training.py looks for the wide ones."""
    import transformers as t

    tokenizer = shapes.gemma_tokenizer()
    gemma = t.Gemma3TextConfig(
        vocab_size=shapes.GEMMA_VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=18,
        num_attention_heads=4, num_key_value_heads=1, head_dim=16, sliding_window=512, query_pre_attn_scalar=256,
        max_position_embeddings=32768,
        layer_types=["full_attention" if layer % 6 == 5 else "sliding_attention" for layer in range(18)],
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    shapes.save_checkpoint(folder / "gemma", tokenizer, lambda: t.Gemma3ForCausalLM(gemma), torch)
    lfm2 = t.Lfm2Config(
        vocab_size=shapes.GEMMA_VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=16,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        layer_types=["full_attention" if layer in {2, 5, 8, 10, 12, 14} else "conv" for layer in range(16)],
    )  # fmt: skip
    shapes.save_checkpoint(folder / "lfm2", tokenizer, lambda: t.Lfm2ForCausalLM(lfm2), torch)
    t5 = t.T5Config(
        vocab_size=shapes.T5_VOCABULARY, d_model=48, d_kv=4, d_ff=96, num_layers=12, num_heads=12, dropout_rate=0.1,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    setattr(t5, "decoder_start_token_id", 0)  # noqa: B010 - not in the signature of every version
    shapes.save_checkpoint(folder / "t5", shapes.t5_tokenizer(), lambda: t.T5ForConditionalGeneration(t5), torch)


def count_peer(peer: str, dataset: str, folder: Path, decoding: bool) -> Counter[str]:
    """Operators of one step, or of one decoded token; the steps are those of pretrained_training.py."""
    torch.set_num_threads(1)
    use_gpu_operators()
    forward = "library" if peer == "ours-library" else "fused"
    if decoding:
        return _count_token(peer, dataset, folder, forward)
    if peer.startswith("ours"):
        use_gpu_layers()
        engine, _, _ = training.make_engine(dataset, folder, "trimmed", forward=forward)
        for step in range(STEP):
            engine.step(step)
        with count_operators() as found:
            engine.step(STEP)
        return found
    if peer == "plain":
        steps = training.plain(dataset, folder)
        for _ in range(STEP + 1):  # the first yield comes before any step
            next(steps)
        with count_operators() as found:
            next(steps)
        return found
    return _count_trainer_step(training.trl if peer == "trl" else training.trainer, dataset, folder)


def _count_token(peer: str, dataset: str, folder: Path, forward: str) -> Counter[str]:
    """Operators of the third token, selection and the end-of-sequence check included."""
    from terakoya.config import ModelConfig
    from terakoya.models.pretrained import build

    pairs, labels, base = training.load_data(dataset, folder)
    pairs = pairs[:16]
    if peer == "generate":
        return _count_generate([pair.query.source for pair in pairs], dataset, base)
    use_gpu_layers()
    options: dict[str, Any] = {"instruction": shapes.INSTRUCTION} if dataset == "numerals" else {"head": "sequence"}
    config = ModelConfig(base=str(base)).model_copy(update={"vocabulary": "trimmed", "forward": forward, **options})
    model: Any = build.build(config, pairs, labels, seed=0)
    with torch.no_grad():  # as `generate` does; inference mode shows operators before decomposition
        state = model.start([pair.query for pair in pairs])
        for _ in range(STEP - 1):
            state.advance(state.logits.argmax(-1))
        with count_operators() as found:
            state.advance(state.logits.argmax(-1))
    return found


def _count_generate(sources: list[str], dataset: str, base: Path) -> Counter[str]:
    """Operators of generating four tokens, less those of generating three."""
    import transformers as t

    tokenizer: Any = t.AutoTokenizer.from_pretrained(base, padding_side="left" if dataset == "numerals" else "right")
    kind: Any = t.AutoModelForCausalLM if dataset == "numerals" else t.AutoModelForSeq2SeqLM
    module: Any = kind.from_pretrained(base)
    if dataset == "numerals":
        system = {"role": "system", "content": shapes.INSTRUCTION}
        chats = [[system, {"role": "user", "content": source}] for source in sources]
        sources = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
    batch = tokenizer(sources, padding=True, add_special_tokens=dataset != "numerals", return_tensors="pt")
    found = []
    for length in (STEP, STEP, STEP + 1):  # the first call fills caches
        with count_operators() as counts:
            module.generate(**batch, max_new_tokens=length, min_new_tokens=length, do_sample=False)
        found.append(counts)
    return found[2] - found[1]


def _count_trainer_step(train: Callable[..., None], dataset: str, folder: Path) -> Counter[str]:
    """Operators from the start of one step to the start of the next."""
    counting, steps = count_operators(), count_from(0)
    found: list[Counter[str]] = []

    def on_step(_: Any) -> None:
        step = next(steps)
        if step == STEP:
            found.append(counting.__enter__())
        elif step > STEP:
            counting.__exit__(None, None, None)
            raise _Done

    with suppress(_Done):
        train(dataset, folder, on_step)
    return found[0]


class _Done(Exception):
    """The counted step is over."""


def count_in_process(peer: str, dataset: str, folder: Path) -> dict[str, int]:
    """Counts in a process of its own: patches made for one peer do not reach the next."""
    base, _, variant = dataset.partition("-")
    env = {"BENCH_BF16": "1"} | ({"BENCH_LORA": "1"} if variant == "adapters" else {})
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.pretrained_launches",
        "--peer",
        peer,
        "--dataset",
        base,
        "--folder",
        str(folder),
    ]
    command += ["--decoding"] if variant == "decoding" else []
    process = subprocess.run(command, env=os.environ | env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(process.stdout.splitlines()[-1])
    return found


def page(found: dict[str, dict[str, dict[str, int]]]) -> str:
    lines = [
        "# Operators sent to the device",
        "",
        machine_summary(("torch", "transformers", "trl")) + ".",
        "",
    ]
    for dataset, peers in found.items():
        mine = sum(peers["ours"].values())
        rows = [
            [DESCRIPTIONS[peer], sum(names.values()), f"{sum(names.values()) / mine:.2f} ×", _most_frequent(names)]
            for peer, names in peers.items()
        ]
        lines += [
            f"## {TITLES[dataset]}",
            "",
            markdown_table(["peer", "operators", "× ours", "most frequent"], rows),
        ]
    return "\n".join(lines)


def _most_frequent(names: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="", help="(for the processes that this one starts)")
    parser.add_argument("--dataset", default="")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--decoding", action="store_true")
    args = parser.parse_args()
    if args.peer:
        print(json.dumps(count_peer(args.peer, args.dataset, args.folder, args.decoding)))
        return
    with tempfile.TemporaryDirectory() as folder:
        save_narrow_checkpoints(Path(folder))
        found = {
            dataset: {peer: count_in_process(peer, dataset, Path(folder)) for peer in peers}
            for dataset, peers in PEERS.items()
        }
    print(write_results("pretrained_launches", page(found), found).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
