"""Log-probabilities of labels as the first tokens of a sequence model's output.

    scores = score_labels(model, queries, label_ids, batch_size=16)   # (queries, labels), in nats

All labels of a batch are scored in one walk over the trie of their token ids (models/label_trie.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from terakoya.decoding.adaptive_batching import in_batches
from terakoya.decoding.decoded_sequence import evaluation_mode
from terakoya.models.label_trie import trie_levels, walk_trie
from terakoya.models.prepacked import prepacked_weights
from terakoya.models.protocol import Pair, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


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
    levels = trie_levels(labels)
    size = max(1, batch_size // max(map(len, levels)))
    order = sorted(range(len(queries)), key=lambda index: model.length(Pair(queries[index], "")))
    scores = np.zeros((len(queries), len(labels)))

    def score_batch(indices: Sequence[int]) -> Sequence[Any]:
        batch = [queries[index] for index in indices]
        return list(walk_trie(model.start(batch), len(batch), labels, levels).numpy())

    with evaluation_mode(model), prepacked_weights(model.module, len(queries)):
        for index, row in in_batches(order, size, score_batch):
            scores[index] = row
    return scores
