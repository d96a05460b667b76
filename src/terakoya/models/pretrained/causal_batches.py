"""Batches of causal models: shared prefixes computed once, logits only where there is a target.

A batch is a prefix tree laid out as one sequence: tokens that several rows share as a prefix (the opening of the prompt
in all of them, the first characters of a source in some) stand there once, each token keeps the position it would have
in its own row, and the attention mask lets it see its ancestors in the tree only. One forward pass without padding
gives the loss and the gradients of the rows one by one. Models with a recurrent state or a convolution along the
sequence (LFM2) cannot use this layout; their rows are right-padded. Whether the tree is exact for a model is measured
on the model itself, not looked up by its architecture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from terakoya.models.pretrained.fused import tree_attention
from terakoya.models.pretrained.vocabulary import head_at


@dataclass(frozen=True)
class CausalRow:
    """Prompt and target of one row as one sequence.

    token_ids   in the ids of the (trimmed) vocabulary
    loss_start  index of the first token that is a target; 0 takes the loss on all but the first token
    """

    token_ids: tuple[int, ...]
    loss_start: int


def prefix_tree_batch(rows: Sequence[CausalRow], *, share: bool, branches: bool = True) -> dict[str, Tensor]:
    """Rows as one sequence of T tokens in which each shared prefix is computed once.

    rows      at least one, each of two tokens or more
    share     whether rows share their prefixes at all; without it the tree is a forest of separate rows
    branches  whether to add the index tensors of `tree_attention.branches`, which replace the mask on a CPU
    Returns input_ids (1, T), position_ids (1, T), tree_mask (1, 1, T, T) with True where a token is visible,
    logit_indices (N,) into the sequence and targets (N,).
    """
    token_ids: list[int] = []
    positions: list[int] = []
    parents: list[int] = []  # index of the token before, -1 at a root
    logit_indices: list[int] = []
    targets: list[int] = []
    new_tokens: list[int] = []  # per row: tokens that were not in the tree before
    index_of: dict[tuple[int, int], int] = {}  # (parent index, token id) → index
    for row in rows:
        parent, size_before = -1, len(token_ids)
        for depth, token in enumerate(row.token_ids[:-1]):
            index = index_of.get((parent, token)) if share else None
            if index is None:
                index = len(token_ids)
                token_ids.append(token)
                positions.append(depth)
                parents.append(parent)
                index_of[parent, token] = index
            if depth + 1 >= row.loss_start:
                logit_indices.append(index)
                targets.append(row.token_ids[depth + 1])
            parent = index
        new_tokens.append(len(token_ids) - size_before)
    branch_tensors = tree_attention.branches(parents, new_tokens) if branches else {}
    return branch_tensors | {
        "input_ids": torch.tensor([token_ids]),
        "position_ids": torch.tensor([positions]),
        "tree_mask": _ancestor_mask(parents)[None, None],
        "logit_indices": torch.tensor(logit_indices),
        "targets": torch.tensor(targets),
    }


def _ancestor_mask(parents: Sequence[int]) -> Tensor:
    """(T, T): each token sees itself and its ancestors in the tree."""
    size = len(parents)
    mask = np.zeros((size, size), dtype=bool)
    for index, parent in enumerate(parents):
        if parent >= 0:
            mask[index] = mask[parent]
        mask[index, index] = True
    return torch.from_numpy(mask)


def padded_batch(rows: Sequence[CausalRow], pad: int) -> dict[str, Tensor]:
    """Right-padded rows, for models that cannot use the prefix tree.

    rows  B rows, of at most S + 1 tokens
    pad   id of the padding token
    Returns input_ids and attention_mask (B, S), logit_indices (N,) into the flattened batch and targets (N,).
    """
    width = max(len(row.token_ids) for row in rows) - 1
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    logit_indices: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        size = len(row.token_ids) - 1
        ids[number, :size] = torch.tensor(row.token_ids[:-1])
        mask[number, :size] = 1
        for index in range(max(1, row.loss_start), len(row.token_ids)):
            logit_indices.append(number * width + index - 1)
            targets.append(row.token_ids[index])
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "logit_indices": torch.tensor(logit_indices),
        "targets": torch.tensor(targets),
    }


def target_logits(module: Any, head: Any, tensors: dict[str, Tensor]) -> Tensor:
    """Logits (N, V) of the positions that predict a target; no other position reaches the output head.

    module   a causal model of transformers
    head     its output head
    tensors  a batch of `prefix_tree_batch` or `padded_batch`, on the model's device
    """
    inputs = _tree_inputs(module, tensors) if "tree_mask" in tensors else {"attention_mask": tensors["attention_mask"]}
    with head_at(head, tensors["logit_indices"]):
        logits: Tensor = module(input_ids=tensors["input_ids"], use_cache=False, **inputs).logits
    return logits[0]


def _tree_inputs(module: Any, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Keyword arguments of the forward pass for a prefix tree."""
    inputs: dict[str, Any] = {"position_ids": tensors["position_ids"], "attention_mask": tensors["tree_mask"]}
    if module.config._attn_implementation == tree_attention.NAME and tree_attention.BRANCH_TENSORS[0] in tensors:
        inputs["branches"] = {name: tensors[name] for name in tree_attention.BRANCH_TENSORS}
    return inputs


def use_branch_attention(module: Any, head: Any, ids: Sequence[int]) -> None:
    """Compute attention branch by branch instead of through the T × T mask, if the model gives the same logits so.

    module  a causal model for which the prefix tree is exact; keeps its own attention where the check fails
    head    its output head
    ids     at least eight different token ids, from which the check makes its rows
    """
    before = module.config._attn_implementation
    tree_attention.use_tree_attention(module)
    if not prefix_tree_is_exact(module, head, ids):
        module.set_attn_implementation(before)


def prefix_tree_is_exact(module: Any, head: Any, ids: Sequence[int]) -> bool:
    """Whether rows in a prefix tree get the logits that they get alone, measured on two short rows.

    Two conditions: the logits equal those of the separate rows (the model respects positions and mask), and the
    gradient of one row with respect to the tokens of the other is exactly zero (no state passes beside attention,
    however small).

    module  a causal model of transformers
    head    its output head
    ids     token ids to make the rows from; with fewer than eight different ones the outcome is False
    """
    tokens = list(dict.fromkeys(ids))  # different ones, so that the rows diverge after the fourth
    rows = [CausalRow((*tokens[:4], *tokens[4:8]), 5), CausalRow((*tokens[:4], *tokens[4:8][::-1]), 5)]
    if len(tokens) < 8:
        return False
    training = module.training
    module.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _equals_separate_rows(module, head, rows) and _rows_are_independent(module, head, rows)
    except (ValueError, RuntimeError, TypeError, IndexError):  # an architecture that accepts no custom mask
        return False
    finally:
        module.train(training)


def _equals_separate_rows(module: Any, head: Any, rows: Sequence[CausalRow]) -> bool:
    device = head.weight.device
    with torch.no_grad():
        together = target_logits(module, head, _to_device(device, prefix_tree_batch(rows, share=True)))
        alone = torch.cat([target_logits(module, head, _to_device(device, padded_batch([row], 0))) for row in rows])
    tolerance = 1e-3 if alone.dtype == torch.float32 else 5e-2
    return bool((together - alone).abs().max() <= tolerance * alone.abs().max())


def _rows_are_independent(module: Any, head: Any, rows: Sequence[CausalRow]) -> bool:
    batch = _to_device(head.weight.device, prefix_tree_batch(rows, share=True))
    embeddings = module.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    with head_at(head, batch["logit_indices"][-1:]):
        logits = module(**_tree_inputs(module, batch), inputs_embeds=embeddings, use_cache=False).logits
    (gradient,) = torch.autograd.grad(logits.float().square().sum(), embeddings)
    shared = 4  # of the seven tokens of each row; the three that only the first row has follow
    other_row = gradient[0, shared : shared + 3]
    return not bool(other_row.any()) and bool(gradient.any())


def _to_device(device: torch.device, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
