"""New tokens of a pretrained model: only those that the data needs, initialised from what they mean.

A new embedding row starts as the mean of the rows of the token's name ("sparkles" for ✨, in Japanese where that name
is known), scaled to the usual norm of a row, so that the first loss is not above that of a uniform prediction.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from terakoya.codec.text import graphemes
from terakoya.models.pretrained.vocabulary import embedding_tables

_SAMPLE = 4096  # rows from which the usual norm is estimated


def needed_tokens(
    targets: Iterable[str],
    labels: Iterable[str],
    can_encode: Callable[[str], bool],
    is_byte_encoded: Callable[[str], bool],
) -> list[str]:
    """Tokens to add: labels that the tokenizer has only as bytes or not at all, and characters that it would lose.

    targets          texts that the model shall write
    labels           of a task whose targets are labels; () otherwise
    can_encode       whether the tokenizer gives a text back unchanged
    is_byte_encoded  whether it spells a text in parts of characters
    Returns them sorted.
    """
    wanted = {label for label in labels if not can_encode(label) or is_byte_encoded(label)}
    characters = {char for text in targets for char in graphemes(text)} - {" "}
    wanted |= {char for char in characters if char not in wanted and not can_encode(char)}
    return sorted(wanted)


def token_description(token: str, names: Mapping[str, Sequence[str]]) -> str:
    """What a token means, in words whose embeddings can stand for it.

    token  the text of the token
    names  words for tokens, where the task knows better ones
    Returns the given names, else the Japanese name of an emoji, a compatibility form, or the Unicode name.
    """
    if names.get(token):
        return " ".join(names[token])
    import emoji

    emoji.config.load_language("ja")
    known: Mapping[str, Any] = emoji.EMOJI_DATA.get(token) or emoji.EMOJI_DATA.get(token + "\ufe0f") or {}
    if known.get("ja"):
        return str(known["ja"]).strip(":").replace("_", " ")
    compatible = unicodedata.normalize("NFKC", token)
    if compatible not in ("", token):
        return compatible
    return " ".join(unicodedata.name(char, "") for char in token).lower().strip()


def initial_rows(table: Tensor, descriptions: Sequence[Sequence[int]], method: str, seed: int) -> Tensor:
    """Initial embeddings (n, D) of new tokens, all with the median norm of the existing rows.

    table         (V, D), the existing rows
    descriptions  token ids of each new token's description; () falls back on the mean of all rows
    method        "meaning" (mean of the description's rows), "mean" (of all rows) or "random"
    seed          of the noise: 2% of the norm, which separates tokens of the same name
    """
    sample = table[:: max(1, len(table) // _SAMPLE)].float()
    length = sample.norm(dim=1).median()
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(descriptions), table.shape[1], generator=rng)
    noise = noise / noise.norm(dim=1, keepdim=True)
    if method == "random":
        random_rows: Tensor = noise * length
        return random_rows.to(table.dtype)
    mean = sample.mean(0)
    rows = [table[list(ids)].float().mean(0) if method == "meaning" and ids else mean for ids in descriptions]
    direction = torch.stack(rows)
    direction = direction / direction.norm(dim=1, keepdim=True).clamp_min(1e-12)
    initial: Tensor = (direction + 0.02 * noise) * length
    return initial.to(table.dtype)


@torch.no_grad()
def initialise_rows(module: Any, first: int, descriptions: Sequence[Sequence[int]], method: str, seed: int) -> None:
    """Write initial values into the rows of new tokens, in the embeddings and in the output head.

    module        a model of transformers whose tables already have these rows
    first         id of the first new token; the others follow it
    descriptions  token ids of each new token's description
    method        of `initial_rows`
    seed          of the noise
    """
    tables = embedding_tables(module)
    weights = [tables.inputs[0].weight] if tables.tied else [tables.inputs[0].weight, tables.head.weight]
    for weight in weights:
        weight[first : first + len(descriptions)] = initial_rows(weight[:first], descriptions, method, seed)
