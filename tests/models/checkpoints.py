"""Tiny checkpoints of real architectures: transformers configs, random weights, a tokenizer trained on our own text."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

FAMILIES = ("gemma3", "qwen2", "lfm2", "llama", "t5")
CAUSAL = FAMILIES[:-1]

_GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ first if loop.first else '' }}{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {"gemma3": _GEMMA, "qwen2": _CHATML, "lfm2": "{{ bos_token }}" + _CHATML, "llama": _CHATML}


def own_text() -> list[str]:
    """Our own Japanese sentences, with digits and brackets so that numerals have tokens."""
    folder = resources.files("terakoya") / "tasks"
    sentences = (folder / "corpus" / "sentences.tsv").read_text(encoding="utf-8").splitlines()[1:400]
    with (folder / "exams" / "kannume-200.csv").open(encoding="utf-8") as file:
        numerals = [f"{row[0]} ({row[1]})" for row in csv.reader(file)]
    return [line.split("\t")[3] for line in sentences] + numerals + ["user model assistant system\n"] * 3


def checkpoint(folder: Path, family: str, *, words: int = 700, seed: int = 0, width: int = 32) -> Path:
    """A folder as the hub would give it: config, safetensors, tokenizer; about 100 thousand weights."""
    import torch

    tokenizer = make_tokenizer(family, words)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    module = make_module(family, tokenizer, width)
    module.save_pretrained(folder)
    return folder


def make_tokenizer(family: str, words: int, text: Sequence[str] = ()) -> Any:
    """`text` is known to it beside our own sentences; it matters to T5's alone, which has no bytes to fall back on."""
    from transformers import PreTrainedTokenizerFast

    if family == "t5":
        return _t5_tokenizer(words, text)
    if family == "gemma3":
        backend, names = _sentencepiece_like(words)
    else:
        backend, names = _byte_level(words, bos=family == "lfm2")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    tokenizer.chat_template = TEMPLATES[family]
    return tokenizer


def make_module(family: str, tokenizer: Any, width: int) -> Any:
    import transformers as t

    ids = {
        "vocab_size": len(tokenizer) + (8 if family == "qwen2" else 0),  # Qwen has spare rows
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    block = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    if family == "gemma3":
        config = t.Gemma3TextConfig(**ids, **block, head_dim=width // 2, sliding_window=64, query_pre_attn_scalar=16)
        return t.Gemma3ForCausalLM(config)
    if family == "qwen2":
        return t.Qwen2ForCausalLM(t.Qwen2Config(**ids, **block, tie_word_embeddings=True))
    if family == "lfm2":
        return t.Lfm2ForCausalLM(t.Lfm2Config(**ids, **block, layer_types=["conv", "full_attention"]))
    if family == "llama":
        return t.LlamaForCausalLM(t.LlamaConfig(**ids, **block, tie_word_embeddings=False))
    return t.T5ForConditionalGeneration(
        t.T5Config(
            vocab_size=ids["vocab_size"], d_model=width, d_kv=width // 2, d_ff=2 * width, num_layers=2, num_heads=2,
            dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip


def _sentencepiece_like(words: int) -> tuple[Any, dict[str, str]]:
    """As Gemma's: ▁ for spaces, rare characters in bytes, turn marks that are control tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    spelt = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    text = [*own_text(), "a b ▁ \n"]
    # Which of equally frequent characters the trainer keeps is its hash table's affair, another one in every process.
    counts = Counter("".join(text).replace(" ", "▁"))
    alphabet = sorted(counts, key=lambda char: (-counts[char], char))[:400]
    trainer = trainers.BpeTrainer(
        vocab_size=words + 262, special_tokens=names + spelt, initial_alphabet=alphabet, limit_alphabet=400,
        max_token_length=8,
    )  # fmt: skip
    tokenizer.train_from_iterator(text, trainer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in spelt]
    return Tokenizer.from_str(json.dumps(data)), {
        "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>",
    }  # fmt: skip


def _byte_level(words: int, *, bos: bool) -> tuple[Any, dict[str, str]]:
    """As Qwen's, LFM2's and SmolLM2's: every byte has a token, nothing is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|startoftext|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words + 260, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(own_text(), trainer)
    named = {"pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|startoftext|> $A", special_tokens=[("<|startoftext|>", tokenizer.token_to_id("<|startoftext|>"))]
        )
        named["bos_token"] = "<|startoftext|>"
    return tokenizer, named


def _t5_tokenizer(words: int, text: Sequence[str] = ()) -> Any:
    """As sonoisa/t5-base-japanese: a Unigram vocabulary, no bytes to fall back on, so emoji are unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=words + 700, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", max_piece_length=6
    )
    tokenizer.train_from_iterator([*own_text(), "▁ \n", *text], trainer)
    pieces = [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    return T5Tokenizer(vocab=pieces, extra_ids=4)
