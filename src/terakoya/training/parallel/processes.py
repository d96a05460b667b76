"""Several processes that teach one model: each has its rows, all have the same gradients.

Device and processes are accelerate's affair and stay in this file.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor


def accelerator(device: str, precision: str) -> Accelerator:
    """accelerate's view of this process: its device, and how many others there are."""
    if AcceleratorState._shared_state:
        # accelerate keeps one state for a whole process; a second run with another device or precision would be
        # refused, or quietly take the first one's.
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    made = Accelerator(cpu=device == "cpu", mixed_precision=precision)
    if made.num_processes > 1:
        atexit.unregister(_part)  # of an earlier training in this process
        atexit.register(_part)
    return made


def _part() -> None:
    """Processes that worked together part in order: gloo's threads, still running when Python ends, abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def summed(among: Accelerator, counts: Sequence[float]) -> list[float]:
    """Each count summed over all processes."""
    if among.num_processes == 1:
        return [float(count) for count in counts]
    tensor = torch.tensor(counts, dtype=torch.float64, device=among.device)
    found: list[float] = among.reduce(tensor, "sum").tolist()
    return found


def told(among: Accelerator, figures: Mapping[str, float]) -> Mapping[str, float]:
    """The first process's figures, in all of them."""
    found = [figures]
    if among.num_processes > 1:
        broadcast_object_list(found)
    return found[0]


def share_gradients(among: Accelerator, parameters: Sequence[Any], losses: Tensor) -> None:
    """Gradients and losses of all processes summed, in place."""
    if among.num_processes == 1:
        return
    losses.copy_(among.reduce(losses, "sum"))
    for weight in parameters:
        if weight.grad is None:  # this process had no rows, or a part without use
            weight.grad = torch.zeros_like(weight)
    for group in _grouped(parameters):
        flat = among.reduce(torch.cat([weight.grad.reshape(-1) for weight in group]), "sum")
        for weight, part in zip(group, flat.split([weight.numel() for weight in group]), strict=True):
            weight.grad.copy_(part.view_as(weight))


def _grouped(parameters: Sequence[Any], most: int = 1 << 24) -> Iterator[list[Any]]:
    """Weights in groups of about `most` numbers, so that sharing gradients needs little room."""
    group: list[Any] = []
    for weight in parameters:
        group.append(weight)
        if sum(member.numel() for member in group) >= most:
            yield group
            group = []
    if group:
        yield group
