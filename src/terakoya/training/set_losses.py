"""Losses for sets of labels: a mean over rows of what all labels of a row cost together, and of the set's size.

All of them are blind to the order of labels. Different ones have different scales: `losses.plain` is logged beside
every one of them. Shapes: logits and targets (B, L), sizes (B, S).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.models.protocol import Outputs

_LARGEST = 15.0  # logits beyond would overflow the products of a set's odds


def size(outputs: Outputs) -> Tensor:
    """Cross entropy of the number of labels."""
    assert outputs.sizes is not None
    count = outputs.targets.sum(1).long().clamp(1, outputs.sizes.shape[1]) - 1
    return F.cross_entropy(outputs.sizes, count)


def independent(outputs: Outputs, smoothing: float = 0.0) -> Tensor:
    """Every label's yes or no. Smoothing moves it towards even odds (Szegedy et al., 2016, arXiv:1512.00567)."""
    targets = outputs.targets * (1 - smoothing) + smoothing / 2 if smoothing else outputs.targets
    losses = F.binary_cross_entropy_with_logits(outputs.logits, targets, reduction="none")
    return losses.sum(1).mean() + size(outputs)


def focal(outputs: Outputs, gamma: float = 2.0) -> Tensor:
    """A yes or no that is already sure counts less: (1 - p)^gamma · -log p (Lin et al., 2017, arXiv:1708.02002)."""
    losses = F.binary_cross_entropy_with_logits(outputs.logits, outputs.targets, reduction="none")
    return ((1 - torch.exp(-losses)) ** gamma * losses).sum(1).mean() + size(outputs)


def class_balanced(outputs: Outputs, weights: Tensor) -> Tensor:
    """Rare labels count more (Cui et al., 2019, arXiv:1901.05555); `weights` (L,), scaled so that the labels of the
    batch weigh 1 on average and the learning rate keeps its meaning."""
    losses = F.binary_cross_entropy_with_logits(outputs.logits, outputs.targets, reduction="none")
    present = (outputs.targets * weights).sum() / outputs.targets.sum().clamp(min=1.0)
    return (losses * weights / present).sum(1).mean() + size(outputs)


def likelihood(outputs: Outputs) -> Tensor:
    """-log P(set): of its size, and of these labels among all sets of that size (conditional Bernoulli; Chen & Liu,
    1997, Statistica Sinica 7). Invariant to order, and exactly what decoding believes."""
    odds = outputs.logits.clamp(max=_LARGEST)
    count = outputs.targets.sum(1).long()
    # Odds are scaled by their largest, which changes neither side's ratio and keeps the products small.
    top = odds.detach().amax(1, keepdim=True)
    whole = symmetric((odds - top).exp(), int(count.max()))
    chosen = ((odds - top) * outputs.targets).sum(1)
    among = chosen - whole.gather(1, count[:, None])[:, 0].clamp(min=1e-30).log()
    return size(outputs) - among.mean()


def symmetric(odds: Tensor, degree: int) -> Tensor:
    """Elementary symmetric polynomials (B, degree + 1) of odds (B, L), by halving: products of ever larger groups."""
    parts = torch.stack((torch.ones_like(odds), odds), dim=2)
    while parts.shape[1] > 1:
        if parts.shape[1] % 2:
            parts = F.pad(parts, (0, 0, 0, 1))
            one = torch.zeros_like(parts)
            one[:, -1, 0] = 1.0
            parts = parts + one
        parts = _product(parts[:, 0::2], parts[:, 1::2], degree)
    return F.pad(parts[:, 0], (0, degree + 1 - parts.shape[2]))


def _product(left: Tensor, right: Tensor, degree: int) -> Tensor:
    """Products of polynomials (B, G, D) pair by pair, cut after `degree`."""
    width = left.shape[2]
    found = []
    for power in range(min(degree, 2 * width - 2) + 1):
        low, high = max(0, power - width + 1), min(power, width - 1)
        found.append(sum((left[..., n] * right[..., power - n] for n in range(low, high + 1)), torch.zeros(())))
    return torch.stack(found, dim=2)
