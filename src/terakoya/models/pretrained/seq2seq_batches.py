"""Encoder-decoder models: sources and answers filled on the right, each only to its own longest row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from terakoya.models.pretrained.vocabulary import only_at


def padded(
    sources: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], begin: Sequence[int], pad: int
) -> dict[str, Tensor]:
    """Sources (B, S) with mask, decoder input (B, T) that begins with `begin`, places of logits and targets (N,)."""
    source, mask = filled(sources, pad)
    decoder, _ = filled([[*begin, *answer[:-1]] for answer in answers], pad)
    width, lead = decoder.shape[1], len(begin) - 1
    places = [number * width + lead + place for number, row in enumerate(answers) for place in range(len(row))]
    return {
        "ids": source,
        "padding": mask,
        "decoder": decoder,
        "places": torch.tensor(places),
        "targets": torch.tensor([token for answer in answers for token in answer]),
    }


def filled(rows: Sequence[Sequence[int]], pad: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Rows (B, S) filled with `pad`, and the mask (B, S) of what is real."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[number, span] = torch.tensor(row, dtype=torch.long)
        mask[number, span] = 1
    return ids, mask


def logits(module: Any, head: Any, tensors: dict[str, Tensor]) -> Tensor:
    """(N, V) logits at the places where there is a target, and only there."""
    with only_at(head, tensors["places"]):
        found: Tensor = module(
            input_ids=tensors["ids"],
            attention_mask=tensors["padding"],
            decoder_input_ids=tensors["decoder"],
            use_cache=False,
        ).logits
    return found[0]
