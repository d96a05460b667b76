"""One step of training, and the weights it changes: forward, backward, norm, update, average.

Rows of a step are parted among the processes, and every micro-batch is weighed by its targets; so accumulation and
several processes give the gradient of the whole batch, not a mean of means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.models.oom import is_oom
from terakoya.models.protocol import Batch, Model, Pair
from terakoya.records import fingerprint
from terakoya.training import malloc, oom
from terakoya.training.batches import Batches
from terakoya.training.losses import loss_for, plain
from terakoya.training.nonfinite import detection
from terakoya.training.nonfinite.diagnosis import likely
from terakoya.training.nonfinite.evidence import Scene, largest
from terakoya.training.optimizer import optimizers
from terakoya.training.parallel import processes
from terakoya.training.parallel.threads import Replicas
from terakoya.training.schedule import rate, warmup_steps
from terakoya.training.state import named, optimizer_tensors, restore, restore_optimizer


@dataclass(frozen=True)
class StepResult:
    """What one step came to. `stop` and `late`: some process was asked to stop, or found the time to be over."""

    loss: float
    plain: float
    norm: float
    learning_rate: float
    tokens: int
    stop: bool
    late: bool


class Engine:
    def __init__(
        self, model: Model, batches: Batches, config: TrainConfig, seed: int, device: str, precision: str
    ) -> None:
        self.model, self.batches, self.config, self.seed = model, batches, config, seed
        self.accelerator = processes.accelerator(device, precision)
        model.module.to(self.accelerator.device)
        model.module.train()
        self.weights = {name: weight for name, weight in model.parameters_to_train() if weight.requires_grad}
        self.parameters = list(self.weights.values())
        # Not wrapped by accelerate: without a gradient scaler its wrapper does nothing but look on disk, twice a step,
        # for an optimizer package that is not there (a sixth of a tiny model's step).
        self.optimizers = optimizers(model.module, self.weights, config)
        self.loss = loss_for(config)
        # Where the loss is the plain one there is nothing to compute twice.
        self.loss_is_plain = config.loss == "cross-entropy" and not config.label_smoothing + config.logit_adjustment
        self.steps = int(config.steps)
        self.warmup = warmup_steps(config, self.steps)
        self.decay = float(config.average)
        self.average = [weight.detach().clone() for weight in self.parameters] if self.decay else []
        on_processor = self.accelerator.device.type == "cpu"
        if on_processor:
            malloc.keep()
        self.replicas = Replicas(model, int(config.replicas) if on_processor else 1)
        self.parts = 1  # of every batch, where memory was short
        self.began = largest(self.weights)
        self._last: tuple[int, float] = (0, 0.0)  # number and learning rate of the step done last

    @property
    def main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def step(self, number: int, *, stop: bool = False, late: bool = False) -> StepResult:
        """Step `number`, counted from 0. Raises NumericError before a weight is touched, ConfigError out of memory."""
        share = rate(number, self.steps, self.config.schedule, self.warmup)
        learning_rate = share * float(self.config.learning_rate)
        if not all(map(math.isfinite, self.began.values())):  # it may be long until a row asks for that weight
            self._refuse(number, learning_rate)
        while (made := self._attempt(number, stop, late)) is None:
            self._make_do(number)
        losses, counts = made
        norm = torch.nn.utils.get_total_norm([w.grad for w in self.parameters if w.grad is not None])
        loss, plain_loss, size = torch.cat((losses, norm.reshape(1))).tolist()
        if not (math.isfinite(loss) and math.isfinite(size)):
            self._refuse(number, learning_rate)
        self._update(number, share, norm, size)
        self._last = (number, learning_rate)
        return StepResult(loss, plain_loss, size, learning_rate, int(counts[1]), bool(counts[2]), bool(counts[3]))

    def _attempt(self, number: int, stop: bool, late: bool) -> tuple[Tensor, list[float]] | None:
        """Losses and counts, with the gradients in place; None where memory ran out."""
        try:
            return self._gradients(number, stop, late)
        except (RuntimeError, MemoryError) as error:
            if not is_oom(error):
                raise
            return None

    def _gradients(self, number: int, stop: bool, late: bool) -> tuple[Tensor, list[float]]:
        batches = [self._ready(rows) for rows in self._rows(number)]
        targets = sum(batch.targets for batch in batches)
        tokens = sum(batch.tokens for batch in batches)
        counts = processes.summed(self.accelerator, [targets, tokens, stop, late])
        self._begin_chance(number)

        def work(model: Model, batch: Batch) -> Tensor:
            return self._backward(model, batch, batch.targets / counts[0] if counts[0] else 1.0)

        losses = torch.zeros(2, device=self.accelerator.device)
        for part in self.replicas.over(batches, work):
            losses += part
        self.replicas.gather()
        processes.share_gradients(self.accelerator, self.parameters, losses)
        return losses, counts

    def _make_do(self, number: int) -> None:
        """Work on smaller parts of the batch from now on where that is wanted and possible; else refuse."""
        self.replicas.forget()
        oom.released()
        rows = max(self._rows(number), key=len)
        # Other processes wait for this one's gradients, and would wait for ever.
        if self.config.on_oom == "halve" and len(rows) > 1 and self.accelerator.num_processes == 1:
            self.parts *= 2
            return

        def attempt(some: Sequence[Pair]) -> None:
            self._backward(self.model, self._ready(some), 1.0)
            for weight in self.parameters:
                weight.grad = None

        fits = oom.largest_that_fits(sorted(rows, key=self.model.length, reverse=True), attempt)
        side_by_side = len(self.replicas.models)
        raise oom.refusal(
            number + 1, len(rows) * side_by_side, self.config.accumulate * self.parts, fits * side_by_side
        )

    def _rows(self, number: int) -> list[Sequence[Pair]]:
        """This process's share of the step's rows, in the parts that are worked on at once."""
        world, place, parts = self.accelerator.num_processes, self.accelerator.process_index, self.config.accumulate
        shares = [self.batches.at(number * parts + part)[place::world] for part in range(parts)]
        return [part for rows in shares for part in oom.parted(rows, self.parts * len(self.replicas.models))]

    def _ready(self, rows: Sequence[Pair]) -> Batch:
        batch = self.model.collate(rows)
        return batch if self.accelerator.device.type == "cpu" else batch.to(self.accelerator.device)

    def _backward(self, model: Model, batch: Batch, share: float) -> Tensor:
        """Adds this batch's part of the gradient; gives its part of (loss, plain loss)."""
        with self.accelerator.autocast():
            outputs = model.outputs(batch)
            loss = self.loss(outputs)
            taught = loss if outputs.penalty is None else loss + outputs.penalty
        self.accelerator.backward(taught * share if share != 1.0 else taught)
        told = loss.detach()
        with torch.no_grad():
            beside = told if self.loss_is_plain else plain(outputs)
        return torch.stack((told, beside)).float() * share

    def _update(self, number: int, share: float, norm: Tensor, size: float) -> None:
        clipped = bool(self.config.clip) and size > self.config.clip
        for optimizer in self.optimizers:
            self._clip(optimizer, norm if clipped else None)
            for group in optimizer.param_groups:
                group["lr"] = share * group["peak"]
            optimizer.step()
        for weight in self.parameters:
            weight.grad = None
        if self.decay:
            # Short of history the average forgets faster, or it would remember the first random weights.
            keep = min(self.decay, (1 + number) / (10 + number))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, [weight.data for weight in self.parameters], 1 - keep)

    def _clip(self, optimizer: Any, norm: Tensor | None) -> None:
        """Gradients of this optimizer × clip / norm; None leaves them as they are.

        Fused AdamW divides on its way through the gradients, which spares a pass over all of them.
        """
        if isinstance(optimizer, torch.optim.AdamW):
            optimizer.grad_scale = None if norm is None else (norm.float() + 1e-6) / self.config.clip  # type: ignore[attr-defined]
            optimizer.found_inf = None  # type: ignore[attr-defined]
        elif norm is not None:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grads_with_norm_(weights, self.config.clip, norm)

    def _begin_chance(self, number: int) -> None:
        """Dropout of a step is a function of seed and step, so nothing of it needs to be remembered."""
        place = str(self.accelerator.process_index)
        drawn = int(fingerprint("dropout", str(self.seed), str(number), place), 16)
        # torch.manual_seed would do for every device, but it takes a traceback for each device that is not there:
        # a millisecond a step, as much as a tiny model's whole forward pass.
        torch.default_generator.manual_seed(drawn)
        if self.accelerator.device.type == "cuda":
            torch.cuda.manual_seed(drawn)
        elif self.accelerator.device.type == "mps":
            torch.mps.manual_seed(drawn)

    def sound(self) -> None:
        """Raises NumericError where the last update left a weight that is not finite: nothing of it may be kept."""
        if not all(map(math.isfinite, largest(self.weights).values())):
            self._refuse(*self._last)

    def _refuse(self, number: int, learning_rate: float) -> NoReturn:
        rows = [row for part in self._rows(number) for row in part]
        names = [row.key or row.ask.source for row in rows]

        def ask(places: Sequence[int], plainly: bool) -> Tensor:
            self._begin_chance(number)
            outputs = self.model.outputs(self._ready([rows[place] for place in places]))
            return plain(outputs) if plainly else self.loss(outputs)

        everything = range(len(rows))
        raise detection.refusal(
            what=detection.cause(self.model.module, self.weights.items(), lambda: ask(everything, False)),
            step=number + 1,
            rows=names,
            learning_rate=learning_rate,
            dtype=self.parameters[0].dtype,
            cause=likely(
                Scene(
                    self.model.module, self.weights, self.began, names, ask,
                    self._ready(rows).targets, self.config, learning_rate, self._spelt,
                )
            ),
        )  # fmt: skip

    def _spelt(self, token: int) -> str:
        pieces = self.model.pieces() if self.model.head == "sequence" else ()
        return pieces[token] if token < len(pieces) else ""

    def answer_weights(self) -> dict[str, Tensor]:
        """Copies of the weights that answer: the averages where there are some."""
        chosen = self.average or self.parameters
        return {name: weight.detach().clone() for name, weight in zip(self.weights, chosen, strict=True)}

    def take(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])

    @contextmanager
    def answering(self) -> Iterator[None]:
        """The averaged weights in place while dev is asked; without averages nothing is moved."""
        if not self.average:
            yield
            return
        trained = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.take(dict(zip(self.weights, self.average, strict=True)))
        try:
            yield
        finally:
            self.take(trained)

    def shared(self, ask: Callable[[int], Mapping[str, float]], step: int) -> Mapping[str, float]:
        """Dev figures, asked by the first process and told to all."""
        figures = dict(ask(step)) if self.main else {}
        self.model.module.train()
        return processes.told(self.accelerator, figures)

    def tensors(self) -> dict[str, Tensor]:
        found = named("weights", self.weights)
        for optimizer in self.optimizers:
            found |= optimizer_tensors(optimizer, self._names())
        return found | (named("average", dict(zip(self.weights, self.average, strict=True))) if self.decay else {})

    def restore(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        restore("weights", self.weights, tensors)
        if self.decay:
            restore("average", dict(zip(self.weights, self.average, strict=True)), tensors)
        for optimizer in self.optimizers if step else ():
            restore_optimizer(optimizer, self._names(), tensors)

    def _names(self) -> dict[Tensor, str]:
        return {weight: name for name, weight in self.weights.items()}
