"""A set head asked for the scores of many texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from terakoya.decoding.adaptive_batching import in_parts
from terakoya.decoding.answer import asking
from terakoya.models.prepacked import packed
from terakoya.models.protocol import LabelPenalty, Model, Pair, Query, SetScores


def scored(model: Model, asks: Sequence[Query], at_once: int) -> SetScores:
    """The scores of all asks (one at least), in their order, taken from at most `at_once` of like length at a time."""
    labels: list[Tensor] = [torch.empty(0)] * len(asks)
    sizes = list(labels)
    tolls: tuple[LabelPenalty, ...] = ()

    def some(places: Sequence[int]) -> list[tuple[Tensor, Tensor, tuple[LabelPenalty, ...]]]:
        found = model.set_scores([asks[place] for place in places])
        return [(*row, found.tolls) for row in zip(found.labels, found.sizes, strict=True)]

    order = sorted(range(len(asks)), key=lambda place: model.length(Pair(asks[place], "")))
    with asking(model), packed(model.module, len(asks)):
        for place, (label, size, told) in in_parts(order, at_once, some):
            labels[place], sizes[place], tolls = label, size, told
    most = max(map(len, sizes))
    return SetScores(torch.stack(labels), torch.stack([widened(size, most) for size in sizes]), tolls)


def widened(sizes: Tensor, most: int) -> Tensor:
    """Size logits (S,) for sizes up to `most`: those that a model never saw are as good as impossible to it."""
    return torch.nn.functional.pad(sizes, (0, most - len(sizes)), value=-30.0)
