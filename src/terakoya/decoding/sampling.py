"""How the next token is selected: greedily, or sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from terakoya.config import DecodeConfig
from terakoya.models.protocol import Query


class GreedySelector:
    """The most probable token of every row. Shapes: B unfinished rows, V tokens."""

    def tokens(self, logits: Tensor) -> Tensor:
        """Token ids (B,) for logits (B, V)."""
        return logits.argmax(dim=-1)

    def among(self, row: int, logits: Tensor, legal: Tensor) -> int:
        """The token of one row when its first choice violates the constraint.

        row     index of the row
        logits  (V,) of that row
        legal   (any length,) the token ids to choose from
        """
        return int(legal[logits[legal].argmax()])

    def keep(self, rows: Tensor, tokens: Tensor) -> None:
        """Called after each step with the selected `tokens` (B,) and the indices `rows` that go on; no state here."""


class SamplingSelector:
    """Temperature, top-k and top-p (Holtzman et al., 2020, arXiv:1904.09751), repetition penalty (Keskar et al., 2019,
    arXiv:1909.05858). Every row has its own rng, so a sample does not depend on the other rows of its batch.

    decode  temperature, top_k, top_p and repetition_penalty
    rngs    one per row
    """

    def __init__(self, decode: DecodeConfig, rngs: list[Random]) -> None:
        self.decode, self.rngs = decode, rngs
        self.seen: Tensor | None = None  # (B, V): whether the token stands in the row so far

    def tokens(self, logits: Tensor) -> Tensor:
        """Sampled token ids (B,) for logits (B, V)."""
        if self.seen is None:
            self.seen = torch.zeros_like(logits, dtype=torch.bool)
        return self._sample(self._penalised(logits, self.seen), self.rngs)

    def among(self, row: int, logits: Tensor, legal: Tensor) -> int:
        """Sample once more for one row, as `GreedySelector.among`: its `logits` (V,) restricted to `legal` ids."""
        assert self.seen is not None
        restricted = self._penalised(logits, self.seen[row])[legal]
        return int(legal[self._sample(restricted[None], [self.rngs[row]])[0]])

    def keep(self, rows: Tensor, tokens: Tensor) -> None:
        """Remember the selected `tokens` (B,) and go on with the rows at the indices `rows`."""
        assert self.seen is not None
        self.seen.scatter_(1, tokens[:, None], True)
        self.seen = self.seen[rows]
        self.rngs = [self.rngs[row] for row in rows.tolist()]

    def _penalised(self, logits: Tensor, seen: Tensor) -> Tensor:
        penalty = self.decode.repetition_penalty
        if penalty == 1.0:
            return logits.float()
        return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits).float()

    def _sample(self, logits: Tensor, rngs: Sequence[Random]) -> Tensor:
        """Token ids (B,), by inversion of the cumulative distribution."""
        probabilities, order = torch.softmax(logits / self.decode.temperature, dim=-1).sort(
            dim=-1, descending=True, stable=True
        )
        if self.decode.top_k:
            probabilities[:, self.decode.top_k :] = 0.0
        if self.decode.top_p < 1.0:  # the smallest set that holds the mass; the first token always stays
            before = probabilities.cumsum(dim=-1) - probabilities
            limit = self.decode.top_p * probabilities.sum(-1, keepdim=True)
            probabilities = probabilities.masked_fill(before >= limit, 0.0)
        cumulative = probabilities.double().cumsum(dim=-1)
        points = torch.tensor([[rng.random()] for rng in rngs], dtype=torch.float64, device=logits.device)
        positions = torch.searchsorted(cumulative, points * cumulative[:, -1:], right=True)
        last = (probabilities > 0).sum(dim=-1, keepdim=True) - 1
        return order.gather(1, torch.minimum(positions, last))[:, 0]


def rngs_for(queries: Sequence[Query], seed: int) -> list[Random]:
    """An rng for each of `queries`, seeded by `seed`, its text and how often the same query came before in the list."""
    before: Counter[Query] = Counter()
    rngs: list[Random] = []
    for query in queries:
        conversation = "\n".join(one.content for one in query.turns)
        rngs.append(Random(f"{seed}/{before[query]}/{conversation}/{query.source}"))
        before[query] += 1
    return rngs
