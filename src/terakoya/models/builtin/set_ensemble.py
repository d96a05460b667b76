"""How the features of a text become scores of labels: a few small members that learn apart and answer together.

Every feature has shares over all labels (what it speaks for, if it speaks) and a worth (whether it speaks). The odds
that it gives a label are added up over the features of a text, with the label's own odds and those of its names: a
smooth maximum (log-sum-exp), so that a hundred words that mean nothing do not drown the one that does. One member
keeps the shares of every feature in a table of its own, which learns from a handful of sightings; two members make
them from short vectors of features and labels, which keeps what chance brought together apart. Their errors differ,
so the mean of their probabilities is better than each. Shapes: B rows, U features of a batch, V features, L labels,
S sizes, M members.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from terakoya.models.builtin.set_features import NAME_KINDS
from terakoya.models.set_head import Sizes

MEMBERS = (0, 64, 64, 64)  # width of the vectors; 0 keeps a table
_DROPPED = 0.2  # share of a row's features that a member with vectors does not see while training
_WORTH = -1.0  # log odds, shared among all labels, that a feature gives before anything is learnt
_LOYAL = 0.01  # what leaving it costs: squared, a row of training; most words mean nothing, and chance says otherwise
_SPREAD = 0.3
_SURE = 1e-7


def weights_of_feature(labels: int) -> int:
    """Weights that one more feature costs."""
    return sum((width or labels) + 1 for width in MEMBERS)


class Member(nn.Module):
    """bag (B, U), features (U,), names as places (3, N) of row, label, kind and weights (N,) → (B, L), (B, S)."""

    def __init__(self, features: int, labels: int, largest: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(features, width or labels))
        self.labels = nn.Parameter(torch.zeros(labels, width)) if width else None
        self.worth = nn.Parameter(torch.zeros(features, 1))
        self.prior = nn.Parameter(torch.zeros(labels))
        self.names = nn.Parameter(torch.zeros(NAME_KINDS))
        self.sizes = Sizes(labels, largest)

    def begin(self, chance: torch.Generator, prior: Tensor, sizes: Tensor) -> None:
        with torch.no_grad():
            self.worth.fill_(_WORTH)
            self.prior.copy_(prior)
            self.sizes.bias.copy_(torch.log(sizes / sizes.sum()))
            if self.labels is not None:
                self.table.normal_(0, _SPREAD, generator=chance)
                self.labels.normal_(0, _SPREAD, generator=chance)

    def forward(self, bag: Tensor, features: Tensor, places: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.table.index_select(0, features)
        if self.labels is not None:
            rows = F.linear(rows, self.labels)
            if self.training:
                bag = bag * (torch.rand_like(bag) >= _DROPPED)
        speaks = torch.log_softmax(rows, dim=1) + self.worth.index_select(0, features)
        odds = self.prior.exp() + bag @ speaks.exp()
        row, label, kind = places
        odds = odds.index_put((row, label), weights * self.names.exp()[kind], accumulate=True)
        logits = odds.log()
        return logits, self.sizes(logits)


class Evidence(nn.Module):
    """All members: while training one after the other (M·B rows), else the mean of their probabilities (B rows)."""

    def __init__(self, features: int, labels: int, largest: int) -> None:
        super().__init__()
        self.largest = largest
        self.table_share = 1 / len(MEMBERS)  # of the mean over members, that the table gives
        self.members = nn.ModuleList(Member(features, labels, largest, min(width, labels)) for width in MEMBERS)

    def begin(self, seed: int, prior: Tensor, sizes: Tensor) -> None:
        """First weights, drawn from the seed alone; prior (L,) in log odds, sizes (S,) how often each occurs."""
        chance = torch.Generator().manual_seed(seed)
        for member in self.members:
            assert isinstance(member, Member)
            member.begin(chance, prior, sizes)

    def forward(self, bag: Tensor, features: Tensor, places: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        found = [member(bag, features, places, weights) for member in self.members]
        logits, sizes = (torch.stack(parts) for parts in zip(*found, strict=True))
        if self.training:
            return logits.flatten(0, 1), sizes.flatten(0, 1)
        shares = logits.new_full((len(found), 1, 1), (1 - self.table_share) / (len(found) - 1))
        shares[0] = self.table_share
        chances = (torch.sigmoid(logits) * shares).sum(0).clamp(_SURE, 1 - _SURE)
        return torch.logit(chances), torch.log((torch.softmax(sizes, dim=2) * shares).sum(0))

    def penalty(self, rows: int) -> Tensor:
        """What the features' worths cost for leaving their beginning: a Gaussian prior, by the rows that speak against
        it."""
        left = [(member.worth - _WORTH).square().sum() for member in self.members if isinstance(member, Member)]
        return _LOYAL / rows * torch.stack(left).sum()
