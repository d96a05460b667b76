"""Prompt injection: random strings full of control tokens, under eight chat templates.

    python -m benchmarks.faults.template_fuzz [--strings 10000]

Every string consists of control tokens of the template, pieces and full-width forms of them, and ordinary text.
Counted: strings whose prompt holds other control tokens than the template itself writes; prompts whose content does not
decode to the string; targets that encode to a control token, or do not decode to the same characters; strings whose
prompt differs in any token between a training batch and decoding, both read where the model receives them. All must be
zero. Written: results/template_fuzz.md and .json.
"""

from __future__ import annotations

import argparse
import unicodedata
from collections.abc import Callable, Sequence
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import checkpoints
import torch

from benchmarks.reporting import machine_summary, markdown_table, write_results
from terakoya.config import ModelConfig
from terakoya.errors import DataError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import PretrainedModel
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.protocol import Pair, Query

BATCH = 64

_MESSAGES = "{% for m in messages %}"
_GENERATION_PROMPT = "{% endfor %}{% if add_generation_prompt %}"
# Further templates after those in use: (control tokens, chat template).
MORE_TEMPLATES: dict[str, tuple[tuple[str, ...], str]] = {
    "header (as Llama 3)": (
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>"
        + _MESSAGES
        + "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}"
        "<|eot_id|>" + _GENERATION_PROMPT + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    ),
    "instruction (as Mistral)": (
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "<s>"
        + _MESSAGES
        + "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %}"
        " {{ m['content'] }}</s>{% endif %}{% endfor %}",
    ),
    "role marks (as Phi)": (
        ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        _MESSAGES
        + "<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n"
        + _GENERATION_PROMPT
        + "<|assistant|>\n{% endif %}",
    ),
}


def make_model(family: str, template: tuple[tuple[str, ...], str] | None = None, kind: str = "auto") -> PretrainedModel:
    """A tiny random model behind the chat template: what counts is the prompt, not its predictions."""
    tokenizer = checkpoints.make_tokenizer(family, 700, [char * 5 for char in ALPHABET])
    if template is not None:
        tokenizer.add_special_tokens({"additional_special_tokens": list(template[0])})
        tokenizer.chat_template = template[1]
    with TemporaryDirectory() as folder:
        torch.manual_seed(0)
        tokenizer.save_pretrained(folder)
        checkpoints.make_module(family, tokenizer, 32).save_pretrained(folder)
        config = ModelConfig.model_validate({"base": folder, "template": kind})
        model = build.build(config, [Pair(Query("一"), TARGET)], seed=0)
    assert isinstance(model, PretrainedModel)
    return model


TEMPLATES: dict[str, Callable[[], PretrainedModel]] = {
    "turns (as Gemma)": lambda: make_model("gemma3"),
    "ChatML (as Qwen, SmolLM2)": lambda: make_model("qwen2"),
    "ChatML with a prefix (as LFM2)": lambda: make_model("lfm2"),
    **{name: (lambda template=template: make_model("qwen2", template)) for name, template in MORE_TEMPLATES.items()},  # type: ignore[misc]
    "none, causal (Gemma's tokenizer)": lambda: make_model("gemma3", kind="plain"),
    "none, encoder-decoder (T5)": lambda: make_model("t5"),
}


PIECES = ("一", "万", " ", "\n", "a", "<", ">", "|", "é", "👩‍🚀", "​", "ﾊ", "漢字かな")
ALPHABET = sorted({*"".join(PIECES), *map(chr, range(0x21, 0x7F)), *map(chr, range(0xFF01, 0xFF5F))})
TARGET = "12"


def random_strings(prompt: Prompt, count: int, seed: int) -> list[str]:
    """`count` strings of one to eight random pieces: control tokens, parts and full-width forms of them, text."""
    rng = Random(seed)
    names = [*prompt.tokenizer.reserved_tokens.values(), "<0x0A>", "▁", "< / s >"]
    wide = ["".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name) for name in names]
    pieces = [*names, *wide, *(name.upper() for name in names), *(name[:-1] for name in names), *(n[1:] for n in names)]
    pieces += PIECES
    return ["".join(rng.choice(pieces) for _ in range(rng.randrange(1, 9))) + "x" for _ in range(count)]


def training_prompts(model: PretrainedModel, texts: Sequence[str]) -> list[list[int]]:
    """Prompt tokens of every row of a training batch: those before the first with a loss."""
    tensors = model.collate([Pair(Query(text), TARGET) for text in texts]).tensors
    ids = tensors["input_ids"]
    if "decoder_input_ids" in tensors:
        return [row[mask.bool()].tolist() for row, mask in zip(ids, tensors["attention_mask"], strict=True)]
    first = tensors["logit_indices"][:: len(model.target_ids(TARGET))]  # all targets are equal
    if "tree_mask" not in tensors:
        width = ids.shape[1]
        return [ids[position // width, : position % width + 1].tolist() for position in first.tolist()]
    visible = [tensors["tree_mask"][0, 0, position].nonzero()[:, 0] for position in first]
    return [ids[0, columns[tensors["position_ids"][0, columns].argsort()]].tolist() for columns in visible]


def decoding_prompts(model: PretrainedModel, texts: Sequence[str]) -> list[list[int]]:
    """Prompt tokens that the model receives when decoding the same texts in one batch."""
    calls: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def record(_: Any, __: Any, arguments: dict[str, Any]) -> None:
        if arguments.get("input_ids") is not None:
            calls.append((arguments["input_ids"], arguments.get("attention_mask")))

    encoder = model.core.get_encoder() if model.family == "encoder-decoder" else model.core
    hook = encoder.register_forward_pre_hook(record, with_kwargs=True)
    with torch.no_grad():
        model.start([Query(text) for text in texts])
    hook.remove()
    *shared, (rows, mask) = calls
    prefix = [token for ids, _ in shared for token in ids[0].tolist()]
    real = torch.ones_like(rows) if mask is None else mask[:, -rows.shape[1] :]
    return [[*prefix, *row[kept.bool()].tolist()] for row, kept in zip(rows, real, strict=True)]


def count_differences(model: PretrainedModel, texts: Sequence[str]) -> int:
    """How many strings have different prompts in training and decoding."""
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    pairs = [
        pair
        for batch in batches
        for pair in zip(training_prompts(model, batch), decoding_prompts(model, batch), strict=True)
    ]
    return sum(one != other for one, other in pairs) + (len(pairs) != len(texts))


def fuzz(model: PretrainedModel, count: int, seed: int) -> dict[str, int]:
    """Counts over `count` random strings under the model's template."""
    prompt = model.prompt
    tokens = prompt.tokenizer

    def control_ids(text: str) -> list[int]:
        return [token for token in prompt.prompt_ids(Query(text)) if token in tokens.control_tokens]

    template_ids = control_ids("x")
    counts = {
        "strings": count,
        "injected": 0,
        "lost": 0,
        "targets": 0,
        "targets_injected": 0,
        "targets_lost": 0,
        "refused": 0,
    }
    texts = random_strings(prompt, count, seed)
    counts["different"] = count_differences(model, texts)
    for text in texts:
        counts["injected"] += control_ids(text) != template_ids
        # Of a tokenizer that cannot encode everything, only what it can encode must decode again.
        decoded = tokens.decode(prompt.prompt_ids(Query(text)))
        counts["lost"] += tokens.can_encode(text) and _bare(text) not in _bare(decoded)
        try:
            target = tokens.encode_target(text)
        except DataError:
            counts["refused"] += 1
            continue
        counts["targets"] += 1
        counts["targets_injected"] += bool(set(target) & set(tokens.control_tokens))
        counts["targets_lost"] += tokens.decode(target) != text
    return counts


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=10_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: fuzz(make(), args.strings, seed) for seed, (name, make) in enumerate(TEMPLATES.items())}
    head = ("template", "strings", "prompts injected", "content lost", "targets", "targets injected", "targets lost",
            "refused", "prompt differs in training")  # fmt: skip
    rows = [(name, *counts.values()) for name, counts in results.items()]
    text = (
        f"# Prompt injection under eight templates\n\n{machine_summary(('transformers', 'tokenizers'))}. Made by "
        "`benchmarks/faults/template_fuzz.py`; a target is refused where the tokenizer cannot encode it.\n\n"
        + markdown_table(head, rows)
    )
    print(write_results("template_fuzz", text, results).read_text(encoding="utf-8"))
    bad = ("injected", "lost", "targets_injected", "targets_lost", "different")
    return int(any(counts[name] for counts in results.values() for name in bad))


if __name__ == "__main__":
    raise SystemExit(main())
