"""Log-probabilities of labels as the first tokens of an output: one walk over the trie of their token ids.

    scores = walk_trie(model.start(queries), len(queries), labels, trie_levels(labels))   # (queries, labels)

One forward pass over the prompts gives all labels of one token; each further level of the trie is one more step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from terakoya.models.protocol import DecodingState

Node = tuple[int, ...]  # token ids from the root


def trie_levels(labels: Sequence[Node]) -> list[list[Node]]:
    """The inner nodes of the trie by depth: what stands before some further token of a label.

    labels  token ids of each label, one at least
    """
    deepest = max(map(len, labels))
    return [sorted({ids[:depth] for ids in labels if len(ids) > depth}) for depth in range(deepest)]


def trie_width(label_ids: Sequence[Sequence[int]]) -> int:
    """Rows that the widest level of the trie of `label_ids` needs for one query."""
    return max(map(len, trie_levels([tuple(ids) for ids in label_ids])))


def walk_trie(state: DecodingState, rows: int, labels: Sequence[Node], levels: Sequence[Sequence[Node]]) -> Tensor:
    """(rows, labels), log-probability that the output of each row begins with each label, in double precision.

    state   of `rows` prompts that were read; it is used up
    rows    number of prompts
    labels  token ids of each label
    levels  of their trie, from `trie_levels`; row b of node n of a level is row `n * rows + b` of the state
    """
    scores = torch.zeros(rows, len(labels), dtype=torch.float64)
    for depth, nodes in enumerate(levels):
        index = {node: number for number, node in enumerate(nodes)}
        if depth:
            device = state.logits.device
            parents = {node: number for number, node in enumerate(levels[depth - 1])}
            here = torch.arange(rows)
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
    return scores
