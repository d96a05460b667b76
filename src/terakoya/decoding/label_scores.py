"""Log-probabilities of labels as the first tokens of a sequence model's output.

    scores = score_labels(model, queries, label_ids, batch_size=16)   # (queries, labels), in nats

All labels of a batch are scored in one walk over the trie of their token ids: one forward pass over the prompts gives
all labels of one token, and each further level of the trie is one more step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from terakoya.decoding.adaptive_batching import in_batches
from terakoya.decoding.decoded_sequence import evaluation_mode
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.protocol import DecodingState, Pair, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Node = tuple[int, ...]  # token ids from the root


def score_labels(
    model: Any, queries: Sequence[Query], label_ids: Sequence[Sequence[int]], *, batch_size: int, depth: int = 0
) -> Floats:
    """(queries, labels): log-probability that the output for each query begins with each label.

    model       with a sequence head: `start(queries)` and `length(pair)` of protocol.Model
    queries     the inputs; the model can take each of them
    label_ids   token ids of each label, one at least
    batch_size  largest number of rows in one forward pass; a query takes as many rows as the widest level of the trie
    depth       tokens of each label that are scored; 0 is all
    """
    import numpy as np

    labels = [tuple(ids[: depth or None]) for ids in label_ids]
    levels = _levels(labels)
    size = max(1, batch_size // max(map(len, levels)))
    order = sorted(range(len(queries)), key=lambda index: model.length(Pair(queries[index], "")))
    scores = np.zeros((len(queries), len(labels)))

    def score_batch(indices: Sequence[int]) -> Sequence[Any]:
        batch = [queries[index] for index in indices]
        return list(_walk(model.start(batch), len(batch), labels, levels))

    with evaluation_mode(model), prepacked_weights(model.module, len(queries)):
        for index, row in in_batches(order, size, score_batch):
            scores[index] = row
    return scores


def trie_width(label_ids: Sequence[Sequence[int]]) -> int:
    """Rows that the widest level of the trie of `label_ids` needs for one query."""
    return max(map(len, _levels([tuple(ids) for ids in label_ids])))


def _levels(labels: Sequence[Node]) -> list[list[Node]]:
    """The inner nodes of the trie by depth: what stands before some further token of a label."""
    deepest = max(map(len, labels))
    return [sorted({ids[:depth] for ids in labels if len(ids) > depth}) for depth in range(deepest)]


def _walk(state: DecodingState, rows: int, labels: Sequence[Node], levels: Sequence[Sequence[Node]]) -> Floats:
    """(rows, labels); row b of node n of a level is row `n * rows + b` of the state."""
    scores = torch.zeros(rows, len(labels), dtype=torch.float64)
    logits = state.logits
    for depth, nodes in enumerate(levels):
        index = {node: number for number, node in enumerate(nodes)}
        if depth:
            parents = {node: number for number, node in enumerate(levels[depth - 1])}
            here = torch.arange(rows)
            device = logits.device
            state.select(torch.cat([parents[node[:-1]] * rows + here for node in nodes]).to(device))
            state.advance(torch.tensor([node[-1] for node in nodes], device=device).repeat_interleave(rows))
        logits = state.logits
        total = logits.logsumexp(dim=1).double().cpu().view(len(nodes), rows)
        columns = [number for number, ids in enumerate(labels) if len(ids) > depth]
        at = torch.tensor([index[labels[number][:depth]] for number in columns])
        tokens = torch.tensor([labels[number][depth] for number in columns])
        by_node = logits.view(len(nodes), rows, -1)
        chosen = by_node[at.to(logits.device), :, tokens.to(logits.device)].double().cpu()  # (columns, rows)
        scores[:, columns] += (chosen - total[at]).T
    return scores.numpy()
