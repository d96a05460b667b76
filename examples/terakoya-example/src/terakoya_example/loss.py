"""A loss: a function from what the model put out to a tensor of shape ()."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from terakoya.models.protocol import Outputs

_EPSILON = 1.0


def poly1(outputs: Outputs) -> Tensor:
    """Poly-1 cross-entropy: -log p + ε (1 - p) of each target token (Leng et al., 2022, arXiv:2204.12511).

    outputs  logits (N, V) and targets (N,)
    """
    losses = F.cross_entropy(outputs.logits, outputs.targets, reduction="none")
    return (losses + _EPSILON * (1 - torch.exp(-losses))).mean()
