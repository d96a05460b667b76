"""Label and size logits of a set head for many queries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from terakoya.decoding.adaptive_batching import in_batches
from terakoya.decoding.decoded_sequence import evaluation_mode
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.protocol import LabelPenalty, Model, Pair, Query, SetScores

_IMPOSSIBLE = -30.0  # logit


def score_sets(model: Model, queries: Sequence[Query], batch_size: int) -> SetScores:
    """The scores of all queries, in their order.

    model       with a set head
    queries     one at least, each of which the model can take
    batch_size  largest number of queries in one forward pass; queries of similar length go together
    """
    labels: list[Tensor] = [torch.empty(0)] * len(queries)
    sizes = list(labels)
    penalties: tuple[LabelPenalty, ...] = ()

    def score_batch(indices: Sequence[int]) -> list[tuple[Tensor, Tensor, tuple[LabelPenalty, ...]]]:
        scores = model.set_scores([queries[index] for index in indices])
        return [(*row, scores.penalties) for row in zip(scores.labels, scores.sizes, strict=True)]

    order = sorted(range(len(queries)), key=lambda index: model.length(Pair(queries[index], "")))
    with evaluation_mode(model), prepacked_weights(model.module, len(queries)):
        for index, (label_logits, size_logits, of_model) in in_batches(order, batch_size, score_batch):
            labels[index], sizes[index], penalties = label_logits, size_logits, of_model
    largest = max(map(len, sizes))
    return SetScores(torch.stack(labels), torch.stack([pad_size_logits(one, largest) for one in sizes]), penalties)


def pad_size_logits(sizes: Tensor, largest: int) -> Tensor:
    """Size logits (S,) padded to `largest` sizes: sizes that a model never saw are as good as impossible to it.

    sizes    (S,) logits of the sizes 1..S
    largest  the size up to which logits are wanted, S at least
    """
    return torch.nn.functional.pad(sizes, (0, largest - len(sizes)), value=_IMPOSSIBLE)
