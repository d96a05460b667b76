"""The training loop, on accelerate: one for every model, every device and any number of processes.

train = resolve(config.train, model.info, len(rows))                      # training/defaults.py
batches = EpochBatches(pairs, …) or StreamBatches(draw, …)                # training/batches.py
result = run_loop(model, batches, train, seed=config.seed, metric="exact",
                  evaluate=…, on_step=…, save=…, resume=…, guards=…, on_finding=…)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NoReturn, Protocol

import torch
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError, Interrupted
from terakoya.i18n import _
from terakoya.models.protocol import Model
from terakoya.records import Finding, Step
from terakoya.training import malloc, oom
from terakoya.training.batches import Batches
from terakoya.training.checkpoint_budget import CheckpointBudget
from terakoya.training.signals import InterruptHandler
from terakoya.training.state import TrainState, prefixed_copies, restore_weights
from terakoya.training.step import Engine

StopReason = Literal["steps", "solved", "minutes", "patience", "guard"]
# Evaluations in a row at `stop_when_solved`: one alone is luck with a few hundred dev items, and the last and smallest
# steps of a schedule still gain where dev sees nothing left to gain.
SOLVED_IN_A_ROW = 5
DECAY = "decay"  # the finding that dev is solved and the decay of the schedule wsd begins


class Guard(Protocol):
    """Watches every step; its state travels with the checkpoint, so that a resumed run is stopped at the same step.

    name  under which its state is kept
    """

    name: str

    def __call__(self, step: Step) -> Sequence[Finding]:
        """What is to be reported of this `step`; a finding of level stop ends the training."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`, as an earlier `state()` returned it."""
        ...


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    steps      optimizer steps done
    seconds    of training and evaluation, over all interruptions
    tokens     seen in training, padding not counted
    stopped    why it ended: all "steps" done, dev "solved", "minutes" over, "patience" exhausted, or by a "guard"
    best_step  the step whose weights the model now carries
    best       dev metrics of that step, by name; {} where dev was not evaluated
    """

    steps: int
    seconds: float
    tokens: int
    stopped: StopReason
    best_step: int
    best: Mapping[str, float]


@dataclass(frozen=True)
class Callbacks:
    """What the caller of a training does at each step; `run_loop` explains each."""

    evaluate: Callable[[int], Mapping[str, float]] | None = None
    on_step: Callable[[Step], None] | None = None
    save: Callable[[TrainState], None] | None = None
    on_finding: Callable[[Finding], None] | None = None
    guards: Sequence[Guard] = ()


def run_loop(
    model: Model,
    batches: Batches,
    config: TrainConfig,
    *,
    seed: int,
    metric: str = "exact",
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
    on_step: Callable[[Step], None] | None = None,
    save: Callable[[TrainState], None] | None = None,
    resume: TrainState | None = None,
    guards: Sequence[Guard] = (),
    on_finding: Callable[[Finding], None] | None = None,
    device: str = "auto",
    precision: Literal["no", "bf16"] = "no",
) -> TrainResult:
    """Train a model in place.

    Afterwards `model.module` holds the final weights: the best by dev metrics or the last ones (`train.select`),
    averaged where weights are averaged.

    model       trained in place
    batches     the rows of every step
    config      the `train` section, every `auto` resolved
    seed        of dropout; the same seed gives the same bits on the same machine with the same threads
    metric      name of the dev metric by which the best step is chosen
    evaluate    gives dev metrics by name for a step number; called every `evaluate_every` steps and at the end, with
                the averaged weights in place where weights are averaged. `metric` and "loss" are read from it
    on_step     receives every step, in order; `Step.dev` is set where dev was evaluated
    save        receives a TrainState to be kept: when interrupted, and after an evaluation where the time that
                checkpoints take allows it (training/checkpoint_budget)
    resume      the newest state kept; of several processes the first one's is taken. The training ends in the same
                bits as one that was never interrupted. Lines of a step log beyond `resume.step` are written again, so
                truncate it first
    guards      watch every step; one finding of level stop ends the training
    on_finding  receives what the guards find
    device      "auto", "cpu", "cuda" or "mps"
    precision   "bf16": mixed precision in bfloat16; "no": the precision of the weights
    Raises NumericError at the first loss, gradient or weight that is not finite, before anything of that step is kept;
    Interrupted on Ctrl-C, after saving; ConfigError for an unresolved config or when memory runs out.
    """
    unresolved = ", ".join(name for name, value in config.model_dump().items() if value == "auto")
    if unresolved:
        raise ConfigError(
            _("not resolved: {unresolved}", unresolved=unresolved),
            where="train",
            do=_("Call resolve() first."),
        )
    callbacks = Callbacks(evaluate, on_step, save, on_finding, guards)
    with _rng_and_threads(config.threads), InterruptHandler() as interrupts:
        engine = Engine(model, batches, config, seed, device, precision)
        training = _Loop(engine, config, metric, callbacks, interrupts)
        try:
            if (state := engine.from_main(resume)) is not None:
                training.restore(engine.split(state))
            result = training.run()
            engine.close()
            return result
        finally:
            engine.replicas.close()
            malloc.release_freed_memory()


class _Loop:
    """The state of a training besides its weights: its progress, the best evaluation, and why it ends."""

    def __init__(
        self, engine: Engine, config: TrainConfig, metric: str, callbacks: Callbacks, interrupts: InterruptHandler
    ) -> None:
        self.engine, self.config, self.metric = engine, config, metric
        self.callbacks, self.interrupts = callbacks, interrupts
        self.every = int(config.evaluate_every)
        self.step = self.evaluated_at = self.best_step = self.without_gain = self.solved_count = self.tokens = 0
        self.seconds = 0.0
        self.best: Mapping[str, float] = {}
        self.last: Mapping[str, float] = {}  # of the newest evaluation
        self.best_weights: dict[str, Tensor] | None = None
        self.budget = CheckpointBudget(engine.state_bytes(best=config.select != "last"))
        self.pending: Step | None = None  # a step not reported yet, for its dev metrics are still to come
        self.stop_reason: StopReason | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.engine.steps

    def run(self) -> TrainResult:
        while True:
            if self._due():
                self._evaluate()
            if self._interrupted():
                self._interrupt()
            if self.stop_reason or self.step >= self.steps:
                break
            self._one_step()
        self._load_final_weights()
        return TrainResult(self.step, self.seconds, self.tokens, self.stop_reason or "steps", self.best_step, self.best)

    def _one_step(self) -> None:
        started = time.monotonic()
        time_over = bool(self.config.minutes) and self.seconds >= 60 * self.config.minutes
        parts = self.engine.parts
        result = self.engine.step(self.step, stop=self.interrupts.requested, time_over=time_over)
        self.step += 1
        if self.engine.parts > parts:
            self._report(oom.smaller_parts_finding(self.step, self.engine.parts, self.config.accumulate))
        self.seconds += time.monotonic() - started
        self.tokens += result.tokens
        # Seconds and tokens are totals: a line of the log says how far the training had come.
        self.pending = Step(
            self.step, result.loss, result.plain, result.learning_rate, result.gradient_norm, self.tokens,
            round(self.seconds, 3),
        )  # fmt: skip
        if result.stop:
            self.interrupts.requested = True
        if result.time_over:
            self.stop_reason = "minutes"
        if not self._due():
            self._emit_step(self.pending)

    def _interrupted(self) -> bool:
        """Whether to stop. Where weights are divided, all processes take part in saving and must agree."""
        requested = bool(self.interrupts.requested)
        return self.engine.in_any(requested) if self.engine.shards else requested

    def _due(self) -> bool:
        ends = self.step == self.steps or self.stop_reason is not None
        return self.step > 0 and self.evaluated_at != self.step and (self.step % self.every == 0 or ends)

    def _evaluate(self) -> None:
        """Evaluate dev, remember the best, decide whether to end, save."""
        started = time.monotonic()
        self.engine.check_finite()
        if self.callbacks.evaluate is not None:
            try:
                waiting = nullcontext() if self.engine.shards else self.interrupts.interruptible()
                with waiting, self.engine.averaged_weights():
                    values = self.engine.evaluate_on_main(self.callbacks.evaluate, self.step)
            except KeyboardInterrupt:
                self._interrupt()
            self._update_best(values)
        else:
            values = None
        self.seconds += time.monotonic() - started
        self.evaluated_at = self.step
        if self.pending is not None:
            self._emit_step(replace(self.pending, dev=values))
        self._save()

    def _update_best(self, values: Mapping[str, float]) -> None:
        value = values.get(self.metric, 0.0)
        rank = self._rank(values)
        self.last = dict(values)
        # NaN compares as False with everything: chosen once, it would have stayed the best for the whole training.
        if math.isfinite(rank[0]) and (not self.best_step or rank > self._rank(self.best)):
            self.best, self.best_step, self.without_gain = dict(values), self.step, 0
            if self.config.select != "last":
                self.best_weights = self.engine.inference_weights()
        else:
            self.without_gain += 1
        if self.config.schedule == "wsd" and 0 < self.config.decay_when_solved <= value:
            self._begin_decay(value)
        goal = self.config.stop_when_solved
        self.solved_count = self.solved_count + 1 if goal and value >= goal else 0
        decaying = self.config.schedule == "wsd" and self.step >= self.steps - self.engine.decay
        if self.solved_count >= SOLVED_IN_A_ROW and not decaying:  # a decay cut short would be no decay
            self.stop_reason = self.stop_reason or "solved"
        elif self.config.patience and self.without_gain >= self.config.patience:
            self.stop_reason = self.stop_reason or "patience"

    def _begin_decay(self, value: float) -> None:
        """Shorten the training, once, so that its last steps, in which the learning rate falls, begin now."""
        last = self.step + self.engine.decay
        if self.engine.steps < int(self.config.steps) or last >= self.engine.steps:
            return
        self.engine.steps = last
        self._report(
            Finding(
                DECAY,
                "note",
                _(
                    "dev reached {value:.4g} at step {step}: the learning rate falls from here to step {last}, the end",
                    value=value,
                    step=self.step,
                    last=last,
                ),
                where="train.decay_when_solved",
                values={"step": float(self.step), "last_step": float(last)},
            )
        )

    def _rank(self, values: Mapping[str, float]) -> tuple[float, float]:
        """Higher is better; -inf is never best. A tie on the metric goes to the lower loss."""
        loss = -_finite(values.get("loss", math.inf), otherwise=math.inf)
        if self.config.select == "loss":
            return loss, 0.0
        return _finite(values.get(self.metric, -1.0), otherwise=-math.inf), loss

    def _emit_step(self, step: Step) -> None:
        self.pending = None
        if self.callbacks.on_step is not None and self.engine.main:
            self.callbacks.on_step(step)
        findings = [found for guard in self.callbacks.guards if self.config.guards for found in guard(step)]
        for finding in findings:
            self._report(finding)
        # Among several processes the first one alone may have guards.
        if self.engine.in_any(any(finding.level == "stop" for finding in findings)):
            self.stop_reason = "guard"

    def _report(self, finding: Finding) -> None:
        if self.callbacks.on_finding is not None and self.engine.main:
            self.callbacks.on_finding(finding)

    def _load_final_weights(self) -> None:
        if self.best_weights is not None:
            self.engine.load_weights(self.best_weights)
        else:
            self.engine.load_weights(self.engine.inference_weights())
            self.best_step = self.step
            if self.config.select == "last":  # the metrics of these weights, not of better ones
                self.best = self.last

    def _interrupt(self) -> NoReturn:
        self._save(always=True)
        saved = (
            _("Everything up to step {step} is saved.", step=self.step)
            if self.callbacks.save
            else _("Nothing was saved.")
        )
        raise Interrupted(
            _("interrupted at step {step} of {steps}", step=self.step, steps=self.steps),
            saved=saved,
            step=self.step,
        )

    def _save(self, *, always: bool = False) -> None:
        wanted = self.callbacks.save is not None and self.engine.main and (always or self.budget.allows(self.seconds))
        if self.engine.in_any(wanted) if self.engine.shards else wanted:
            started = time.monotonic()
            state = self.state()
            if self.callbacks.save is not None and self.engine.main:
                self.callbacks.save(state)
            self.budget.record(time.monotonic() - started)

    def state(self) -> TrainState:
        """Everything that a resumed training needs. The names of the facts are those of checkpoints that users have."""
        tensors = self.engine.tensors()
        best_is = ""  # the name under which the best weights stand there already
        if self.best_weights is not None and self.best_step == self.step:
            best_is = self.engine.inference_prefix
        elif self.best_weights is not None:
            tensors |= prefixed_copies("best", self.best_weights)
        facts: dict[str, Any] = {
            "looked": self.evaluated_at,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "best_step": self.best_step,
            "best": dict(self.best),
            "last": dict(self.last),
            "waited": self.without_gain,
            "solved": self.solved_count,
            "why": self.stop_reason,
            "parts": self.engine.parts,
            "pending": asdict(self.pending) if self.pending else None,
            "guards": {guard.name: dict(guard.state()) for guard in self.callbacks.guards},
        }
        if best_is:
            facts["best_is"] = best_is
        if self.steps < int(self.config.steps):
            facts["last_step"] = self.steps
        return TrainState(self.step, self.engine.gathered(tensors), facts)

    def restore(self, state: TrainState) -> None:
        self.engine.restore(state.step, state.tensors)
        facts = state.facts
        self.step, self.evaluated_at, self.seconds, self.tokens = (
            state.step, int(facts["looked"]), float(facts["seconds"]), int(facts["tokens"]),
        )  # fmt: skip
        self.best_step, self.best = int(facts["best_step"]), dict(facts["best"])
        self.last = dict(facts.get("last", facts["best"]))
        self.without_gain, self.solved_count = int(facts["waited"]), int(facts["solved"])
        self.stop_reason = facts["why"]
        self.engine.parts = int(facts.get("parts", 1))
        self.engine.steps = int(facts.get("last_step", self.engine.steps))
        self.pending = Step(**facts["pending"]) if facts["pending"] else None
        best_is = facts.get("best_is", "best")
        if best_is != "best" or any(name.startswith("best/") for name in state.tensors):
            self.best_weights = {name: torch.empty_like(weight) for name, weight in self.engine.weights.items()}
            restore_weights(best_is, self.best_weights, state.tensors)
        self.budget.since = self.seconds
        for guard in self.callbacks.guards:
            if guard.name in facts["guards"]:
                guard.restore(facts["guards"][guard.name])


def _finite(value: float, *, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


@contextmanager
def _rng_and_threads(threads: int) -> Iterator[None]:
    """Dropout draws from torch's global generator; its state and the number of threads are restored afterwards."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
