"""One step of training, and the weights it changes: forward, backward, norm, update, average.

The rows of a step are split among the processes, and every micro-batch is weighed by its targets; so accumulation and
several processes give the gradient of the whole batch, not a mean of means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.errors import NumericError
from terakoya.i18n import _
from terakoya.models.oom import is_oom
from terakoya.models.protocol import Batch, Model, Pair
from terakoya.records import fingerprint
from terakoya.training import malloc, oom
from terakoya.training.batches import Batches
from terakoya.training.losses import loss_for, plain
from terakoya.training.nonfinite import detection
from terakoya.training.nonfinite.diagnosis import diagnose
from terakoya.training.nonfinite.evidence import NonFiniteEvidence, max_abs
from terakoya.training.optimizer import make_optimizers
from terakoya.training.parallel import processes
from terakoya.training.parallel.sharding import Shards, global_norm
from terakoya.training.parallel.threads import Replicas
from terakoya.training.schedule import decay_steps, learning_rate_scale, warmup_steps
from terakoya.training.state import TrainState, optimizer_tensors, prefixed_copies, restore_optimizer, restore_weights


@dataclass(frozen=True)
class StepResult:
    """What one step gave.

    loss           of the config, in nats per target
    plain          cross-entropy of the same rows, comparable across losses
    gradient_norm  before clipping
    learning_rate  of this step
    tokens         of all processes, padding not counted
    stop           some process was interrupted
    time_over      some process found `train.minutes` to be over
    """

    loss: float
    plain: float
    gradient_norm: float
    learning_rate: float
    tokens: int
    stop: bool
    time_over: bool


class Engine:
    """The weights, optimizers and averages of a training, and the step that changes them.

    model      moved to the device and put into training mode
    batches    the rows of every step
    config     the `train` section, every `auto` resolved
    seed       of dropout
    device     "auto", "cpu", "cuda" or "mps"
    precision  "bf16": mixed precision; "no": the precision of the weights
    """

    def __init__(
        self, model: Model, batches: Batches, config: TrainConfig, seed: int, device: str, precision: str
    ) -> None:
        self.model, self.batches, self.config, self.seed = model, batches, config, seed
        self.accelerator = processes.make_accelerator(device, precision)
        model.module.to(self.accelerator.device)
        model.module.train()
        count = self.accelerator.num_processes
        self.shards = Shards(model.module, count) if config.shard and count > 1 else None
        own = {name: weight for name, weight in model.parameters_to_train() if weight.requires_grad}
        self.weights = self.shards.local if self.shards else own
        self.parameters = list(self.weights.values())
        # Not wrapped by accelerate: without a gradient scaler its wrapper does nothing but look on disk, twice a step,
        # for an optimizer package that is not there (a sixth of a tiny model's step).
        self.optimizers = make_optimizers(model.module, self.weights, config)
        self.loss = loss_for(config)
        # Where the loss is the plain one there is nothing to compute twice.
        self.loss_is_plain = config.loss == "cross-entropy" and not config.label_smoothing + config.logit_adjustment
        self.steps = int(config.steps)  # fewer once the decay of wsd has begun early
        self.warmup = warmup_steps(config, self.steps)
        self.decay = decay_steps(config, self.steps)
        self.average_decay = float(config.average)
        self.average = [weight.detach().clone() for weight in self.parameters] if self.average_decay else []
        on_processor = self.accelerator.device.type == "cpu"
        if on_processor:
            malloc.keep_freed_memory()
        self.replicas = Replicas(model, int(config.replicas) if on_processor and not self.shards else 1)
        self.parts = 1  # of every batch, where memory was short
        self.initial_max_abs = max_abs(self.weights)
        self._last: tuple[int, float] = (0, 0.0)  # number and learning rate of the step done last

    @property
    def main(self) -> bool:
        """Whether this is the process that evaluates, logs and saves."""
        return bool(self.accelerator.is_main_process)

    def step(self, number: int, *, stop: bool = False, time_over: bool = False) -> StepResult:
        """Do one step.

        number     of the step, counted from 0
        stop       this process was interrupted; all processes learn of it
        time_over  this process found the time to be over; all processes learn of it
        Raises NumericError before a weight is changed, ConfigError where memory runs out.
        """
        scale = learning_rate_scale(number, self.steps, self.config.schedule, self.warmup, self.decay)
        learning_rate = scale * float(self.config.learning_rate)
        # Tested here and not by the loss: it may be long until a row uses that weight.
        if not all(map(math.isfinite, self.initial_max_abs.values())):
            self._raise_nonfinite(number, learning_rate)
        while (gradients := self._attempt(number, stop, time_over)) is None:
            self._retry_smaller(number)
        losses, counts = gradients
        norm = torch.nn.utils.get_total_norm([w.grad for w in self.parameters if w.grad is not None])
        norm = global_norm(norm) if self.shards else norm
        loss, plain_loss, norm_value = torch.cat((losses, norm.reshape(1))).tolist()
        if not (math.isfinite(loss) and math.isfinite(norm_value)):
            self._raise_nonfinite(number, learning_rate)
        self._update(number, scale, norm, norm_value)
        self._last = (number, learning_rate)
        return StepResult(loss, plain_loss, norm_value, learning_rate, int(counts[1]), bool(counts[2]), bool(counts[3]))

    def _attempt(self, number: int, stop: bool, time_over: bool) -> tuple[Tensor, list[float]] | None:
        """Losses and counts, with the gradients in place; None where memory ran out."""
        try:
            return self._gradients(number, stop, time_over)
        except (RuntimeError, MemoryError) as error:
            if not is_oom(error):
                raise
            return None

    def _gradients(self, number: int, stop: bool, time_over: bool) -> tuple[Tensor, list[float]]:
        batches = self._batches(number)
        targets = sum(batch.targets for batch in batches)
        tokens = sum(batch.tokens for batch in batches)
        counts = processes.all_reduce_sum(self.accelerator, [targets, tokens, stop, time_over])
        self._seed_dropout(number)

        def backward(model: Model, batch: Batch) -> Tensor:
            return self._backward(model, batch, batch.targets / counts[0] if counts[0] else 1.0)

        losses = torch.zeros(2, device=self.accelerator.device)
        for part in self.replicas.map(batches, backward):
            losses += part
        self.replicas.reduce_gradients()
        if self.shards:
            self.shards.collect_gradients()
        processes.all_reduce_gradients(self.accelerator, () if self.shards else self.parameters, losses)
        return losses, counts

    def _retry_smaller(self, number: int) -> None:
        """Use smaller parts of the batch from now on where `train.on_oom` says so and it is possible; else raise."""
        self.replicas.clear_gradients()
        oom.release_memory()
        rows = max(self._rows(number), key=len)
        # Other processes wait for this one's gradients, and would wait for ever.
        if self.config.on_oom == "halve" and len(rows) > 1 and self.accelerator.num_processes == 1:
            self.parts *= 2
            return
        if self.shards:  # an attempt with fewer rows would wait for the others
            raise oom.out_of_memory_error(number + 1, len(rows), self.config.accumulate, len(rows) // 2)

        def attempt(subset: Sequence[Pair]) -> None:
            self._backward(self.model, self._collate(subset), 1.0)
            for weight in self.parameters:
                weight.grad = None

        fitting = oom.largest_fitting_batch(sorted(rows, key=self.model.length, reverse=True), attempt)
        replicas = len(self.replicas.models)
        raise oom.out_of_memory_error(
            number + 1, len(rows) * replicas, self.config.accumulate * self.parts, fitting * replicas
        )

    def _rows(self, number: int) -> list[Sequence[Pair]]:
        """This process's share of the step's rows, in the parts that are computed at once."""
        count, index, parts = self.accelerator.num_processes, self.accelerator.process_index, self.config.accumulate
        shares = [self.batches.at(number * parts + part)[index::count] for part in range(parts)]
        return [part for rows in shares for part in oom.split_rows(rows, self.parts * len(self.replicas.models))]

    def _batches(self, number: int) -> list[Batch]:
        collate_share = getattr(self.model, "collate_share", None)
        if not self.shards and (self.accelerator.num_processes == 1 or collate_share is None):
            return [self._collate(rows) for rows in self._rows(number)]
        count, index, parts = self.accelerator.num_processes, self.accelerator.process_index, self.config.accumulate
        whole = [self.batches.at(number * parts + part) for part in range(parts)]
        if self.shards or collate_share is None:
            # Every process computes as often, as the others gather and sum with it: without a row of its own, one for
            # which nothing counts.
            shares = [rows[index::count] for rows in whole]
            idle = [replace(self._collate(rows[:1]), targets=0, tokens=0) for rows in whole if len(rows) <= index]
            return [*(self._collate(rows) for rows in shares if rows), *idle]
        return [self._on_device(collate_share(rows, index, count)) for rows in whole if len(rows) > index]

    def _collate(self, rows: Sequence[Pair]) -> Batch:
        return self._on_device(self.model.collate(rows))

    def _on_device(self, batch: Batch) -> Batch:
        return batch if self.accelerator.device.type == "cpu" else batch.to(self.accelerator.device)

    def _backward(self, model: Model, batch: Batch, share: float) -> Tensor:
        """Adds this batch's part of the gradient; gives its part of (loss, plain loss)."""
        with self.accelerator.autocast():
            outputs = model.outputs(batch)
            loss = self.loss(outputs)
            objective = loss if outputs.penalty is None else loss + outputs.penalty
        self.accelerator.backward(objective * share if share != 1.0 else objective)
        loss = loss.detach()
        with torch.no_grad():
            plain_loss = loss if self.loss_is_plain else plain(outputs)
        return torch.stack((loss, plain_loss)).float() * share

    def _update(self, number: int, scale: float, norm: Tensor, norm_value: float) -> None:
        clipped = bool(self.config.clip) and norm_value > self.config.clip
        for optimizer in self.optimizers:
            self._clip(optimizer, norm if clipped else None)
            for group in optimizer.param_groups:
                group["lr"] = scale * group["peak"]
            optimizer.step()
        for weight in self.parameters:
            weight.grad = None
        if self.average_decay:
            # Short of history the average forgets faster, or it would remember the first random weights.
            decay = min(self.average_decay, (1 + number) / (10 + number))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, [weight.data for weight in self.parameters], 1 - decay)

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

    def _seed_dropout(self, number: int) -> None:
        """Dropout of a step is a function of seed and step, so nothing of it needs to be remembered.

        Each process draws its own, but for models that draw for all rows of a step (`collate_share`).
        """
        process = "0" if hasattr(self.model, "collate_share") else str(self.accelerator.process_index)
        seed = int(fingerprint("dropout", str(self.seed), str(number), process), 16)
        # torch.manual_seed would do for every device, but it takes a traceback for each device that is not there:
        # a millisecond a step, as much as a tiny model's whole forward pass.
        torch.default_generator.manual_seed(seed)
        if self.accelerator.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        elif self.accelerator.device.type == "mps":
            torch.mps.manual_seed(seed)

    def synchronize(self) -> None:
        """Wait until a GPU has done what it was given, for whoever measures time."""
        if self.accelerator.device.type == "cuda":
            torch.cuda.synchronize(self.accelerator.device)

    def check_finite(self) -> None:
        """Raises NumericError where the last update left a weight that is not finite: nothing of it may be kept."""
        if not all(map(math.isfinite, max_abs(self.weights).values())):
            self._raise_nonfinite(*self._last)

    def _raise_nonfinite(self, number: int, learning_rate: float) -> NoReturn:
        if self.shards:
            self._raise_nonfinite_sharded(number, learning_rate)
        rows = [row for part in self._rows(number) for row in part]
        names = [row.key or row.query.source for row in rows]

        def loss_of(indices: Sequence[int], use_plain: bool) -> Tensor:
            self._seed_dropout(number)
            outputs = self.model.outputs(self._collate([rows[index] for index in indices]))
            return plain(outputs) if use_plain else self.loss(outputs)

        everything = range(len(rows))
        raise detection.nonfinite_error(
            what=detection.locate_nonfinite(
                self.model.module, self.weights.items(), lambda: loss_of(everything, False)
            ),
            step=number + 1,
            rows=names,
            learning_rate=learning_rate,
            dtype=self.parameters[0].dtype,
            cause=diagnose(
                NonFiniteEvidence(
                    self.model.module, self.weights, self.initial_max_abs, names, loss_of,
                    self._collate(rows).targets, self.config, learning_rate, self._token_text,
                )
            ),
        )  # fmt: skip

    def _raise_nonfinite_sharded(self, number: int, learning_rate: float) -> NoReturn:
        """Without the diagnosis, which runs single rows again, while other processes would have to as well."""
        raise NumericError(
            _(
                "not finite: the loss, a gradient or a weight (learning rate {learning_rate:.3g})",
                learning_rate=learning_rate,
            ),
            where=_("step {step}", step=number + 1),
            do=_("Lower train.learning_rate. For the row and the cause: a smaller base without train.shard."),
            saved=_("The weights of this step were not saved; the last checkpoint is sound."),
            step=number + 1,
        )

    def _token_text(self, token: int) -> str:
        texts = self.model.token_texts() if self.model.head == "sequence" else ()
        return texts[token] if token < len(texts) else ""

    def inference_weights(self) -> dict[str, Tensor]:
        """Copies of the weights that predict: the averages where weights are averaged."""
        chosen = self.average or self.parameters
        return {name: weight.detach().clone() for name, weight in zip(self.weights, chosen, strict=True)}

    @property
    def inference_prefix(self) -> str:
        """Where `tensors()` has the weights that predict: "average" or "weights"."""
        return "average" if self.average_decay else "weights"

    def state_bytes(self, *, best: bool) -> int:
        """Bytes of a checkpoint, optimizer state counted as two values for each weight.

        best  whether the best weights are kept besides
        """
        weights = sum(weight.numel() * weight.element_size() for weight in self.parameters)
        whole = weights * (self.accelerator.num_processes if self.shards else 1)
        return whole * (3 + bool(self.average_decay) + best)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy `weights`, by name, into the model."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """The averaged weights in place while dev is evaluated; without averages nothing is moved."""
        if not self.average:
            yield
            return
        trained = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.load_weights(dict(zip(self.weights, self.average, strict=True)))
        try:
            yield
        finally:
            self.load_weights(trained)

    def evaluate_on_main(self, evaluate: Callable[[int], Mapping[str, float]], step: int) -> Mapping[str, float]:
        """Dev metrics, computed by the first process and sent to all.

        evaluate  gives them for a step number
        step      the number of steps done
        """
        with self.shards.whole(self.main) if self.shards else nullcontext():
            values = dict(evaluate(step)) if self.main else {}
        self.model.module.train()
        return processes.broadcast_from_main(self.accelerator, values)

    def from_main(self, state: TrainState | None) -> TrainState | None:
        """The training state of the first process.

        state  of this process
        """
        return processes.broadcast_state(self.accelerator, state)

    def in_any(self, happened: bool) -> bool:
        """Whether something happened in any process.

        happened  in this process
        """
        return bool(processes.all_reduce_sum(self.accelerator, [happened])[0])

    def tensors(self) -> dict[str, Tensor]:
        """Copies, on the processor, of everything that a resumed training needs."""
        found = prefixed_copies("weights", self.weights)
        for optimizer in self.optimizers:
            found |= optimizer_tensors(optimizer, self._names())
        if self.average_decay:
            found |= prefixed_copies("average", dict(zip(self.weights, self.average, strict=True)))
        return found

    def gathered(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a training state, whole where this process has a part of each only.

        tensors  as `tensors()` returned them
        """
        return self.shards.gathered(tensors) if self.shards else tensors

    def split(self, state: TrainState) -> TrainState:
        """A training state with what this process has of its tensors.

        state  with whole tensors
        """
        return replace(state, tensors=self.shards.split(state.tensors)) if self.shards else state

    def close(self) -> None:
        """The model as it was before, with the weights that it has now. All processes call it at the same time."""
        if self.shards:
            self.shards.restore()

    def restore(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint.

        step     steps that it has behind it; before the first one there is no optimizer state
        tensors  as `tensors()` returned them
        Raises IncompatibleError where they do not fit the model.
        """
        restore_weights("weights", self.weights, tensors)
        if self.average_decay:
            restore_weights("average", dict(zip(self.weights, self.average, strict=True)), tensors)
        for optimizer in self.optimizers if step else ():
            restore_optimizer(optimizer, self._names(), tensors)

    def _names(self) -> dict[Tensor, str]:
        return {weight: name for name, weight in self.weights.items()}
