"""Checkpoints of real sizes with random weights, and rows like those of the two logs, for speed benchmarks.

Gemma-3-270M: 18 layers, width 640, 262,144 tokens. T5-base: 12 + 12 layers, width 768, 32,128 tokens (to which the
emoji log adds 5,222). Tokenizers are trained on our own text and padded with unused tokens to the real vocabulary size,
so that output heads have their real width.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

from terakoya.models.protocol import Pair, Query

GEMMA_VOCABULARY, T5_VOCABULARY, EMOJI_COUNT = 262_144, 32_128, 5_222
INSTRUCTION = "漢数字を数字で書く。"
_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ first if loop.first else '' }}{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def numeral_rows(count: int = 160) -> list[tuple[str, str]]:
    """Kanji numerals and bracketed digits, as in the numerals log."""
    with (resources.files("terakoya") / "tasks/exams/kannume-200.csv").open(encoding="utf-8") as file:
        rows = [(row[0], f"({row[1]})") for row in csv.reader(file)][1:]
    return Random(0).sample(rows, count)


def emoji_rows(count: int = 640) -> list[tuple[str, str]]:
    """Japanese sentences and one to four emoji of 296, their mean number 2.68, as in the emoji log."""
    rng = Random(0)
    text = (resources.files("terakoya") / "tasks/corpus/sentences.tsv").read_text(encoding="utf-8")
    sentences = [line.split("\t")[3] for line in text.splitlines()[1:]]
    label_set = emoji_names()[:296]
    counts = rng.choices((1, 2, 3, 4), (0.08, 0.33, 0.42, 0.17), k=count)
    return [(rng.choice(sentences), " ".join(rng.sample(label_set, n))) for n in counts]


def emoji_names() -> list[str]:
    """As many emoji as the emoji log added to the vocabulary, in random order."""
    import emoji

    single = [
        name for name, entry in emoji.EMOJI_DATA.items() if entry["status"] <= emoji.STATUS["minimally_qualified"]
    ]
    return Random(1).sample(sorted(single), len(single))[:EMOJI_COUNT] + [
        f"emoji{n}" for n in range(EMOJI_COUNT - len(single))
    ]


def pairs(rows: list[tuple[str, str]]) -> list[Pair]:
    """Rows of (source, target) as training pairs."""
    return [Pair(Query(source), target, f"row {number}") for number, (source, target) in enumerate(rows)]


def gemma(folder: Path) -> Path:
    """A checkpoint of Gemma-3-270M's shape in `folder`, wrapped unless it is there."""
    import torch
    import transformers as t

    tokenizer = gemma_tokenizer()
    config = t.Gemma3TextConfig(
        vocab_size=GEMMA_VOCABULARY, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
        num_attention_heads=4, num_key_value_heads=1, head_dim=256, sliding_window=512, query_pre_attn_scalar=256,
        max_position_embeddings=32768,
        layer_types=["full_attention" if layer % 6 == 5 else "sliding_attention" for layer in range(18)],
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    return save_checkpoint(folder, tokenizer, lambda: t.Gemma3ForCausalLM(config), torch)


def t5(folder: Path) -> Path:
    """A checkpoint of T5-base's shape in `folder`, wrapped unless it is there."""
    import torch
    import transformers as t

    config = t.T5Config(
        vocab_size=T5_VOCABULARY, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, dropout_rate=0.1,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    setattr(config, "decoder_start_token_id", 0)  # noqa: B010 - not in the signature of every version
    return save_checkpoint(folder, t5_tokenizer(), lambda: t.T5ForConditionalGeneration(config), torch)


def save_checkpoint(folder: Path, tokenizer: Any, make: Any, torch: Any) -> Path:
    """Save `tokenizer` and the model returned by `make`, with weights of seed 0, unless `folder` holds a model."""
    if not (folder / "model.safetensors").is_file():
        torch.manual_seed(0)
        tokenizer.save_pretrained(folder)
        make().save_pretrained(folder)
    return folder


def gemma_tokenizer() -> Any:
    """A byte-fallback BPE tokenizer with Gemma's chat template and vocabulary size."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    # Digits and numerals stay single characters, as Gemma splits them.
    text = [*_sentences(), *"0123456789()▁\n", *(char for row in numeral_rows(200) for char in row[0])]
    trainer = trainers.BpeTrainer(vocab_size=8000, special_tokens=[*special, *byte_tokens], max_token_length=6)
    tokenizer.train_from_iterator([*text, *["user\n", "model\n"] * 50], trainer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in byte_tokens]
    vocabulary = data["model"]["vocab"]
    vocabulary |= {f"<unused{number}>": number for number in range(len(vocabulary), GEMMA_VOCABULARY)}
    wrapped: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(json.dumps(data)),
        pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>",
    )  # fmt: skip
    wrapped.chat_template = _TEMPLATE
    return wrapped


def t5_tokenizer() -> Any:
    """A unigram tokenizer of T5-base's vocabulary size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=8000, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", max_piece_length=8
    )
    tokenizer.train_from_iterator([*_sentences(), "▁ \n"], trainer)
    pieces = [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    pieces += [(f"<unused{number}>", -99.0) for number in range(len(pieces), T5_VOCABULARY - 100)]
    return T5Tokenizer(vocab=pieces, extra_ids=100)


def _sentences() -> Iterator[str]:
    text = (resources.files("terakoya") / "tasks/corpus/sentences.tsv").read_text(encoding="utf-8")
    yield from (line.split("\t")[3] for line in text.splitlines()[1:])
