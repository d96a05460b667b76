"""Data cannot speak as the template: random strings full of control tokens, under eight templates.

    python benchmarks/template_fuzz.py [--strings 10000]

Every string is made of control tokens of the template, pieces and wide forms of them, and ordinary text. Counted:
strings whose prompt holds other control tokens than the template itself writes; prompts whose content does not come
back; answers that hold a control token, or do not come back character by character; strings whose prompt is not token
for token the same in a batch of training and when the model is asked, both read where the model is given them. All must
be none.
Written: results/template_fuzz.md and .json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch

from machine import table, told, write
from terakoya.config import ModelConfig
from terakoya.errors import DataError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.model import HubModel
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.protocol import Pair, Query

AT_ONCE = 64

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "models"))
checkpoints: Any = importlib.import_module("checkpoints")

_TURNS = "{% for m in messages %}"
_LAST = "{% endfor %}{% if add_generation_prompt %}"
# Control tokens beside those of the tests' tokenizers, and a template that uses them, written after the shapes in use.
OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "header (as Llama 3)": (
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|begin_of_text|>"
        + _TURNS
        + "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}"
        "<|eot_id|>" + _LAST + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    ),
    "instruction (as Mistral)": (
        ("<s>", "</s>", "[INST]", "[/INST]"),
        "<s>"
        + _TURNS
        + "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %}"
        " {{ m['content'] }}</s>{% endif %}{% endfor %}",
    ),
    "role marks (as Phi)": (
        ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        _TURNS + "<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n" + _LAST + "<|assistant|>\n{% endif %}",
    ),
}


def made(family: str, others: tuple[tuple[str, ...], str] | None = None, kind: str = "auto") -> HubModel:
    """A tiny random model behind the template. What it answers is nothing; what it is given is the question."""
    tokenizer = checkpoints.make_tokenizer(family, 700, [char * 5 for char in ALPHABET])
    if others is not None:
        tokenizer.add_special_tokens({"additional_special_tokens": list(others[0])})
        tokenizer.chat_template = others[1]
    with TemporaryDirectory() as folder:
        torch.manual_seed(0)
        tokenizer.save_pretrained(folder)
        checkpoints.make_module(family, tokenizer, 32).save_pretrained(folder)
        model: HubModel = build.build(ModelConfig(base=folder, template=kind), [Pair(Query("一"), ANSWER)], seed=0)  # type: ignore[arg-type, assignment]
    return model


TEMPLATES: dict[str, Callable[[], HubModel]] = {
    "turns (as Gemma)": lambda: made("gemma3"),
    "ChatML (as Qwen, SmolLM2)": lambda: made("qwen2"),
    "ChatML with a beginning (as LFM2)": lambda: made("lfm2"),
    **{name: (lambda given=given: made("qwen2", given)) for name, given in OTHERS.items()},  # type: ignore[misc]
    "none, causal (Gemma's tokenizer)": lambda: made("gemma3", kind="plain"),
    "none, encoder-decoder (T5)": lambda: made("t5"),
}


PIECES = ("一", "万", " ", "\n", "a", "<", ">", "|", "é", "👩‍🚀", "​", "ﾊ", "漢字かな")
ALPHABET = sorted({*"".join(PIECES), *map(chr, range(0x21, 0x7F)), *map(chr, range(0xFF01, 0xFF5F))})
ANSWER = "12"


def strings(prompt: Prompt, count: int, seed: int) -> list[str]:
    chance = Random(seed)
    names = [*prompt.tokens.names.values(), "<0x0A>", "▁", "< / s >"]
    wide = ["".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name) for name in names]
    pieces = [*names, *wide, *(name.upper() for name in names), *(name[:-1] for name in names), *(n[1:] for n in names)]
    pieces += PIECES
    return ["".join(chance.choice(pieces) for _ in range(chance.randrange(1, 9))) + "x" for _ in range(count)]


def taught(model: HubModel, texts: Sequence[str]) -> list[list[int]]:
    """The tokens before the first that is learnt, of every row in a batch of training."""
    given = model.collate([Pair(Query(text), ANSWER) for text in texts]).tensors
    ids = given["ids"]
    if "decoder" in given:
        return [row[mask.bool()].tolist() for row, mask in zip(ids, given["padding"], strict=True)]
    first = given["places"][:: len(model.answer(ANSWER))]  # the answer is the same everywhere
    if "mask" not in given:
        width = ids.shape[1]
        return [ids[place // width, : place % width + 1].tolist() for place in first.tolist()]
    seen = [given["mask"][0, 0, place].nonzero()[:, 0] for place in first]
    return [ids[0, places[given["positions"][0, places].argsort()]].tolist() for places in seen]


def asked(model: HubModel, texts: Sequence[str]) -> list[list[int]]:
    """The tokens that the model is given when it is asked the same in one batch."""
    calls: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def watch(_: Any, __: Any, told: dict[str, Any]) -> None:
        if told.get("input_ids") is not None:
            calls.append((told["input_ids"], told.get("attention_mask")))

    reader = model.core.get_encoder() if model.family == "encoder-decoder" else model.core
    hook = reader.register_forward_pre_hook(watch, with_kwargs=True)
    with torch.no_grad():
        model.start([Query(text) for text in texts])
    hook.remove()
    *shared, (rows, mask) = calls
    opening = [token for ids, _ in shared for token in ids[0].tolist()]
    real = torch.ones_like(rows) if mask is None else mask[:, -rows.shape[1] :]
    return [[*opening, *row[kept.bool()].tolist()] for row, kept in zip(rows, real, strict=True)]


def apart(model: HubModel, texts: Sequence[str]) -> int:
    """How many strings are another prompt in training than in use."""
    batches = [texts[place : place + AT_ONCE] for place in range(0, len(texts), AT_ONCE)]
    pairs = [pair for some in batches for pair in zip(taught(model, some), asked(model, some), strict=True)]
    return sum(one != other for one, other in pairs) + (len(pairs) != len(texts))


def counted(model: HubModel, count: int, seed: int) -> dict[str, int]:
    prompt = model.prompt
    tokens = prompt.tokens

    def controls(text: str) -> list[int]:
        return [number for number in prompt.question(Query(text)) if number in tokens.controls]

    own = controls("x")
    found = {
        "strings": count,
        "spoken": 0,
        "lost": 0,
        "answers": 0,
        "answers_spoken": 0,
        "answers_lost": 0,
        "refused": 0,
    }
    texts = strings(prompt, count, seed)
    found["apart"] = apart(model, texts)
    for text in texts:
        found["spoken"] += controls(text) != own
        # Of a tokenizer that cannot carry everything, only what it can must come back.
        said = tokens.text(prompt.question(Query(text)))
        found["lost"] += tokens.carries(text) and _bare(text) not in _bare(said)
        try:
            answer = tokens.answer(text)
        except DataError:
            found["refused"] += 1
            continue
        found["answers"] += 1
        found["answers_spoken"] += bool(set(answer) & set(tokens.controls))
        found["answers_lost"] += tokens.text(answer) != text
    return found


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=10_000)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: counted(make(), wanted.strings, seed) for seed, (name, make) in enumerate(TEMPLATES.items())}
    head = ("template", "strings", "spoke as the template", "content lost", "answers", "spoke", "lost", "refused",
            "other in training than in use")  # fmt: skip
    rows = [(name, *counts.values()) for name, counts in found.items()]
    text = (
        f"# Data cannot speak as the template\n\n{told(('transformers', 'tokenizers'))}. Made by "
        "`benchmarks/template_fuzz.py`; an answer is refused where the tokenizer cannot carry it.\n\n"
        + table(head, rows)
    )
    print(write("template_fuzz", text, found).read_text(encoding="utf-8"))
    bad = ("spoken", "lost", "answers_spoken", "answers_lost", "apart")
    return int(any(counts[name] for counts in found.values() for name in bad))


if __name__ == "__main__":
    raise SystemExit(main())
