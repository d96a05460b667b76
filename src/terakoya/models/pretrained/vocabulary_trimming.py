"""Vocabulary trimming: which embedding rows stay in memory, and how the others are read from the checkpoint's file."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from terakoya.errors import need
from terakoya.models.pretrained.checkpoint_files import weight_files
from terakoya.models.pretrained.loading import LoadedCheckpoint
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.vocabulary import VocabularyTables
from terakoya.models.protocol import Pair


def needed_ids(
    loaded: LoadedCheckpoint, prompt: Prompt, pairs: Sequence[Pair], new_tokens: Sequence[str]
) -> tuple[int, ...]:
    """Token ids that a trimmed vocabulary has to keep, new tokens last.

    loaded      its config names the padding and start tokens
    prompt      makes the prompts and targets whose tokens are kept
    pairs       the training data
    new_tokens  tokens that were added
    Returns full ids: those of data, template and special tokens, and of every single printable ASCII character.
    """
    tokenizer = prompt.tokenizer
    wanted: set[int] = set(tokenizer.reserved_tokens) | set(tokenizer.target_prefix) | {prompt.end}
    for pair in pairs:
        wanted.update(prompt.prompt_ids(pair.query))
        wanted.update(prompt.target_ids(pair.target))
    printable = set(string.printable)
    wanted |= {i for i in range(tokenizer.size) if tokenizer.token_text(i) in printable}
    config: Any = loaded.module.config
    wanted |= {i for i in (config.pad_token_id, getattr(config, "decoder_start_token_id", None)) if i is not None}
    last = [tokenizer.added_tokens[token] for token in new_tokens]
    return (*sorted(wanted - set(last)), *last)


def map_unkept_rows(vocabulary: VocabularyTables, module: Any, folder: Path) -> None:
    """Replace the in-memory copy of rows that are not kept by the memory-mapped checkpoint.

    vocabulary  trimmed tables; unchanged where the file does not hold the same rows
    module      the model that they belong to
    folder      of the checkpoint
    """
    names = {id(weight): name for name, weight in reversed(list(module.named_parameters(remove_duplicate=False)))}
    assert vocabulary.full_tables is not None
    tables = vocabulary.tables
    embeddings = _table_in_files(folder, names[id(tables.inputs[0].weight)], vocabulary.full_tables[0])
    head = (
        embeddings if tables.tied else _table_in_files(folder, names[id(tables.head.weight)], vocabulary.full_tables[1])
    )
    if embeddings is not None and head is not None:
        vocabulary.read_full_tables_from(embeddings, head)


def _table_in_files(folder: Path, name: str, wanted: torch.Tensor) -> torch.Tensor | None:
    """The mapped tensor of that name, if a sample of its rows equals the wanted table."""
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
                    return _mapped_anew(file, key) if same else None
    return None


def _mapped_anew(file: Path, key: str) -> torch.Tensor:
    """A tensor of a file in a mapping of its own: the memory that the comparison touched is released."""
    with need("safetensors", extra="hub").safe_open(file, framework="pt") as held:
        table: torch.Tensor = held.get_tensor(key)
        return table
