"""Causal models: many rows as one sequence, the common beginning once, logits where there is a target.

A batch is laid out as a tree: what rows share from their beginning on stands there once (the prompt's opening in all
of them, the first characters of a source in some), then each row's own tokens, with the positions they would have had
alone and a mask that lets them see their own row. One forward pass, no padding, and loss and gradients are those of
the rows one by one. Models that carry a state along the sequence (LFM2's convolutions)
cannot be laid out so; their rows are padded on the right. Which of the two is exact is tried out, not looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from terakoya.models.pretrained.fused import tree_attention
from terakoya.models.pretrained.vocabulary import only_at

IGNORED = -100


@dataclass(frozen=True)
class Row:
    """Working ids of one row; the loss is taken from `begin` on (0: on everything but the first token)."""

    ids: tuple[int, ...]
    begin: int


def tree(rows: Sequence[Row], *, share: bool, lanes: bool = True) -> dict[str, Tensor]:
    """One sequence (1, T) with positions, mask (1, 1, T, T), lanes (hub_fast), places of logits (N,), targets (N,).

    Whatever rows have in common from their beginning on stands there once: the prompt's opening in all of them, the
    first characters of a source in some. A token sees itself and those before it in its rows.
    """
    ids: list[int] = []
    positions: list[int] = []
    before: list[int] = []  # the place of the token before, -1 at the beginning
    places: list[int] = []
    targets: list[int] = []
    own: list[int] = []  # places that each row brought
    known: dict[tuple[int, int], int] = {}  # (place before, token) → its place
    for row in rows:
        last, began = -1, len(ids)
        for depth, token in enumerate(row.ids[:-1]):
            place = known.get((last, token)) if share else None
            if place is None:
                place = len(ids)
                ids.append(token)
                positions.append(depth)
                before.append(last)
                known[last, token] = place
            if depth + 1 >= row.begin:
                places.append(place)
                targets.append(row.ids[depth + 1])
            last = place
        own.append(len(ids) - began)
    beside = tree_attention.lanes(before, own) if lanes else {}
    return beside | {
        "ids": torch.tensor([ids]),
        "positions": torch.tensor([positions]),
        "mask": _sight(before)[None, None],
        "places": torch.tensor(places),
        "targets": torch.tensor(targets),
    }


def _sight(before: Sequence[int]) -> Tensor:
    """(T, T): which tokens each token sees. A token sees what the one before it sees, and itself."""
    size = len(before)
    seen = np.zeros((size, size), dtype=bool)
    for place, last in enumerate(before):
        if last >= 0:
            seen[place] = seen[last]
        seen[place, place] = True
    return torch.from_numpy(seen)


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


def logits(module: Any, head: Any, tensors: dict[str, Tensor]) -> Tensor:
    """(N, V) logits at the places where there is a target, and only there."""
    how = _laid(module, tensors) if "mask" in tensors else {"attention_mask": tensors["padding"]}
    with only_at(head, tensors["places"]):
        found: Tensor = module(input_ids=tensors["ids"], use_cache=False, **how).logits
    return found[0]


def _laid(module: Any, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What tells a module that its sequence is a tree."""
    told: dict[str, Any] = {"position_ids": tensors["positions"], "attention_mask": tensors["mask"]}
    if module.config._attn_implementation == tree_attention.NAME and tree_attention.LANES[0] in tensors:
        told["lanes"] = {name: tensors[name] for name in tree_attention.LANES}
    return told


def quicken(module: Any, head: Any, ids: Sequence[int]) -> None:
    """Lanes in place of the mask, for a model that takes trees, where they give the same (tried on these ids)."""
    before = module.config._attn_implementation
    tree_attention.use_lanes(module)
    if not tree_is_exact(module, head, ids):
        module.set_attn_implementation(before)


def tree_is_exact(module: Any, head: Any, ids: Sequence[int]) -> bool:
    """Whether rows laid out as a tree give what they give alone: tried on two short rows made of these ids.

    Two questions: are the logits those of the rows alone (positions and mask are heeded), and is the derivative of one
    row by the other's tokens exactly zero (nothing leaks beside attention, however faintly)?
    """
    words = list(dict.fromkeys(ids))  # different ones, so that the rows part after the fourth
    rows = [Row((*words[:4], *words[4:8]), 5), Row((*words[:4], *words[4:8][::-1]), 5)]
    if len(words) < 8:
        return False
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
        found = module(**_laid(module, laid), inputs_embeds=vectors, use_cache=False).logits
    (slope,) = torch.autograd.grad(found.float().square().sum(), vectors)
    shared = 4  # of both rows' seven; the first row's own three follow
    others = slope[0, shared : shared + 3]
    return not bool(others.any()) and bool(slope.any())


def _on(device: torch.device, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
