"""A set head: one logit for each label, pooled over tokens, and logits for the size of the set.

Each token gives every label log odds; the logit of a label is the smooth maximum (log-sum-exp) of these and of its
prior. One token that means a label is enough, and a hundred tokens that mean nothing do not dilute it, as a mean over
tokens would. Shapes: B rows, T tokens, H hidden width, L labels, S largest set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TOP = 8  # highest label probabilities from which the size of the set is predicted
_INITIAL_OFFSET = -4.0  # of a token's log odds from the log odds of the label's share, before training


def pool_evidence(evidence: Tensor, mask: Tensor, prior: Tensor) -> Tensor:
    """Label logits (B, L): the log-sum-exp of the log odds of all tokens and of the prior.

    evidence  (B, T, L) log odds of each label by each token
    mask      (B, T), true where a token stands
    prior     (L,) log odds of each label without any token
    """
    real = evidence.masked_fill(~mask[..., None], -math.inf)
    return torch.logaddexp(torch.logsumexp(real, dim=1), prior.expand(len(evidence), -1))


class SizeHead(nn.Module):
    """Logits of the set sizes 1..S from the labels' own probabilities, by a linear layer.

    labels   number of labels
    largest  S
    """

    def __init__(self, labels: int, largest: int) -> None:
        super().__init__()
        self.top = min(_TOP, labels)
        self.weight = nn.Parameter(torch.zeros(largest, self.top + 2))
        self.bias = nn.Parameter(torch.zeros(largest))

    def forward(self, logits: Tensor) -> Tensor:
        """Size logits (B, S) for label logits (B, L)."""
        # Detached: label logits are trained on labels, not on the size of the set.
        probabilities = torch.sigmoid(logits.detach().float())
        total = probabilities.sum(1, keepdim=True)
        top = probabilities.topk(self.top, dim=1).values
        return F.linear(torch.cat((top, total / 3, total.clamp(min=1e-6).log()), dim=1), self.weight, self.bias)


class SetHead(nn.Module):
    """A set head on any encoder or decoder. Labels are predicted independently of order, all at once.

    width    H of the hidden states
    labels   number of labels
    largest  size of the largest set
    """

    def __init__(self, width: int, labels: int, largest: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.label = nn.Parameter(torch.empty(labels, width))
        self.bias = nn.Parameter(torch.full((labels,), _INITIAL_OFFSET))
        self.prior = nn.Parameter(torch.zeros(labels))
        self.sizes = SizeHead(labels, largest)

    def initialise(
        self, seed: int, counts: Tensor, rows: int, sizes: Tensor, names: Mapping[int, Tensor] | None = None
    ) -> None:
        """Initial weights, which depend on the seed alone, and priors from the training data.

        seed    of the generator
        counts  (L,) occurrences of each label in the training rows
        rows    number of training rows
        sizes   (S,) occurrences of each set size
        names   label index → vector (H,) of the meaning of its name, for instance the mean of its tokens' embeddings;
                None for random vectors
        """
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.norm.weight.fill_(1.0)
            self.norm.bias.zero_()
            random = torch.empty(self.label.shape).normal_(0, self.label.shape[1] ** -0.5, generator=rng)
            self.label.copy_(random)
            self.bias.copy_(log_odds(counts, rows) + _INITIAL_OFFSET)
            self.prior.copy_(log_odds(counts, rows))
            self.sizes.bias.copy_(torch.log((sizes + 0.5) / (sizes + 0.5).sum()))
            for index, vector in (names or {}).items():
                length = vector.norm()
                if length > 0:
                    self.label[index].copy_(vector / length)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Label logits (B, L) and size logits (B, S).

        hidden  (B, T, H) hidden states
        mask    (B, T), 1 where a token stands
        """
        evidence = F.linear(self.norm(hidden).to(self.label.dtype), self.label, self.bias)
        logits = pool_evidence(evidence, mask.bool(), self.prior)
        return logits, self.sizes(logits)


def log_odds(counts: Tensor, rows: int) -> Tensor:
    """(L,) log p/(1-p) of each label's share of the rows; a label that never occurs counts as half an occurrence.

    counts  (L,) occurrences of each label
    rows    number of rows
    """
    share = (counts.float() + 0.5) / (rows + 1.0)
    return torch.log(share / (1 - share))


def membership(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> Tensor:
    """(B, L) of 0.0 and 1.0: which of `labels` stand in which of `sets`. Unknown labels are left out."""
    index_of = {label: index for index, label in enumerate(labels)}
    table = torch.zeros(len(sets), len(labels))
    for row, members in enumerate(sets):
        for label in members:
            if label in index_of:
                table[row, index_of[label]] = 1.0
    return table


def label_and_size_counts(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """How often each of `labels` (L,) and each set size (S,) occurs in `sets`; S is the largest size, at least 1."""
    sizes = [max(1, len(set(members))) for members in sets]
    largest = max(sizes, default=1)
    return membership(sets, labels).sum(0), torch.bincount(torch.tensor(sizes) - 1, minlength=largest)
