"""What turns gradients into weights: AdamW in one fused kernel, and Muon for the matrices of small models.

Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon; at scale: Liu et al., 2025, arXiv:2502.16982) replaces the
update of a weight matrix by the nearest orthogonal matrix. It needs far fewer examples
here: at equal CPU time a model of 245 thousand weights reached .83 on numerals, with AdamW .44 (docs/log.md).
Embeddings of tokens and positions, norms and biases are no such matrices and stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from terakoya.config import TrainConfig

# Muon's learning rate over AdamW's: at the same rate an orthogonal update is shorter than one of Adam's.
MUON_RATIO = 5.0
_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then an orthogonal update, longer for matrices with more rows than columns.

    Matrices of one shape are computed in one batch, which a CPU needs. (Query, key and value as three matrices instead
    of the one that holds them: no better, tried.)

    matrices      the weights, each of two dimensions
    lr            learning rate
    weight_decay  decoupled, as in AdamW
    """

    def __init__(self, matrices: Sequence[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the matrices in place; `closure` is ignored."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in alike.items():
                steps = orthogonalize(torch.stack([self._momentum_update(matrix) for matrix in matrices]))
                length = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, step in zip(matrices, steps.unbind(), strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-length)
        return None

    def _momentum_update(self, matrix: Tensor) -> Tensor:
        """Nesterov momentum."""
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"]
        assert matrix.grad is not None
        momentum.mul_(_MOMENTUM).add_(matrix.grad)
        return matrix.grad.add(momentum, alpha=_MOMENTUM)


def orthogonalize(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, by five Newton-Schulz iterations, which need matmuls only.

    matrices  (N, m, n)
    Returns (N, m, n): the same singular vectors, with singular values near 1.
    """
    first, third, fifth = _NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        square = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=third, alpha=fifth), x, beta=first)
    return x.transpose(1, 2) if tall else x


def make_optimizers(module: nn.Module, weights: Mapping[str, nn.Parameter], config: TrainConfig) -> list[Any]:
    """The optimizers of a config; every weight belongs to one of them. Norms and biases do not decay.

    module   tells matrices of linear layers from embeddings
    weights  that are trained, by name
    config   the `train` section, resolved
    """
    rate, decay = float(config.learning_rate), float(config.weight_decay)
    matrices = _matrix_ids(module) if config.optimizer == "muon" else set()
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


def _matrix_ids(module: nn.Module) -> set[int]:
    """Ids of the weights of linear layers that are not embeddings at the same time."""
    embeddings = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    linear = {id(part.weight) for part in module.modules() if isinstance(part, nn.Linear)}
    return linear - embeddings
