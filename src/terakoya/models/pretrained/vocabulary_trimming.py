"""Which rows of a vocabulary are held, and where the others stay: in the checkpoint's file."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from terakoya.errors import need
from terakoya.models.pretrained.checkpoint_files import weight_files
from terakoya.models.pretrained.loading import Opened
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.vocabulary import Words
from terakoya.models.protocol import Pair


def kept(found: Opened, prompt: Prompt, rows: Sequence[Pair], new: Sequence[str]) -> tuple[int, ...]:
    """Full ids that data, template and specials need, and every single ASCII character; new tokens last."""
    tokens = prompt.tokens
    wanted: set[int] = set(tokens.names) | set(tokens.lead) | {prompt.end}
    for row in rows:
        wanted.update(prompt.question(row.ask))
        wanted.update(prompt.answer(row.written))
    plain = set(string.printable)
    wanted |= {i for i in range(tokens.size) if tokens.piece(i) in plain}
    config: Any = found.module.config
    wanted |= {i for i in (config.pad_token_id, getattr(config, "decoder_start_token_id", None)) if i is not None}
    last = [tokens.learnt[token] for token in new]
    return (*sorted(wanted - set(last)), *last)


def read_rest(words: Words, module: Any, folder: Path) -> None:
    """Rows that are not kept stay in the checkpoint's file: mapped, and read when they are needed."""
    names = {id(weight): name for name, weight in reversed(list(module.named_parameters(remove_duplicate=False)))}
    assert words.rest is not None
    embeddings = _in_file(folder, names[id(words.tables.inputs[0].weight)], words.rest[0])
    head = embeddings if words.tables.tied else _in_file(folder, names[id(words.tables.head.weight)], words.rest[1])
    if embeddings is not None and head is not None:
        words.read_rest_from(embeddings, head)


def _in_file(folder: Path, name: str, wanted: torch.Tensor) -> torch.Tensor | None:
    safetensors = need("safetensors", extra="hub")
    for file in weight_files(folder):
        with safetensors.safe_open(file, framework="pt") as held:
            for key in held.keys():  # noqa: SIM118
                if key == name or key.removeprefix("model.") == name.removeprefix("model."):
                    table: torch.Tensor = held.get_tensor(key)
                    sample = slice(0, len(table), max(1, len(table) // 64))
                    same = table.shape[1:] == wanted.shape[1:] and torch.equal(
                        table[sample].to(wanted.dtype), wanted[: len(table)][sample]
                    )
                    return _unread(file, key) if same else None
    return None


def _unread(file: Path, key: str) -> torch.Tensor:
    """A tensor of a file as mapped anew: what the comparison touched is let go."""
    with need("safetensors", extra="hub").safe_open(file, framework="pt") as held:
        table: torch.Tensor = held.get_tensor(key)
        return table
