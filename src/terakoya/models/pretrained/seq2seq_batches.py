"""Batches of encoder-decoder models: sources and targets right-padded, each only to its own longest row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from terakoya.models.pretrained.vocabulary import head_at


def padded_batch(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], decoder_start: Sequence[int], pad: int
) -> dict[str, Tensor]:
    """Sources and shifted targets as an encoder-decoder wants them.

    sources        token ids of B sources, of at most S tokens
    targets        token ids of B targets, each with its end token
    decoder_start  ids that precede every target in the decoder
    pad            id of the padding token
    Returns input_ids and attention_mask (B, S), decoder_input_ids (B, T), logit_indices (N,) into the flattened
    decoder input and targets (N,).
    """
    source, mask = pad_sequences(sources, pad)
    decoder, _ = pad_sequences([[*decoder_start, *target[:-1]] for target in targets], pad)
    width, lead = decoder.shape[1], len(decoder_start) - 1
    indices = [number * width + lead + index for number, row in enumerate(targets) for index in range(len(row))]
    return {
        "input_ids": source,
        "attention_mask": mask,
        "decoder_input_ids": decoder,
        "logit_indices": torch.tensor(indices),
        "targets": torch.tensor([token for target in targets for token in target]),
    }


def pad_sequences(rows: Sequence[Sequence[int]], pad: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Rows of token ids as one tensor with its attention mask.

    rows  B rows, of at most S tokens
    pad   id of the padding token
    left  pad on the left instead of on the right
    Returns ids (B, S) and mask (B, S), 1 for tokens and 0 for padding.
    """
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[number, span] = torch.tensor(row, dtype=torch.long)
        mask[number, span] = 1
    return ids, mask


def target_logits(module: Any, head: Any, tensors: dict[str, Tensor]) -> Tensor:
    """Logits (N, V) of the decoder positions that predict a target; no other position reaches the output head.

    module   an encoder-decoder of transformers
    head     its output head
    tensors  a batch of `padded_batch`, on the model's device
    """
    with head_at(head, tensors["logit_indices"]):
        logits: Tensor = module(
            input_ids=tensors["input_ids"],
            attention_mask=tensors["attention_mask"],
            decoder_input_ids=tensors["decoder_input_ids"],
            use_cache=False,
        ).logits
    return logits[0]
