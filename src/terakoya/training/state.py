"""What a training must remember to go on with the same bits: tensors by name and plain facts.

`tensors` goes into a safetensors file, `facts` into JSON. Only weights that are trained are kept. Rows and dropout
need no memory: both are functions of seed and step number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from terakoya.errors import IncompatibleError
from terakoya.i18n import both


@dataclass(frozen=True)
class TrainState:
    """After `step` steps. Names: "weights/NAME", "average/NAME", "best/NAME", "optimizer/FIELD/NAME"."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    return {
        f"optimizer/{field}/{names[parameter]}": value.detach().cpu().clone()
        for parameter, fields in optimizer.state.items()
        for field, value in fields.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], tensors: Mapping[str, Tensor]
) -> None:
    for parameter in [weight for group in optimizer.param_groups for weight in group["params"]]:
        # Counters stay where AdamW's fused kernel wants them: beside the weights, as float32.
        optimizer.state[parameter] = {
            key.split("/", 2)[1]: value.to(parameter.device, copy=True)
            for key, value in tensors.items()
            if key.startswith("optimizer/") and key.split("/", 2)[2] == names[parameter]
        }


def named(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": weight.detach().cpu().clone() for name, weight in weights.items()}


def restore(prefix: str, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy the tensors named "prefix/…" into these weights; names and shapes must agree."""
    with torch.no_grad():
        for name, weight in weights.items():
            found = tensors.get(f"{prefix}/{name}")
            if found is None or found.shape != weight.shape:
                raise IncompatibleError(
                    both(
                        f"the checkpoint does not fit the model (weight {name})",
                        f"チェックポイントがモデルに合わない（重み {name}）",
                    ),
                    do=both(
                        "Go on with the config that the checkpoint was made with, or begin anew.",
                        "チェックポイントを作ったときの設定で続けるか、新しく始めること。",
                    ),
                )
            weight.copy_(found)
