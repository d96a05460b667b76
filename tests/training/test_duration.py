"""The time of a training is named before its first step, from steps and evaluations that were really done."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from faults import model_for, recipe, rows_for

from terakoya.codec import TextCodec
from terakoya.config import Config, ModelConfig
from terakoya.models.builtin.model import BuiltinModel
from terakoya.records import Example, Split
from terakoya.task import Task
from terakoya.training import step as training_step
from terakoya.training.preflight import duration, preflight
from terakoya.training.prepare import TrainingSetup


def prepared(**train: object) -> tuple[TrainingSetup, BuiltinModel]:
    rows = rows_for(1)
    model = model_for(rows, 1)
    examples = tuple(Example(row.query.source, row.target) for row in rows)
    config = Config(seed=1, model=ModelConfig(base="tiny", width=16, layers=1), train=recipe(model, len(rows), **train))
    return TrainingSetup(Task("backwards", codec=TextCodec()), Split(examples, examples[:5], ()), config), model


def test_preflight_names_the_time_of_the_training() -> None:
    setup, model = prepared(steps=400, evaluate_every=40)
    (found,) = (finding for finding in preflight(setup, model) if finding.check == "duration")
    assert found.level == "note"
    assert "400 steps" in found.what and "10 evaluations" in found.what
    values = found.values
    assert values["seconds"] == pytest.approx(400 * values["step_seconds"] + 10 * values["evaluation_seconds"])
    assert values["step_seconds"] > 0 and values["evaluation_seconds"] > 0


def test_steps_and_evaluations_are_timed_as_they_will_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that takes 40 ms more and an evaluation that takes 0.2 s more are seen in the estimate."""
    setup, model = prepared(steps=1000, evaluate_every=100)
    real_step, real_evaluator = training_step.Engine.step, duration.dev_evaluator

    def slow_step(self: training_step.Engine, number: int, **more: bool) -> object:
        time.sleep(0.04)
        return real_step(self, number, **more)

    def slow_evaluator(*given: object) -> object:
        evaluate = real_evaluator(*given)  # type: ignore[arg-type]

        def slow(number: int) -> object:
            time.sleep(0.2)
            return evaluate(number)

        return slow

    quick = duration.measure_duration(setup, model)
    monkeypatch.setattr(training_step.Engine, "step", slow_step)
    monkeypatch.setattr(duration, "dev_evaluator", slow_evaluator)
    slow = duration.measure_duration(setup, model)
    assert quick is not None and slow is not None
    assert slow.step >= 0.04 and slow.evaluation >= 0.2
    assert slow.total >= 1000 * 0.04 + 10 * 0.2
    assert quick.step < slow.step


def test_timing_leaves_weights_generators_and_mode_as_they_were() -> None:
    setup, model = prepared()
    before = {name: weight.clone() for name, weight in model.module.named_parameters()}
    state, threads, training = torch.get_rng_state(), torch.get_num_threads(), model.module.training
    duration.measure_duration(setup, model)
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_num_threads(), model.module.training) == (threads, training)
    assert all(torch.equal(weight, before[name]) for name, weight in model.module.named_parameters())
    assert all(weight.grad is None for weight in model.module.parameters())


def test_a_limit_in_minutes_limits_the_estimate() -> None:
    found = duration.Duration(1000, 1.0, 10, 2.0, limit=60.0)
    assert found.total == 60.0
    assert replace(found, limit=0.0).total == 1020.0


def test_among_several_processes_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that steps alone would wait for the gradients of the others for ever."""
    monkeypatch.setenv("MASTER_PORT", "29500")
    setup, model = prepared()
    assert duration.measure_duration(setup, model) is None
