"""Data parallelism within one process: a thread for each part of a step's rows, shared weights, separate gradients.

A second thread inside one matmul finds nothing to do where matrices are small; a second half of the batch does
(docs/log.md). Gradients are added in the order of the replicas, so the bits of a training do not depend on which thread
was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor

from terakoya.models.protocol import Model

Part = TypeVar("Part")
Result = TypeVar("Result")


class Replicable(Protocol):
    """A model that can be had a second time, with the same weights and gradients of its own."""

    def shared_weight_replica(self) -> Model | None:
        """None where its passes cannot run side by side (dropout draws from one generator)."""
        ...


class Replicas:
    """The model and up to `count` - 1 shared-weight replicas of it.

    model  the model whose gradients are wanted; those that cannot be replicated stay alone
    count  wanted, the model included; 1 on a GPU, which does one thing at a time
    """

    def __init__(self, model: Model, count: int) -> None:
        replicas: list[Model] = []
        while len(replicas) < count - 1 and (replica := _make_replica(model)) is not None:
            replica.module.train()
            replicas.append(replica)
        self.models = (model, *replicas)
        self._pool = ThreadPoolExecutor(len(replicas), "replica") if replicas else None

    def map(self, parts: Sequence[Part], work: Callable[[Model, Part], Result]) -> list[Result]:
        """Results in the order of the parts; part i by replica i modulo their number. `reduce_gradients` is to follow.

        parts  of a step's rows
        work   called as work(model, part), at the same time in several threads
        The first exception that a replica raises is raised after all have ended.
        """
        count = len(self.models)

        def run(replica: int) -> list[Result]:
            return [work(self.models[replica], part) for part in parts[replica::count]]

        if self._pool is None or len(parts) < 2:
            return run(0) if self._pool is None else [work(self.models[0], part) for part in parts]
        elsewhere: list[Future[list[Result]]] = [self._pool.submit(run, replica) for replica in range(1, count)]
        try:
            done = [run(0)]
        finally:
            failed = [future.exception() for future in elsewhere]  # waits
        for error in failed:
            if error is not None:
                raise error
        done += [future.result() for future in elsewhere]
        return [done[index % count][index // count] for index in range(len(parts))]

    def reduce_gradients(self) -> None:
        """Adds the replicas' gradients to the model's own and clears them in the replicas."""
        if len(self.models) == 1:
            return
        own = [weight for _, weight in self.models[0].parameters_to_train()]
        for replica in self.models[1:]:
            added: list[Tensor] = []
            to: list[Tensor] = []
            for weight, (_, other) in zip(own, replica.parameters_to_train(), strict=True):
                if other.grad is None:
                    continue
                if weight.grad is None:
                    weight.grad = other.grad
                else:
                    to.append(weight.grad)
                    added.append(other.grad)
                other.grad = None
            if to:
                torch._foreach_add_(to, added)

    def clear_gradients(self) -> None:
        """No gradients anywhere, after a step that failed."""
        for model in self.models:
            for _, weight in model.parameters_to_train():
                weight.grad = None

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _make_replica(model: Model) -> Model | None:
    return cast("Replicable", model).shared_weight_replica() if hasattr(model, "shared_weight_replica") else None
