"""What a resumed training needs to end in the same bits: tensors by name and plain facts.

`tensors` goes into a safetensors file, `facts` into JSON. Only weights that are trained are kept. Rows and dropout need
nothing: both are functions of seed and step number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from terakoya.errors import IncompatibleError
from terakoya.i18n import _


@dataclass(frozen=True)
class TrainState:
    """A training after some of its steps.

    step     steps done
    tensors  by name: "weights/NAME", "average/NAME", "best/NAME", "optimizer/FIELD/NAME"
    facts    the rest, as JSON can carry it
    """

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """Copies of an optimizer's state, as "optimizer/FIELD/NAME".

    optimizer  whose every state is a tensor
    names      the name of every weight
    """
    return {
        f"optimizer/{field}/{names[parameter]}": value.detach().cpu().clone()
        for parameter, fields in optimizer.state.items()
        for field, value in fields.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], tensors: Mapping[str, Tensor]
) -> None:
    """Put a checkpoint's optimizer state back.

    optimizer  of the same weights
    names      the name of every weight
    tensors    the checkpoint's
    """
    for parameter in [weight for group in optimizer.param_groups for weight in group["params"]]:
        # Counters stay where AdamW's fused kernel wants them: beside the weights, as float32.
        optimizer.state[parameter] = {
            key.split("/", 2)[1]: value.to(parameter.device, copy=True)
            for key, value in tensors.items()
            if key.startswith("optimizer/") and key.split("/", 2)[2] == names[parameter]
        }


def prefixed_copies(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of weights on the processor, as "PREFIX/NAME".

    prefix   what they are, such as "weights" or "best"
    weights  by name
    """
    return {f"{prefix}/{name}": weight.detach().cpu().clone() for name, weight in weights.items()}


def restore_weights(prefix: str, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy a checkpoint's tensors into weights, in place.

    prefix   of their names in the checkpoint
    weights  by name
    tensors  the checkpoint's
    Raises IncompatibleError where a weight is missing or has another shape.
    """
    with torch.no_grad():
        for name, weight in weights.items():
            found = tensors.get(f"{prefix}/{name}")
            if found is None or found.shape != weight.shape:
                raise IncompatibleError(
                    _("the checkpoint does not fit the model (weight {name})", name=name),
                    do=_("Resume with the config that the checkpoint was made with, or start a new run."),
                )
            weight.copy_(found)
