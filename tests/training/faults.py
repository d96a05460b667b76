"""Faults that enter through config, data or weights alone, each with the cause that must be named; and healthy runs.

for fault in FAULTS:
    end = outcome(fault, seed)          # which cause was named, at which step, and when it first showed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch

from terakoya.codec import TextCodec
from terakoya.config import Config, ModelConfig, TrainConfig
from terakoya.errors import DataError, NumericError
from terakoya.models.builtin.model import BuiltinModel, build
from terakoya.models.protocol import Pair, Query
from terakoya.records import Example, Finding, Split
from terakoya.task import Task
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.guards import guards_for
from terakoya.training.loop import run_loop
from terakoya.training.losses import loss_for
from terakoya.training.prepare import TrainingSetup

STEPS, BATCH = 40, 8
Injection = Callable[[BuiltinModel, Random], None]


@dataclass(frozen=True)
class Fault:
    """`cause`: a kind of nonfinite/evidence.py; "row" where the row is refused by name."""

    name: str
    enters: str
    cause: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inject: Injection | None = None
    rows: tuple[tuple[str, str], ...] = ()
    names: str = ""  # what the message must hold


@dataclass(frozen=True)
class End:
    """How a run ended: the cause named ("" for none), the step, the message, and the step where it first showed."""

    cause: str
    step: int
    message: str
    showed: int


def rows_for(seed: int, count: int = 60) -> list[Pair]:
    """Words of a to e, to be written backwards."""
    rng = Random(seed)
    words = ["".join(rng.choice("abcde") for _ in range(rng.randint(2, 7))) for _ in range(count)]
    return [Pair(Query(word), word[::-1], f"row {number}") for number, word in enumerate(words, start=1)]


def model_for(rows: Sequence[Pair], seed: int, **changes: Any) -> BuiltinModel:
    settings = {"base": "tiny", "width": 16, "layers": 1, "attention_heads": 2} | changes
    return build(ModelConfig(**settings), rows, seed=seed)


def recipe(model: BuiltinModel, rows: int, **changes: Any) -> TrainConfig:
    settings = {"steps": STEPS, "batch_size": BATCH, "evaluate_every": 10, "threads": 1, "optimizer": "adamw"}
    return resolve(TrainConfig(**(settings | changes)), model.info, rows)


def outcome(fault: Fault, seed: int, folder: Path) -> End:
    """The fault injected, the model trained under all guards; beside it a plain loop that finds when it first shows."""
    showed = 0 if fault.cause == "row" else _first_shown(*_set_up(fault, seed), seed)
    model, rows, how = _set_up(fault, seed)
    try:
        findings = train_guarded(model, rows, how, seed, folder)
    except NumericError as error:
        return End(error.cause, error.step, str(error), showed)
    except DataError as error:
        return End("row", 0, str(error), showed)
    stops = [finding for finding in findings if finding.level == "stop"]
    if not stops:
        return End("", 0, "", showed)
    named = stops[0].what.partition("Likely cause: ")[2].partition(":")[0]
    return End(named, int(stops[0].values["step"]), stops[0].what, showed)


def train_guarded(
    model: BuiltinModel, rows: Sequence[Pair], how: TrainConfig, seed: int, folder: Path
) -> list[Finding]:
    """Findings of a training under every built-in guard."""
    findings: list[Finding] = []
    run_loop(
        model,
        EpochBatches(rows, int(how.batch_size), seed, model.length),
        how,
        seed=seed,
        guards=guards_for(setup_of(rows, how, seed), model, folder),
        on_finding=findings.append,
        evaluate=lambda step: {"exact": 0.0},
        device="cpu",
    )
    return findings


def setup_of(rows: Sequence[Pair], how: TrainConfig, seed: int) -> TrainingSetup:
    examples = tuple(Example(row.query.source, row.target) for row in rows if row.query.source and row.target)
    return TrainingSetup(Task("backwards", codec=TextCodec()), Split(examples, (), ()), Config(seed=seed, train=how))


def _set_up(fault: Fault, seed: int) -> tuple[BuiltinModel, list[Pair], TrainConfig]:
    rows = rows_for(seed)
    model = model_for(rows, seed)
    for index, (source, target) in enumerate(fault.rows):
        rows.insert(7 + index, Pair(Query(source), target, f"row bad-{index}"))
    if fault.rows and fault.inject is not None:
        model = model_for(rows, seed)
    how = recipe(model, len(rows), **fault.config)
    if fault.inject is not None:
        with torch.no_grad():
            fault.inject(model, Random(f"spoil {seed}"))
    return model, rows, how


def _first_shown(model: BuiltinModel, rows: list[Pair], how: TrainConfig, seed: int) -> int:
    """The usual check: the first step whose loss, gradient or new weights are not finite, or whose loss is five
    times its first value and more (0: none)."""
    weights = [weight for _, weight in model.parameters_to_train()]
    optimizer = torch.optim.AdamW(
        weights, lr=float(how.learning_rate), betas=how.betas, weight_decay=float(how.weight_decay)
    )
    batches, loss_of = EpochBatches(rows, int(how.batch_size), seed, model.length), loss_for(how)
    far = math.inf
    for number in range(int(how.steps)):
        optimizer.zero_grad()
        loss = loss_of(model.outputs(model.collate(batches.at(number))))
        if number == 0:
            far = 5 * max(float(loss.detach()), math.log(model.info.vocabulary)) + 5
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        if not (torch.isfinite(loss) and torch.isfinite(norm)) or float(loss.detach()) > far:
            return number + 1
        if how.clip:
            torch.nn.utils.clip_grad_norm_(weights, how.clip)
        optimizer.step()
        if not all(bool(torch.isfinite(weight).all()) for weight in weights):
            return number + 1
    return 0


def right(fault: Fault, end: End) -> bool:
    """Whether the cause was named right, and what the message must hold is there."""
    return end.cause == fault.cause and fault.names in end.message


def in_time(fault: Fault, end: End) -> bool:
    """Whether the training stopped no later than one step after the fault first showed (rows: before any step)."""
    return end.step == 0 if fault.cause == "row" else 0 < end.step <= end.showed + 1 and end.showed > 0


# ── faults ──────────────────────────────────────────────────────────────────────────────────────


def _matrix(model: BuiltinModel, rng: Random) -> torch.Tensor:
    names = ("feed.inner", "feed.outer", "attention.qkv", "attention.out")
    ends = tuple(f"{name}.weight" for name in names)
    return rng.choice([weight for name, weight in model.parameters_to_train() if name.endswith(ends)])


def _nan_in_matrix(model: BuiltinModel, rng: Random) -> None:
    matrix = _matrix(model, rng)
    matrix[rng.randrange(len(matrix)), rng.randrange(matrix.shape[1])] = math.nan


def _inf_in_norm(model: BuiltinModel, rng: Random) -> None:
    norms = [weight for name, weight in model.parameters_to_train() if name.endswith("norm.weight")]
    rng.choice(norms)[0] = math.inf


def _huge_matrix(model: BuiltinModel, rng: Random) -> None:
    for name, weight in model.parameters_to_train():
        if name.endswith(("inner.weight", "outer.weight")):
            weight *= 10.0 ** rng.randint(20, 30)


def _token(model: BuiltinModel, char: str) -> torch.Tensor:
    return model.module.embed.weight[int(model.characters.ids([char], 1, left=False)[0, 0])]


def _nan_token(model: BuiltinModel, rng: Random) -> None:
    _token(model, rng.choice("abcde"))[rng.randrange(16)] = math.nan


def _long_token(model: BuiltinModel, rng: Random) -> None:
    _token(model, rng.choice("abcde")).mul_(10.0 ** rng.randint(22, 30))


def _long_rare_token(model: BuiltinModel, rng: Random) -> None:
    _token(model, "z").mul_(10.0 ** rng.randint(22, 30))


def _nan_position(model: BuiltinModel, rng: Random) -> None:
    model.module.encoder.places[5, rng.randrange(16)] = math.nan


def _half(model: BuiltinModel, rng: Random) -> None:
    """Matrices that single precision holds easily."""
    for name, weight in model.parameters_to_train():
        if name.endswith(("inner.weight", "outer.weight")):
            weight *= rng.randint(400, 900)
    model.module.half()


def _certain(model: BuiltinModel, rng: Random) -> None:
    """A model that is certain of everything, as one that was trained already is."""
    model.module.norm.weight.mul_(rng.randint(2000, 4000))


STEADY = {"schedule": "constant", "warmup": 0.0}
FAULTS = (
    Fault("learning rate 1e30", "config", "learning rate", {"learning_rate": 1e30, **STEADY}),
    Fault("learning rate without end (inf)", "config", "learning rate", {"learning_rate": math.inf, **STEADY}),
    Fault("learning rate 1e15, not clipped", "config", "learning rate", {"learning_rate": 1e15, "clip": 0.0, **STEADY}),
    Fault("learning rate 100, all stays finite", "config", "learning rate", {"learning_rate": 100.0, **STEADY}),
    Fault("weight decay 1e6", "config", "weight decay", {"weight_decay": 1e6, **STEADY}),
    Fault("focal loss with gamma 0.3", "config", "loss", {"loss": "focal", "focal_gamma": 0.3}, _certain),
    Fault("float16, activations beyond 65,504", "weights", "half precision", {}, _half),
    Fault("NaN in one number of a matrix", "weights", "broken weights", {}, _nan_in_matrix),
    Fault("infinity in a norm", "weights", "broken weights", {}, _inf_in_norm),
    Fault("matrices scaled by 1e20 and more", "weights", "broken weights", {}, _huge_matrix),
    Fault("NaN in the embedding of a token", "weights", "broken embedding", {}, _nan_token, names="embed.weight"),
    Fault("embedding of a token times 1e22", "weights", "broken embedding", {}, _long_token, names="embed.weight"),
    Fault("NaN in a position embedding", "weights", "broken embedding", {}, _nan_position, names="places"),
    Fault(
        "a character that one row holds, its embedding times 1e22", "weights and data", "broken embedding", {},
        _long_rare_token, (("abz", "ba"),), "row bad-0",
    ),
    Fault("a row with an empty source", "data", "row", rows=(("", "a"),), names="row bad-0"),
    Fault("a row longer than the model", "data", "row", rows=(("abc" * 20, "a"),), names="row bad-0"),
    Fault("a target in strange characters", "data", "row", rows=(("abc", "填"),), names="row bad-0"),
)  # fmt: skip


HEALTHY: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("as by default", {"optimizer": "muon"}, {}),
    ("AdamW", {}, {}),
    ("AdamW at five times the rate", {"learning_rate": 1.5e-2}, {}),
    ("one cycle, no warm-up", {"warmup": 0.0, "schedule": "linear"}, {}),
    ("not clipped", {"clip": 0.0}, {}),
    ("focal loss", {"loss": "focal"}, {}),
    ("label smoothing", {"label_smoothing": 0.2}, {}),
    ("weight decay 0.3", {"weight_decay": 0.3}, {}),
    ("averaged weights", {"average": 0.9}, {}),
    ("a decoder alone", {}, {"family": "decoder"}),
    ("dropout", {}, {"dropout": 0.3}),
    ("accumulated", {"accumulate": 2}, {}),
    ("wider", {}, {"width": 48}),
    ("a batch of one", {"batch_size": 1}, {}),
    ("a learning rate too low to learn anything", {"learning_rate": 1e-7}, {}),
    ("constant rate", {"schedule": "constant"}, {}),
    ("a batch of all", {"batch_size": 60}, {}),
)  # fmt: skip


def healthy(number: int, seed: int, folder: Path) -> list[Finding]:
    """Findings of level stop in a run in which nothing is wrong."""
    _, train_changes, model_changes = HEALTHY[number]
    rows = rows_for(seed)
    model = model_for(rows, seed, **model_changes)
    how = recipe(model, len(rows), **train_changes)
    return [finding for finding in train_guarded(model, rows, how, seed, folder) if finding.level == "stop"]
