"""From the features of a text to label logits: an ensemble of small additive models, trained independently.

Every feature has a distribution over labels (what it indicates, if anything) and a weight (whether it indicates
anything). The odds that the features of a text give a label are added up, with the label's prior odds and those of its
names: a smooth maximum (log-sum-exp), so that a hundred uninformative words do not dilute an informative one. One
member keeps the distribution of every feature in a table of its own, which learns from few occurrences; the others
factorise it into short vectors of features and labels, which separates features that occurred together by coincidence.
Their errors differ, so the mean of their probabilities is better than each. Shapes: B rows, U distinct features of a
batch, V features, L labels, S sizes, M members, N occurrences of label names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from terakoya.models.builtin.set_description import MEMBERS
from terakoya.models.builtin.set_features import NAME_KINDS
from terakoya.models.set_head import SizeHead

_FEATURE_DROPOUT = 0.2  # share of a row's features that a factorised member does not see while training
_INITIAL_WEIGHT = -1.0  # log odds, shared among all labels, that a feature gives before training
_WEIGHT_DECAY = 0.01  # towards the initial weight, per row of training: most words are uninformative
_INITIAL_DEVIATION = 0.3  # of the factors
_TINY = 1e-7


class EnsembleMember(nn.Module):
    """One additive model.

    features  V
    labels    L
    largest   S
    width     of the vectors of features and labels; 0 for a table of features × labels
    """

    def __init__(self, features: int, labels: int, largest: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(features, width or labels))
        self.labels = nn.Parameter(torch.zeros(labels, width)) if width else None
        self.worth = nn.Parameter(torch.zeros(features, 1))  # the weight of each feature; saved under this name
        self.prior = nn.Parameter(torch.zeros(labels))
        self.names = nn.Parameter(torch.zeros(NAME_KINDS))
        self.sizes = SizeHead(labels, largest)

    def initialise(self, rng: torch.Generator, prior: Tensor, sizes: Tensor) -> None:
        """Initial weights.

        rng    draws the factors
        prior  (L,) log odds of each label
        sizes  (S,) occurrences of each set size
        """
        with torch.no_grad():
            self.worth.fill_(_INITIAL_WEIGHT)
            self.prior.copy_(prior)
            self.sizes.bias.copy_(torch.log(sizes / sizes.sum()))
            if self.labels is not None:
                self.table.normal_(0, _INITIAL_DEVIATION, generator=rng)
                self.labels.normal_(0, _INITIAL_DEVIATION, generator=rng)

    def forward(
        self,
        bag: Tensor,
        features: Tensor,
        name_indices: Tensor,
        name_weights: Tensor,
        among: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Label logits (B, L) and size logits (B, S).

        bag           (B, U), 1.0 where the row has the feature
        features      (U,) indices of these features
        name_indices  (3, N) row, label and kind of each label name that stands in a text
        name_weights  (N,) weight of each
        among         which rows of a larger batch these are: dropout is drawn for all of it, so that it does not depend
                      on how the batch is shared among processes. None: the batch is whole
        """
        rows = self.table.index_select(0, features)
        if self.labels is not None:
            rows = F.linear(rows, self.labels)
            if self.training:
                whole = bag if among is None else bag.new_empty(len(among), bag.shape[1])
                drawn = torch.rand_like(whole)
                bag = bag * ((drawn if among is None else drawn[among]) >= _FEATURE_DROPOUT)
        feature_logits = torch.log_softmax(rows, dim=1) + self.worth.index_select(0, features)
        odds = self.prior.exp() + bag @ feature_logits.exp()
        row, label, kind = name_indices
        odds = odds.index_put((row, label), name_weights * self.names.exp()[kind], accumulate=True)
        logits = odds.log()
        return logits, self.sizes(logits)


class SetEnsemble(nn.Module):
    """All members.

    features  V
    labels    L
    largest   S
    """

    def __init__(self, features: int, labels: int, largest: int) -> None:
        super().__init__()
        self.largest = largest
        self.table_share = 1 / len(MEMBERS)  # weight of the table in the mean over members
        self.members = nn.ModuleList(EnsembleMember(features, labels, largest, min(width, labels)) for width in MEMBERS)

    def initialise(self, seed: int, prior: Tensor, sizes: Tensor) -> None:
        """Initial weights, which depend on the seed alone.

        seed   of the generator
        prior  (L,) log odds of each label
        sizes  (S,) occurrences of each set size
        """
        rng = torch.Generator().manual_seed(seed)
        for member in self.members:
            assert isinstance(member, EnsembleMember)
            member.initialise(rng, prior, sizes)

    def forward(
        self,
        bag: Tensor,
        features: Tensor,
        name_indices: Tensor,
        name_weights: Tensor,
        among: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Label logits and size logits: while training those of each member, one member after the other, (M·B, L) and
        (M·B, S); else those of the weighted mean of their probabilities, (B, L) and (B, S).

        bag, features, name_indices, name_weights, among  as for `EnsembleMember.forward`
        """
        outputs = [member(bag, features, name_indices, name_weights, among) for member in self.members]
        logits, sizes = (torch.stack(parts) for parts in zip(*outputs, strict=True))
        if self.training:
            return logits.flatten(0, 1), sizes.flatten(0, 1)
        shares = logits.new_full((len(outputs), 1, 1), (1 - self.table_share) / (len(outputs) - 1))
        shares[0] = self.table_share
        probabilities = (torch.sigmoid(logits) * shares).sum(0).clamp(_TINY, 1 - _TINY)
        return torch.logit(probabilities), torch.log((torch.softmax(sizes, dim=2) * shares).sum(0))

    def penalty(self, rows: int) -> Tensor:
        """() the regularisation loss of the feature weights: a Gaussian prior around their initial value.

        rows  number of training rows, over which the loss is a mean
        """
        deviations = [
            (member.worth - _INITIAL_WEIGHT).square().sum()
            for member in self.members
            if isinstance(member, EnsembleMember)
        ]
        return _WEIGHT_DECAY / rows * torch.stack(deviations).sum()
