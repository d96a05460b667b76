"""Parts of a step's rows worked on at the same time: a thread for each, the weights in common, the gradients apart.

A second thread inside one product finds nothing to do where matrices are small; a second half of the batch does
(docs/log.md). This is data parallelism within one process: nothing is sent anywhere, and gradients are added in the
order of the replicas, so the bits of a training do not depend on which thread was faster.
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


class Twinned(Protocol):
    """A model that has a second face: the same weights, gradients of its own."""

    def twin(self) -> Model | None:
        """None where its passes cannot run side by side (dropout draws from one generator)."""
        ...


class Replicas:
    """The model and `count` - 1 twins of it; fewer where the model has none.

    A model on a GPU is never twinned by the engine: one device does one thing at a time.
    """

    def __init__(self, model: Model, count: int) -> None:
        twins: list[Model] = []
        while len(twins) < count - 1 and (twin := _twin(model)) is not None:
            twin.module.train()
            twins.append(twin)
        self.models = (model, *twins)
        self._pool = ThreadPoolExecutor(len(twins), "replica") if twins else None

    def over(self, parts: Sequence[Part], work: Callable[[Model, Part], Result]) -> list[Result]:
        """Results in the order of the parts; part i by replica i modulo their number. `gather` is to follow.

        What the first of them raises is raised, after all have ended.
        """
        count = len(self.models)

        def share(replica: int) -> list[Result]:
            return [work(self.models[replica], part) for part in parts[replica::count]]

        if self._pool is None or len(parts) < 2:
            return share(0) if self._pool is None else [work(self.models[0], part) for part in parts]
        elsewhere: list[Future[list[Result]]] = [self._pool.submit(share, place) for place in range(1, count)]
        try:
            done = [share(0)]
        finally:
            failed = [future.exception() for future in elsewhere]  # waits
        for error in failed:
            if error is not None:
                raise error
        done += [future.result() for future in elsewhere]
        return [done[place % count][place // count] for place in range(len(parts))]

    def gather(self) -> None:
        """Adds the twins' gradients to the model's own and takes them from the twins."""
        if len(self.models) == 1:
            return
        own = [weight for _, weight in self.models[0].parameters_to_train()]
        for twin in self.models[1:]:
            added: list[Tensor] = []
            to: list[Tensor] = []
            for weight, (_, other) in zip(own, twin.parameters_to_train(), strict=True):
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

    def forget(self) -> None:
        """No gradients anywhere, after a step that came to nothing."""
        for model in self.models:
            for _, weight in model.parameters_to_train():
                weight.grad = None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _twin(model: Model) -> Model | None:
    return cast("Twinned", model).twin() if hasattr(model, "twin") else None
