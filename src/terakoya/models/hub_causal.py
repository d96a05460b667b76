"""Causal models: many rows as one sequence, the common beginning once, logits where there is a target.

A batch is laid out as a tree: the prefix that all prompts share, then each row's own tokens, with the positions they
would have had alone and a mask that lets them see the prefix and themselves. One forward pass, no padding, and loss
and gradients are those of the rows one by one. Models that carry a state along the sequence (LFM2's convolutions)
cannot be laid out so; their rows are padded on the right. Which of the two is exact is tried out, not looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from terakoya.models.vocabulary import only_at

IGNORED = -100


@dataclass(frozen=True)
class Row:
    """Working ids of one row; the loss is taken from `begin` on (0: on everything but the first token)."""

    ids: tuple[int, ...]
    begin: int


def tree(rows: Sequence[Row], *, share: bool) -> dict[str, Tensor]:
    """One sequence (1, T) with positions, mask (1, 1, T, T), places of logits (N,) and targets (N,)."""
    shared = common(rows) if share else 0
    ids, positions, owner = list(rows[0].ids[:shared]), list(range(shared)), [-1] * shared
    places: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        start = len(ids) - shared  # where this row's token 0 would stand, if its prefix stood before it
        for place in range(max(1, row.begin), len(row.ids)):
            before = place - 1
            places.append(before if before < shared else start + before)
            targets.append(row.ids[place])
        ids += row.ids[shared:-1]
        positions += range(shared, len(row.ids) - 1)
        owner += [number] * (len(row.ids) - 1 - shared)
    owners, order = torch.tensor(owner), torch.arange(len(ids))
    mask = (owners[:, None] == owners[None, :]) | (owners[None, :] == -1)
    mask &= order[:, None] >= order[None, :]
    return {
        "ids": torch.tensor([ids]),
        "positions": torch.tensor([positions]),
        "mask": mask[None, None],
        "places": torch.tensor(places),
        "targets": torch.tensor(targets),
    }


def padded(rows: Sequence[Row], pad: int) -> dict[str, Tensor]:
    """Rows (B, S), filled on the right, with places of logits in the flattened batch (N,) and targets (N,)."""
    width = max(len(row.ids) for row in rows) - 1
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    places: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        size = len(row.ids) - 1
        ids[number, :size] = torch.tensor(row.ids[:-1])
        mask[number, :size] = 1
        for place in range(max(1, row.begin), len(row.ids)):
            places.append(number * width + place - 1)
            targets.append(row.ids[place])
    return {"ids": ids, "padding": mask, "places": torch.tensor(places), "targets": torch.tensor(targets)}


def common(rows: Sequence[Row]) -> int:
    """How many ids all rows begin with, none of them a target, one token less than the shortest row at most."""
    most = min(min(len(row.ids) - 1, row.begin) for row in rows)
    first = rows[0].ids
    for place in range(most):
        if any(row.ids[place] != first[place] for row in rows):
            return place
    return most


def logits(module: Any, head: Any, tensors: dict[str, Tensor]) -> Tensor:
    """(N, V) logits at the places where there is a target, and only there."""
    given = {"input_ids": tensors["ids"], "use_cache": False}
    if "mask" in tensors:
        given |= {"position_ids": tensors["positions"], "attention_mask": tensors["mask"]}
    else:
        given["attention_mask"] = tensors["padding"]
    with only_at(head, tensors["places"]):
        found: Tensor = module(**given).logits
    return found[0]


def tree_is_exact(module: Any, head: Any, ids: Sequence[int]) -> bool:
    """Whether rows laid out as a tree give what they give alone: tried on two short rows made of these ids.

    Two questions: are the logits those of the rows alone (positions and mask are heeded), and is the derivative of one
    row by the other's tokens exactly zero (nothing leaks beside attention, however faintly)?
    """
    words = [*ids[:1], *(ids[place % len(ids)] for place in range(1, 12))]
    rows = [Row((*words[:4], *words[4:8]), 5), Row((*words[:4], *words[8:12][::-1]), 5)]
    was = module.training
    module.eval()
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _same_alone(module, head, rows) and _nothing_leaks(module, head, rows)
    except (ValueError, RuntimeError, TypeError, IndexError):  # an architecture that takes no mask of ours
        return False
    finally:
        module.train(was)


def _same_alone(module: Any, head: Any, rows: Sequence[Row]) -> bool:
    device = head.weight.device
    with torch.no_grad():
        together = logits(module, head, _on(device, tree(rows, share=True)))
        alone = torch.cat([logits(module, head, _on(device, padded([row], 0))) for row in rows])
    tolerance = 1e-3 if alone.dtype == torch.float32 else 5e-2
    return bool((together - alone).abs().max() <= tolerance * alone.abs().max())


def _nothing_leaks(module: Any, head: Any, rows: Sequence[Row]) -> bool:
    laid = _on(head.weight.device, tree(rows, share=True))
    vectors = module.get_input_embeddings()(laid["ids"]).detach().requires_grad_()
    with only_at(head, laid["places"][-1:]):
        found = module(
            inputs_embeds=vectors, position_ids=laid["positions"], attention_mask=laid["mask"], use_cache=False
        ).logits
    (slope,) = torch.autograd.grad(found.float().square().sum(), vectors)
    shared = common(rows)
    others = slope[0, shared : shared + len(rows[0].ids) - 1 - shared]
    return not bool(others.any()) and bool(slope.any())


def _on(device: torch.device, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
