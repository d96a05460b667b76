"""A head for sets: one score for each label from every token's evidence, and the size of the set.

Each token brings evidence for every label; a label's score is the smooth maximum (log-sum-exp) of that evidence and
of what the label is worth without any input. One token that means a label is enough, and a hundred tokens that mean
nothing do not drown it: a mean over tokens would. Shapes: B rows, T tokens, H hidden width, L labels, S largest set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TOP = 8  # highest label probabilities by which the size of the set is told
_APART = -4.0  # log odds of one token's evidence, below the share of an even guess, before anything is learnt


def pooled(evidence: Tensor, mask: Tensor, prior: Tensor) -> Tensor:
    """Evidence (B, T, L) as log odds, mask (B, T) true where a token stands, prior (L,) → label logits (B, L)."""
    seen = evidence.masked_fill(~mask[..., None], -math.inf)
    return torch.logaddexp(torch.logsumexp(seen, dim=1), prior.expand(len(evidence), -1))


class Sizes(nn.Module):
    """Logits of the sizes 1..S from the labels' own probabilities: how many are sure, and how sure."""

    def __init__(self, labels: int, largest: int) -> None:
        super().__init__()
        self.top = min(_TOP, labels)
        self.weight = nn.Parameter(torch.zeros(largest, self.top + 2))
        self.bias = nn.Parameter(torch.zeros(largest))

    def forward(self, logits: Tensor) -> Tensor:
        # Detached: the scores of labels are learnt from labels, not bent to tell a size.
        chances = torch.sigmoid(logits.detach().float())
        total = chances.sum(1, keepdim=True)
        facts = torch.cat((chances.topk(self.top, dim=1).values, total / 3, total.clamp(min=1e-6).log()), dim=1)
        return F.linear(facts, self.weight, self.bias)


class SetHead(nn.Module):
    """For any encoder or decoder: hidden states (B, T, H) and a mask (B, T) → label logits (B, L), size logits (B, S).

    Order of labels and of batches has no say; nothing is written token by token, so nothing can repeat or be illegal.
    """

    def __init__(self, width: int, labels: int, largest: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.label = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.full((labels,), _APART))
        self.prior = nn.Parameter(torch.zeros(labels))
        self.sizes = Sizes(labels, largest)

    def begin(
        self, seed: int, counts: Tensor, rows: int, sizes: Tensor, names: Mapping[int, Tensor] | None = None
    ) -> None:
        """First weights, drawn from the seed alone; priors from the counts of labels (L,) and of sizes (S,) in `rows`.

        names  label number → a vector (H,) of what its name means (for instance the mean of its tokens' embeddings)
        """
        chance = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.norm.weight.fill_(1.0)
            self.norm.bias.zero_()
            drawn = torch.empty(self.label.shape).normal_(0, self.label.shape[1] ** -0.5, generator=chance)
            self.label.copy_(drawn)
            self.bias.copy_(log_odds(counts, rows) + _APART)
            self.prior.copy_(log_odds(counts, rows))
            self.sizes.bias.copy_(torch.log((sizes + 0.5) / (sizes + 0.5).sum()))
            for number, vector in (names or {}).items():
                length = vector.norm()
                if length > 0:
                    self.label[number].copy_(vector / length)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        evidence = F.linear(self.norm(hidden).to(self.label.dtype), self.label, self.bias)
        logits = pooled(evidence, mask.bool(), self.prior)
        return logits, self.sizes(logits)


def log_odds(counts: Tensor, rows: int) -> Tensor:
    """log p/(1-p) of the labels' shares; a label never seen counts as half a sighting."""
    share = (counts.float() + 0.5) / (rows + 1.0)
    return torch.log(share / (1 - share))


def membership(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> Tensor:
    """(B, L) of 0 and 1: which labels stand in which set. Labels that are not known are left out."""
    place = {label: number for number, label in enumerate(labels)}
    table = torch.zeros(len(sets), len(labels))
    for row, members in enumerate(sets):
        for label in members:
            if label in place:
                table[row, place[label]] = 1.0
    return table


def shares(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """How often each label (L,) and each size (S,) occurs; S is the largest size, at least 1."""
    sizes = [max(1, len(set(members))) for members in sets]
    largest = max(sizes, default=1)
    return membership(sets, labels).sum(0), torch.bincount(torch.tensor(sizes) - 1, minlength=largest)
