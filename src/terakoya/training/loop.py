"""THE training loop, on accelerate: one for every model, every device and any number of processes.

    recipe = resolve(config.train, model.card, len(rows), drawn=…)            # training/recipe.py
    rows = Fixed(pairs, …) or Stream(draw, …)                                 # training/batches.py
    taught = train(model, rows, recipe, seed=config.seed, metric="exact",
                   evaluate=…, on_step=…, save=…, resume=…, guards=…, on_finding=…)

evaluate(step)   dev figures by name, from generated answers; asked every `evaluate_every` steps and at the end, with
                 the averaged weights in place where weights are averaged. `metric` and "loss" are read from it
on_step(Step)    every step, in order; `dev` is filled in where dev was asked
save(state)      a TrainState to be kept; after each evaluation and when interrupted. Hand the newest back as `resume`
                 and the training ends in the same bits as one that was never interrupted (same machine and threads);
                 lines of a step log beyond `state.step` are written again, so cut them first
guards           see `Guard`; findings go to `on_finding`, one of level stop ends the training

Raises NumericError at the first loss, gradient or weight that is not finite, before anything of that step is kept,
and Interrupted on Ctrl-C, after saving. Afterwards `model.module` holds the weights that shall answer: the best by
dev figures, or the last; averaged where weights are averaged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NoReturn, Protocol

import torch
from torch import Tensor

from terakoya.config import TrainConfig
from terakoya.errors import ConfigError, Interrupted
from terakoya.i18n import both
from terakoya.models.protocol import Model
from terakoya.records import Finding, Step
from terakoya.training import malloc, oom
from terakoya.training.batches import Batches
from terakoya.training.signals import Shield
from terakoya.training.state import TrainState, named, restore
from terakoya.training.step import Engine

Why = Literal["steps", "solved", "minutes", "patience", "guard"]
# Evaluations in a row at `stop_when_solved`: one alone is luck with a few hundred dev items, and the last and smallest
# steps of a schedule still gain where dev sees nothing left to gain.
SOLVED_IN_A_ROW = 5


class Guard(Protocol):
    """Watches every step; its memory travels with the checkpoint, so that a resumed run is stopped at the same step."""

    name: str

    def __call__(self, step: Step) -> Sequence[Finding]: ...

    def state(self) -> Mapping[str, Any]:
        """What it remembers, as JSON can carry it."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class TrainResult:
    """How a training ended. `best` holds the dev figures of `best_step`, whose weights the model now carries."""

    steps: int
    seconds: float
    tokens: int
    stopped: Why
    best_step: int
    best: Mapping[str, float]


@dataclass(frozen=True)
class Callbacks:
    """The ends that the pipeline holds; see the top of this file."""

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
    """Teach the model as the config says (every `auto` resolved). See the top of this file."""
    unresolved = [name for name, value in config.model_dump().items() if value == "auto"]
    if unresolved:
        raise ConfigError(
            both(f"not resolved: {', '.join(unresolved)}", f"決まっていない設定：{', '.join(unresolved)}"),
            where="train",
            do=both("Call resolve() first.", "先に resolve() を呼ぶこと。"),
        )
    callbacks = Callbacks(evaluate, on_step, save, on_finding, guards)
    with _chance_and_threads(config.threads), Shield() as shield:
        engine = Engine(model, batches, config, seed, device, precision)
        training = _Training(engine, config, metric, callbacks, shield)
        try:
            if resume is not None:
                training.restore(resume)
            return training.run()
        finally:
            engine.replicas.close()
            malloc.give_back()


class _Training:
    """What a training knows besides its weights: how far it is, what was best, and when to end."""

    def __init__(self, engine: Engine, config: TrainConfig, metric: str, callbacks: Callbacks, shield: Shield) -> None:
        self.engine, self.config, self.metric, self.callbacks, self.shield = engine, config, metric, callbacks, shield
        self.steps = int(config.steps)
        self.every = int(config.evaluate_every)
        self.step = self.looked = self.best_step = self.waited = self.solved = self.tokens = 0
        self.seconds = 0.0
        self.best: Mapping[str, float] = {}
        self.best_weights: dict[str, Tensor] | None = None
        self.pending: Step | None = None  # a step not told yet, for its dev figures are still to come
        self.why: Why | None = None

    def run(self) -> TrainResult:
        while True:
            if self._due():
                self._look()
            if self.shield.asked:
                self._leave()
            if self.why or self.step >= self.steps:
                break
            self._one_step()
        self._finish()
        return TrainResult(self.step, self.seconds, self.tokens, self.why or "steps", self.best_step, self.best)

    def _one_step(self) -> None:
        started = time.monotonic()
        late = bool(self.config.minutes) and self.seconds >= 60 * self.config.minutes
        parts = self.engine.parts
        did = self.engine.step(self.step, stop=self.shield.asked, late=late)
        self.step += 1
        if self.engine.parts > parts:
            self._notice(oom.halved(self.step, self.engine.parts, self.config.accumulate))
        self.seconds += time.monotonic() - started
        self.tokens += did.tokens
        # Seconds and tokens are totals: a line of the log says how far the training had come.
        self.pending = Step(
            self.step, did.loss, did.plain, did.learning_rate, did.norm, self.tokens, round(self.seconds, 3)
        )
        if did.stop:
            self.shield.asked = True
        if did.late:
            self.why = "minutes"
        if not self._due():
            self._tell(self.pending)

    def _due(self) -> bool:
        ends = self.step == self.steps or self.why is not None
        return self.step > 0 and self.looked != self.step and (self.step % self.every == 0 or ends)

    def _look(self) -> None:
        """Ask dev, remember the best, decide whether to end, save."""
        started = time.monotonic()
        self.engine.sound()
        if self.callbacks.evaluate is not None:
            try:
                with self.shield.open(), self.engine.answering():
                    figures = self.engine.shared(self.callbacks.evaluate, self.step)
            except KeyboardInterrupt:
                self._leave()
            self._judge(figures)
        else:
            figures = None
        self.seconds += time.monotonic() - started
        self.looked = self.step
        if self.pending is not None:
            self._tell(replace(self.pending, dev=figures))
        self._save()

    def _judge(self, figures: Mapping[str, float]) -> None:
        value = figures.get(self.metric, 0.0)
        if self._rank(figures) > self._rank(self.best) or not self.best_step:
            self.best, self.best_step, self.waited = dict(figures), self.step, 0
            if self.config.select != "last":
                self.best_weights = self.engine.answer_weights()
        else:
            self.waited += 1
        goal = self.config.stop_when_solved
        self.solved = self.solved + 1 if goal and value >= goal else 0
        if self.solved >= SOLVED_IN_A_ROW:
            self.why = self.why or "solved"
        elif self.config.patience and self.waited >= self.config.patience:
            self.why = self.why or "patience"

    def _rank(self, figures: Mapping[str, float]) -> tuple[float, float]:
        """Higher is better. A tie on the metric goes to the lower loss."""
        loss = -figures.get("loss", float("inf"))
        return (loss, 0.0) if self.config.select == "loss" else (figures.get(self.metric, -1.0), loss)

    def _tell(self, step: Step) -> None:
        self.pending = None
        if self.callbacks.on_step is not None and self.engine.main:
            self.callbacks.on_step(step)
        for guard in self.callbacks.guards if self.config.guards else ():
            for finding in guard(step):
                self._notice(finding)
                if finding.level == "stop":
                    self.why = "guard"

    def _notice(self, finding: Finding) -> None:
        if self.callbacks.on_finding is not None and self.engine.main:
            self.callbacks.on_finding(finding)

    def _finish(self) -> None:
        """Put the weights in place that shall answer."""
        if self.best_weights is not None:
            self.engine.take(self.best_weights)
        else:
            self.engine.take(self.engine.answer_weights())
            self.best_step = self.step

    def _leave(self) -> NoReturn:
        self._save()
        saved = (
            both(f"Everything up to step {self.step} is saved.", f"ステップ{self.step}まですべて保存した。")
            if self.callbacks.save
            else both("Nothing was saved.", "何も保存していない。")
        )
        raise Interrupted(
            both(
                f"interrupted at step {self.step} of {self.steps}",
                f"{self.steps}ステップ中のステップ{self.step}で中断した",
            ),
            saved=saved,
            step=self.step,
        )

    def _save(self) -> None:
        if self.callbacks.save is None:
            return
        state = self.state()
        if self.engine.main:
            self.callbacks.save(state)

    def state(self) -> TrainState:
        tensors = self.engine.tensors()
        if self.best_weights is not None:
            tensors |= named("best", self.best_weights)
        facts = {
            "looked": self.looked,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "best_step": self.best_step,
            "best": dict(self.best),
            "waited": self.waited,
            "solved": self.solved,
            "why": self.why,
            "parts": self.engine.parts,
            "pending": asdict(self.pending) if self.pending else None,
            "guards": {guard.name: dict(guard.state()) for guard in self.callbacks.guards},
        }
        return TrainState(self.step, tensors, facts)

    def restore(self, state: TrainState) -> None:
        self.engine.restore(state.step, state.tensors)
        facts = state.facts
        self.step, self.looked, self.seconds, self.tokens = (
            state.step, int(facts["looked"]), float(facts["seconds"]), int(facts["tokens"]),
        )  # fmt: skip
        self.best_step, self.best = int(facts["best_step"]), dict(facts["best"])
        self.waited, self.solved, self.why = int(facts["waited"]), int(facts["solved"]), facts["why"]
        self.engine.parts = int(facts.get("parts", 1))
        self.pending = Step(**facts["pending"]) if facts["pending"] else None
        if any(name.startswith("best/") for name in state.tensors):
            self.best_weights = {name: torch.empty_like(weight) for name, weight in self.engine.weights.items()}
            restore("best", self.best_weights, state.tensors)
        for guard in self.callbacks.guards:
            if guard.name in facts["guards"]:
                guard.restore(facts["guards"][guard.name])


@contextmanager
def _chance_and_threads(threads: int) -> Iterator[None]:
    """Dropout draws from the global generator, which is lent for the training and given back as it was."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
