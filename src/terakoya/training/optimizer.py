"""What turns gradients into weights: AdamW in one fused kernel, and Muon for the matrices of small models.

Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon; at scale: Liu et al., 2025, arXiv:2502.16982) replaces the
step of a weight matrix by the nearest matrix whose directions all have the same length. It needs far fewer examples
here: at equal CPU time a model of 245 thousand weights reached .83 on numerals, with AdamW .44 (docs/log.md).
Embeddings, places, norms and biases are no such matrices and stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from terakoya.config import TrainConfig

# Muon's rate for each unit of AdamW's: a step of equal length in all directions is longer than Adam's is felt to be.
MUON_RATIO = 5.0
_MOMENTUM = 0.95
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, then an orthogonal step, longer for high matrices. Matrices of one shape are worked on in one batch,
    which a CPU needs. (Query, key and value as three matrices instead of the one they lie in: no better, tried.)"""

    def __init__(self, matrices: Sequence[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in alike.items():
                steps = orthogonal(torch.stack([self._pushed(matrix) for matrix in matrices]))
                length = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, step in zip(matrices, steps.unbind(), strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-length)
        return None

    def _pushed(self, matrix: Tensor) -> Tensor:
        """Nesterov momentum."""
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"]
        assert matrix.grad is not None
        momentum.mul_(_MOMENTUM).add_(matrix.grad)
        return matrix.grad.add(momentum, alpha=_MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, m, n) → the same directions with lengths near 1, by Newton-Schulz rounds that need products only."""
    first, third, fifth = _POLYNOMIAL
    high = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if high else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=third, alpha=fifth), x, beta=first)
    return x.transpose(1, 2) if high else x


def optimizers(module: nn.Module, weights: Mapping[str, nn.Parameter], config: TrainConfig) -> list[Any]:
    """The optimizers of a config; every weight belongs to one of them. Norms and biases do not decay."""
    rate, decay = float(config.learning_rate), float(config.weight_decay)
    matrices = _matrices(module) if config.optimizer == "muon" else set()
    chosen = [weight for weight in weights.values() if id(weight) in matrices]
    rest = [weight for weight in weights.values() if id(weight) not in matrices]
    groups = [
        {"params": [weight for weight in rest if weight.dim() >= 2], "weight_decay": decay},
        {"params": [weight for weight in rest if weight.dim() < 2], "weight_decay": 0.0},
    ]
    made: list[Any] = []
    if rest:
        made.append(
            torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, betas=config.betas, fused=True)
        )
    if chosen:
        made.append(Muon(chosen, lr=rate * MUON_RATIO, weight_decay=decay))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


def _matrices(module: nn.Module) -> set[int]:
    """Weights of linear layers that are no embedding at the same time."""
    embeddings = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    linear = {id(part.weight) for part in module.modules() if isinstance(part, nn.Linear)}
    return linear - embeddings
