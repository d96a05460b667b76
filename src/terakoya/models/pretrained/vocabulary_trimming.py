"""Vocabulary trimming: when it pays, which embedding rows stay in memory, and how the others are read from the file."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from terakoya.errors import DataError, need
from terakoya.i18n import _
from terakoya.models.pretrained.checkpoint_files import weight_files
from terakoya.models.pretrained.loading import LoadedCheckpoint
from terakoya.models.pretrained.prompt import Prompt
from terakoya.models.pretrained.vocabulary import VocabularyTables
from terakoya.models.protocol import Pair
from terakoya.records import Finding

_MANY_WEIGHTS = 10_000_000  # of the embeddings, below which trimming saves little
# Share of rows whose target could not be written without what that row alone brought. Of exam items about as many
# would be lost before the first step; with 160 rows one such row is too many.
_MAX_OPEN_SHARE = 0.005


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
    for char in string.printable:  # looked up one by one: the texts of 262,144 tokens take a second
        wanted |= tokenizer.ids_of_character(char)
    config: Any = loaded.module.config
    wanted |= {i for i in (config.pad_token_id, getattr(config, "decoder_start_token_id", None)) if i is not None}
    last = [tokenizer.added_tokens[token] for token in new_tokens]
    return (*sorted(wanted - set(last)), *last)


def is_large(loaded: LoadedCheckpoint) -> bool:
    """Whether the embeddings of a causal model can be trimmed, and hold so many weights that it saves time.

    loaded  an encoder-decoder is never trimmed unasked
    """
    module: Any = loaded.module
    head = module.get_output_embeddings()
    can_be_trimmed = loaded.causal and head is not None and getattr(head, "bias", None) is None
    return can_be_trimmed and module.get_input_embeddings().weight.numel() >= _MANY_WEIGHTS


def rows_with_own_tokens(prompt: Prompt, pairs: Sequence[Pair]) -> int:
    """Number of rows whose target has a token that no other target has: the leave-one-out form of Good's estimate of
    how often further targets will need an unseen token (Good, 1953, The population frequencies of species).

    prompt  makes the targets whose tokens are counted
    pairs   the training data
    What printable ASCII can spell does not count, for that is always kept. A target that the tokenizer cannot write
    counts.
    """
    tokenizer, printable = prompt.tokenizer, set(string.printable)
    tokens: list[set[int]] = []
    unwritable = 0
    for pair in pairs:
        try:
            tokens.append(set(prompt.target_ids(pair.target)))
        except DataError:  # preflight names these rows, with the reason
            unwritable += 1
    counts = Counter(token for target in tokens for token in target)
    texts = {token: tokenizer.token_text(token) for token, count in counts.items() if count == 1}
    own = {token for token, text in texts.items() if not text or not set(text) <= printable}
    return unwritable + sum(1 for target in tokens if target & own)


def choose_vocabulary(loaded: LoadedCheckpoint, prompt: Prompt, pairs: Sequence[Pair]) -> tuple[bool, Finding | None]:
    """What `model.vocabulary = "auto"` is for this checkpoint and data: whether to trim, and what to report.

    loaded  the checkpoint
    prompt  makes the targets
    pairs   the training data
    """
    if not is_large(loaded) or not pairs:
        return False, None
    own, rows = rows_with_own_tokens(prompt, pairs), len(pairs)
    if own <= _MAX_OPEN_SHARE * rows:
        return True, Finding(
            "vocabulary",
            "note",
            _(
                "the vocabulary is trimmed to what the training rows need: predictions are written with the tokens of "
                "their {rows:,} targets and printable ASCII alone; a source may hold anything, and tokens beyond them "
                "keep the base's embeddings",
                rows=rows,
            ),
            where="model.vocabulary",
            do=_("Where targets will hold other characters, set model.vocabulary = 'full': slower, and open."),
            values={"rows": float(rows), "own": float(own)},
        )
    return False, Finding(
        "vocabulary",
        "note",
        _(
            "the vocabulary stays whole: {own:,} of {rows:,} targets have a token that no other target has, so further "
            "ones would too. Trimmed to what the training rows need, a step would take a fraction of the time",
            own=own,
            rows=rows,
        ),
        where="model.vocabulary",
        do=_("Where the targets to come need no other tokens, set model.vocabulary = 'trimmed'."),
        values={"rows": float(rows), "own": float(own)},
    )


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
