"""Several processes that train one model: each has its rows, all have the same gradients.

Device and processes are accelerate's affair and stay in this file.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast, broadcast_object_list
from torch import Tensor

from terakoya.training.state import TrainState

# Other processes wait while the first one evaluates dev; torchrun itself ends them where one of them dies.
_LONGEST_WAIT = timedelta(days=1)
_alone: ContextVar[bool] = ContextVar("alone", default=False)


class _OneOfOne(Accelerator):  # type: ignore[misc]
    """One of several processes that trains by itself, as the first one does to calibrate or to refit."""

    num_processes = 1
    process_index = 0
    is_main_process = True


@contextmanager
def alone(value: bool = True) -> Iterator[None]:
    """Trainings within train by themselves, though torchrun started several processes.

    value  False: with the others again
    """
    before = _alone.set(value)
    try:
        yield
    finally:
        _alone.reset(before)


def make_accelerator(device: str, precision: str) -> Accelerator:
    """accelerate's view of this process: its device, and how many others there are.

    device     "cpu", or any other value for accelerate's choice
    precision  "no" or "bf16"
    """
    if AcceleratorState._shared_state:
        # accelerate keeps one state for a whole process; a second run with another device or precision would be
        # refused, or quietly take the first one's.
        AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    kind = _OneOfOne if _alone.get() else Accelerator
    wait = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    accelerator = kind(cpu=device == "cpu", mixed_precision=precision, kwargs_handlers=[wait])
    if accelerator.num_processes > 1:
        atexit.unregister(_destroy_process_group)  # of an earlier training in this process
        atexit.register(_destroy_process_group)
    return accelerator


def is_launched_as_one_of_several() -> bool:
    """Whether a launcher (torchrun, accelerate) has set where trainings of this process are to meet others."""
    return "MASTER_PORT" in os.environ and not _alone.get()


def _destroy_process_group() -> None:
    """gloo's threads, still running when Python ends, would abort it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def all_reduce_sum(accelerator: Accelerator, counts: Sequence[float]) -> list[float]:
    """Each count summed over all processes.

    accelerator  of this process
    counts       of this process
    """
    if accelerator.num_processes == 1:
        return [float(count) for count in counts]
    tensor = torch.tensor(counts, dtype=torch.float64, device=accelerator.device)
    found: list[float] = accelerator.reduce(tensor, "sum").tolist()
    return found


def broadcast_from_main(accelerator: Accelerator, values: Mapping[str, float]) -> Mapping[str, float]:
    """The first process's values, in all of them.

    accelerator  of this process
    values       by name; used in the first process only
    """
    found = [values]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    return found[0]


def broadcast_state(accelerator: Accelerator, state: TrainState | None) -> TrainState | None:
    """The first process's training state, in all of them; tensor by tensor, as all at once may not fit into memory.

    accelerator  of this process
    state        used in the first process only
    """
    if accelerator.num_processes == 1:
        return state
    tensors = dict(state.tensors) if state else {}
    about = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    shared: list[Any] = [(state.step, dict(state.facts), about) if state else None]
    broadcast_object_list(shared)
    if shared[0] is None:
        return None
    step, facts, about = shared[0]
    for name, (shape, dtype) in about.items():
        tensor = tensors[name] if name in tensors else torch.empty(shape, dtype=dtype)
        tensors[name] = broadcast(tensor.to(accelerator.device)).cpu()
    return TrainState(step, tensors, facts)


def all_reduce_gradients(accelerator: Accelerator, parameters: Sequence[Any], losses: Tensor) -> None:
    """Gradients and losses summed over all processes, in place.

    accelerator  of this process
    parameters   the same in all processes, in the same order
    losses       of this process
    """
    if accelerator.num_processes == 1:
        return
    losses.copy_(accelerator.reduce(losses, "sum"))
    for weight in parameters:
        if weight.grad is None:  # this process had no rows, or a part without use
            weight.grad = torch.zeros_like(weight)
    for bucket in _gradient_buckets(parameters):
        flat = accelerator.reduce(torch.cat([weight.grad.reshape(-1) for weight in bucket]), "sum")
        for weight, part in zip(bucket, flat.split([weight.numel() for weight in bucket]), strict=True):
            weight.grad.copy_(part.view_as(weight))


def _gradient_buckets(parameters: Sequence[Any], most: int = 1 << 24) -> Iterator[list[Any]]:
    """Weights in groups of about `most` values, so that sharing gradients takes little memory."""
    bucket: list[Any] = []
    for weight in parameters:
        bucket.append(weight)
        if sum(member.numel() for member in bucket) >= most:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
