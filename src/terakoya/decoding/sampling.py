"""Which token comes next: the most probable one, or one drawn by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from terakoya.config import DecodeConfig
from terakoya.models.protocol import Query


class Greedy:
    """The most probable token; with `legal`, the most probable of those."""

    def tokens(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=-1)

    def among(self, row: int, logits: Tensor, legal: Tensor) -> int:
        return int(legal[logits[legal].argmax()])

    def keep(self, rows: Tensor, tokens: Tensor) -> None:
        """Nothing to remember."""


class Sampler:
    """Temperature, top-k and top-p (Holtzman et al., 2020, arXiv:1904.09751), repetition penalty (Keskar et al., 2019,
    arXiv:1909.05858). Every row has its own chance, so an answer does not depend on its neighbours."""

    def __init__(self, decode: DecodeConfig, chances: list[Random]) -> None:
        self.decode, self.chances = decode, chances
        self.seen: Tensor | None = None  # (rows, V): tokens written so far

    def tokens(self, logits: Tensor) -> Tensor:
        if self.seen is None:
            self.seen = torch.zeros_like(logits, dtype=torch.bool)
        return self._drawn(self._penalised(logits, self.seen), self.chances)

    def among(self, row: int, logits: Tensor, legal: Tensor) -> int:
        """Drawn once more among the legal tokens only."""
        assert self.seen is not None
        narrowed = self._penalised(logits, self.seen[row])[legal]
        return int(legal[self._drawn(narrowed[None], [self.chances[row]])[0]])

    def keep(self, rows: Tensor, tokens: Tensor) -> None:
        assert self.seen is not None
        self.seen.scatter_(1, tokens[:, None], True)
        self.seen = self.seen[rows]
        self.chances = [self.chances[row] for row in rows.tolist()]

    def _penalised(self, logits: Tensor, seen: Tensor) -> Tensor:
        penalty = self.decode.repetition_penalty
        if penalty == 1.0:
            return logits.float()
        return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits).float()

    def _drawn(self, logits: Tensor, chances: Sequence[Random]) -> Tensor:
        shares, order = torch.softmax(logits / self.decode.temperature, dim=-1).sort(
            dim=-1, descending=True, stable=True
        )
        if self.decode.top_k:
            shares[:, self.decode.top_k :] = 0.0
        if self.decode.top_p < 1.0:  # the smallest set that holds the share; the first token always stays
            before = shares.cumsum(dim=-1) - shares
            shares = shares.masked_fill(before >= self.decode.top_p * shares.sum(-1, keepdim=True), 0.0)
        sums = shares.double().cumsum(dim=-1)
        points = torch.tensor([[chance.random()] for chance in chances], dtype=torch.float64, device=logits.device)
        drawn = torch.searchsorted(sums, points * sums[:, -1:], right=True)
        last = (shares > 0).sum(dim=-1, keepdim=True) - 1
        return order.gather(1, torch.minimum(drawn, last))[:, 0]


def chances_for(asks: Sequence[Query], seed: int) -> list[Random]:
    """A Random for each ask, known by its source and by how often it stood before in the list."""
    before: Counter[Query] = Counter()
    chances: list[Random] = []
    for ask in asks:
        turns = "\n".join(turn.content for turn in ask.turns)
        chances.append(Random(f"{seed}/{before[ask]}/{turns}/{ask.source}"))
        before[ask] += 1
    return chances
