"""Data cannot speak as the template: random strings full of control tokens, under eight templates.

    python benchmarks/template_fuzz.py [--strings 10000]

Every string is made of control tokens of the template, pieces and wide forms of them, and ordinary text. Counted:
strings whose prompt holds other control tokens than the template itself writes; prompts whose content does not come
back; answers that hold a control token, or do not come back character by character. All must be none.
Written: results/template_fuzz.md and .json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from machine import table, told, write
from terakoya.errors import DataError
from terakoya.models.hub_prompt import Prompt, prompt_for
from terakoya.models.hub_tokens import Tokens
from terakoya.models.model import Ask

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


def made(family: str, others: tuple[tuple[str, ...], str] | None = None, kind: str = "auto") -> Prompt:
    tokenizer = checkpoints.make_tokenizer(family, 700)
    if others is not None:
        tokenizer.add_special_tokens({"additional_special_tokens": list(others[0])})
        tokenizer.chat_template = others[1]
    causal = family != "t5"
    return prompt_for(Tokens(tokenizer, anchored=causal), causal=causal, kind=kind, instruction="")


TEMPLATES: dict[str, Callable[[], Prompt]] = {
    "turns (as Gemma)": lambda: made("gemma3"),
    "ChatML (as Qwen, SmolLM2)": lambda: made("qwen2"),
    "ChatML with a beginning (as LFM2)": lambda: made("lfm2"),
    **{name: (lambda given=given: made("qwen2", given)) for name, given in OTHERS.items()},  # type: ignore[misc]
    "none, causal (Gemma's tokenizer)": lambda: made("gemma3", kind="plain"),
    "none, encoder-decoder (T5)": lambda: made("t5"),
}


def strings(prompt: Prompt, count: int, seed: int) -> list[str]:
    chance = Random(seed)
    names = [*prompt.tokens.names.values(), "<0x0A>", "▁", "< / s >"]
    wide = ["".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name) for name in names]
    pieces = [*names, *wide, *(name.upper() for name in names), *(name[:-1] for name in names), *(n[1:] for n in names)]
    pieces += ["一", "万", " ", "\n", "a", "<", ">", "|", "é", "👩‍🚀", "​", "ﾊ", "漢字かな"]
    return ["".join(chance.choice(pieces) for _ in range(chance.randrange(1, 9))) + "x" for _ in range(count)]


def counted(prompt: Prompt, count: int, seed: int) -> dict[str, int]:
    tokens = prompt.tokens

    def controls(text: str) -> list[int]:
        return [number for number in prompt.question(Ask(text)) if number in tokens.controls]

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
    for text in strings(prompt, count, seed):
        found["spoken"] += controls(text) != own
        # Of a tokenizer that cannot carry everything, only what it can must come back.
        said = tokens.text(prompt.question(Ask(text)))
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
    asked = parser.parse_args()
    found = {name: counted(make(), asked.strings, seed) for seed, (name, make) in enumerate(TEMPLATES.items())}
    head = ("template", "strings", "spoke as the template", "content lost", "answers", "spoke", "lost", "refused")
    rows = [(name, *counts.values()) for name, counts in found.items()]
    text = (
        f"# Data cannot speak as the template\n\n{told(('transformers', 'tokenizers'))}. Made by "
        "`benchmarks/template_fuzz.py`; an answer is refused where the tokenizer cannot carry it.\n\n"
        + table(head, rows)
    )
    print(write("template_fuzz", text, found).read_text(encoding="utf-8"))
    bad = ("spoken", "lost", "answers_spoken", "answers_lost")
    return int(any(counts[name] for counts in found.values() for name in bad))


if __name__ == "__main__":
    raise SystemExit(main())
