"""The vocabulary of a GGUF file, from a checkpoint's tokenizer.json alone.

llama.cpp's usual converter wants SentencePiece's `tokenizer.model`, which many checkpoints (and every GGUF file that
was opened as a base) do not have. What it takes from there, a score for every piece, follows from the order of merges:
SentencePiece merges the pair with the best score first, BPE the pair that stands first among its merges, so a piece's
score is minus the rank of the first merge that makes it. Whether every prompt is tokenised as in training is measured
afterwards, on the exam.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from terakoya.errors import IncompatibleError
from terakoya.i18n import _

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)  # gguf.TokenType
_ADDED_SCORE = -1000.0  # what llama.cpp's converter gives to pieces that are never merged
_DIGITS, _WORDS = r"\p{N}{1,3}", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Pattern that splits words before byte-level merges → llama.cpp's name of it.
_PATTERNS = {
    _WORDS + r"\p{N}" + _REST: "qwen2",
    _WORDS + _DIGITS + _REST: "llama-bpe",
}


@dataclass(frozen=True)
class GgufVocabulary:
    """The tokenizer's tables as GGUF has them.

    kind    "llama" (SentencePiece) or "gpt2" (byte level)
    split   llama.cpp's name of how words are split first; "default" for SentencePiece
    tokens  by id
    types   of gguf.TokenType, by id
    scores  by id; () at byte level
    merges  at byte level, two parts and a space; () for SentencePiece
    """

    kind: str
    split: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[str, ...] = ()


def vocabulary_obstacle(tokenizer_json: str) -> str | None:
    """Why llama.cpp cannot tokenise as a tokenizer does; None where it can.

    tokenizer_json  what the tokenizers library saves
    """
    try:
        read_vocabulary(tokenizer_json, 0, {}, None)
    except IncompatibleError as error:
        return error.what
    return None


def read_vocabulary(tokenizer_json: str, rows: int, control: Mapping[int, str], unknown: int | None) -> GgufVocabulary:
    """The vocabulary of a tokenizer.

    tokenizer_json  what the tokenizers library saves
    rows            of the embedding table; ids without a token get a name that no text holds
    control         id → text of tokens that only a template may write
    unknown         id of the unknown token; None without one
    Raises IncompatibleError, naming what llama.cpp cannot do, for another kind of tokenizer.
    """
    tokenizer = json.loads(tokenizer_json)
    model = tokenizer["model"]
    if model.get("type") != "BPE":
        raise _unknown_kind(str(model.get("type")))
    ids: dict[str, int] = dict(model["vocab"])
    added = {int(one["id"]): str(one["content"]) for one in tokenizer["added_tokens"]}
    ids |= {text: number for number, text in added.items()}
    tokens = [f"[PAD{number}]" for number in range(max(rows, max(ids.values()) + 1))]
    types = [_UNUSED] * len(tokens)
    for text, number in ids.items():
        tokens[number], types[number] = text, _NORMAL
    for number in added:
        types[number] = _USER_DEFINED
    for number in control:
        types[number] = _CONTROL
    merges = [tuple(one.split(" ", 1)) if isinstance(one, str) else tuple(one) for one in model["merges"]]
    if "ByteLevel" in json.dumps(tokenizer["pre_tokenizer"]):
        spelt = tuple(f"{first} {second}" for first, second in merges)
        return GgufVocabulary("gpt2", _split_name(tokenizer), tuple(tokens), tuple(types), merges=spelt)
    if not model.get("byte_fallback"):
        raise _unknown_kind(_("BPE without bytes"))
    if unknown is not None:
        types[unknown] = _UNKNOWN
    ranks: dict[str, int] = {}
    for rank, (first, second) in enumerate(merges):
        ranks.setdefault(first + second, rank)
    scores = []
    for number, text in enumerate(tokens):
        if types[number] == _NORMAL and _is_byte(text):
            types[number] = _BYTE
        if types[number] == _USER_DEFINED:
            tokens[number] = text.replace("▁", " ")
        scores.append(_score(types[number], ranks.get(text, len(merges))))
    return GgufVocabulary("llama", "default", tuple(tokens), tuple(types), scores=tuple(scores))


def _score(kind: int, rank: int) -> float:
    if kind == _BYTE:
        return 0.0
    return -float(rank) if kind == _NORMAL else _ADDED_SCORE


def _is_byte(text: str) -> bool:
    return len(text) == 6 and text.startswith("<0x") and text.endswith(">")


def _split_name(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name of the way in which this byte-level tokenizer splits words."""
    if tokenizer.get("normalizer") not in (None, {"type": "NFC"}):
        raise _unknown_kind(str(tokenizer["normalizer"].get("type")))
    steps = tokenizer["pre_tokenizer"]
    parts = steps["pretokenizers"] if steps["type"] == "Sequence" else [steps]
    patterns = [part["pattern"].get("Regex", "") for part in parts if part["type"] == "Split"]
    if not patterns and any(part.get("use_regex") for part in parts):
        return "gpt-2"
    name = _PATTERNS.get(patterns[0]) if len(patterns) == 1 else None
    if name is None:
        raise _unknown_kind("; ".join(patterns)[:120])
    return name


def _unknown_kind(kind: str) -> IncompatibleError:
    return IncompatibleError(
        _("llama.cpp's tokenizers are not known to do what this checkpoint's does ({kind})", kind=kind),
        where="--to gguf",
        do=_("Name llama.cpp's own converter with --converter, or export to ct2."),
    )
