"""Losses of set heads only: a mean over rows of the losses of all labels of a row, plus that of the set's size.

None of them depends on the order of labels. Shapes: logits and targets (B, L), size logits (B, S) for sizes 1 to S.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.models.protocol import Outputs

_MAX_LOGIT = 15.0  # beyond it the polynomials of a set's odds would overflow


def size_loss(outputs: Outputs) -> Tensor:
    """Cross-entropy of the number of labels.

    outputs  of a set head
    """
    assert outputs.sizes is not None
    count = outputs.targets.sum(1).long().clamp(1, outputs.sizes.shape[1]) - 1
    return F.cross_entropy(outputs.sizes, count)


def reduce(outputs: Outputs, losses: Tensor) -> Tensor:
    """The loss of a batch from the losses of its labels.

    outputs  of a set head
    losses   (B, L), of every label of every row
    """
    return losses.sum(1).mean() + size_loss(outputs)


def binary_cross_entropy(outputs: Outputs, smoothing: float = 0.0) -> Tensor:
    """Every label as a decision of its own, with label smoothing (Szegedy et al., 2016, arXiv:1512.00567).

    outputs    of a set head
    smoothing  share by which targets move towards even odds
    """
    targets = outputs.targets * (1 - smoothing) + smoothing / 2 if smoothing else outputs.targets
    return reduce(outputs, F.binary_cross_entropy_with_logits(outputs.logits, targets, reduction="none"))


def conditional_bernoulli(outputs: Outputs) -> Tensor:
    """Negative log-likelihood of a set: of its size, and of these labels among all sets of that size (conditional
    Bernoulli; Chen & Liu, 1997, Statistica Sinica 7). It is the distribution that decoding assumes.

    outputs  of a set head
    """
    odds = outputs.logits.clamp(max=_MAX_LOGIT)
    count = outputs.targets.sum(1).long()
    # Odds are scaled by their largest, which changes no ratio and keeps the products small.
    top = odds.detach().amax(1, keepdim=True)
    normaliser = elementary_symmetric((odds - top).exp(), int(count.max()))
    chosen = ((odds - top) * outputs.targets).sum(1)
    among = chosen - normaliser.gather(1, count[:, None])[:, 0].clamp(min=1e-30).log()
    return size_loss(outputs) - among.mean()


def elementary_symmetric(odds: Tensor, degree: int) -> Tensor:
    """Elementary symmetric polynomials, by a tree of polynomial products over ever larger groups.

    odds    (B, L)
    degree  the highest one
    Returns (B, degree + 1).
    """
    parts = torch.stack((torch.ones_like(odds), odds), dim=2)
    while parts.shape[1] > 1:
        if parts.shape[1] % 2:
            parts = F.pad(parts, (0, 0, 0, 1))
            one = torch.zeros_like(parts)
            one[:, -1, 0] = 1.0
            parts = parts + one
        parts = _multiply_polynomials(parts[:, 0::2], parts[:, 1::2], degree)
    return F.pad(parts[:, 0], (0, degree + 1 - parts.shape[2]))


def _multiply_polynomials(left: Tensor, right: Tensor, degree: int) -> Tensor:
    """Products of polynomials (B, G, D) pair by pair, truncated after `degree`."""
    width = left.shape[2]
    found = []
    for power in range(min(degree, 2 * width - 2) + 1):
        low, high = max(0, power - width + 1), min(power, width - 1)
        found.append(sum((left[..., n] * right[..., power - n] for n in range(low, high + 1)), torch.zeros(())))
    return torch.stack(found, dim=2)
