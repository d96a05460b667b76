"""Two halves of a batch on two threads: the same steps, the same bits, and no error is lost between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from terakoya.config import TrainConfig
from terakoya.models.builtin.model import BuiltinModel
from terakoya.models.protocol import Pair
from terakoya.records import Step
from terakoya.training import step
from terakoya.training.batches import EpochBatches
from terakoya.training.defaults import resolve
from terakoya.training.loop import run_loop
from terakoya.training.parallel.threads import Replicas
from tests.training.backwards import bits, recipe, small_model, words


def train(replicas: int, steps: int = 12, **callbacks: Any) -> BuiltinModel:
    model = small_model(dropout=0.0)
    config = recipe(model, steps=steps, replicas=replicas, evaluate_every=steps)
    run_loop(model, EpochBatches(words(), 10, 1, model.length), config, seed=1, **callbacks)
    return model


def test_two_halves_of_a_batch_take_the_steps_of_the_whole() -> None:
    """Sums in another order differ in their last bits, and so do losses and gradient norms."""
    whole: list[Step] = []
    halves: list[Step] = []
    train(1, on_step=whole.append)
    train(2, on_step=halves.append)
    for one, other in zip(whole, halves, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-3)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-2)
    assert halves[0].loss == pytest.approx(whole[0].loss, rel=1e-6)
    assert halves[-1].loss < halves[0].loss


def test_which_thread_is_faster_changes_no_bit() -> None:
    """Gradients are added in the order of the replicas."""
    assert bits(train(2)) == bits(train(2)) == bits(train(2))


def test_a_replica_shares_the_weights_and_not_the_gradients() -> None:
    """What the optimizer does to one is done to both; a backward pass of one leaves the other's gradients alone."""
    model = small_model(dropout=0.0)
    replica = model.shared_weight_replica()
    assert replica is not None
    with torch.no_grad():
        for _, weight in model.parameters_to_train():
            weight.add_(1.0)
    assert bits(model) == bits(replica)
    replica.outputs(replica.collate(words(4))).logits.sum().backward()
    assert any(weight.grad is not None for _, weight in replica.parameters_to_train())
    assert all(weight.grad is None for _, weight in model.parameters_to_train())


def test_gradients_of_replicas_are_added_and_cleared() -> None:
    """The sum over parts is the gradient of the whole batch, also where a replica had no part."""
    rows = words(7)

    def gradients(count: int) -> list[torch.Tensor]:
        model = small_model(dropout=0.0)
        replicas = Replicas(model, count)

        def work(part_model: BuiltinModel, part: Sequence[Pair]) -> None:
            part_model.outputs(part_model.collate(part)).logits.square().sum().backward()

        replicas.map([rows[:3], rows[3:4], rows[4:]], work)  # type: ignore[arg-type]
        replicas.reduce_gradients()
        assert all(
            weight.grad is None for replica in replicas.models[1:] for _, weight in replica.parameters_to_train()
        )
        replicas.close()
        return [weight.grad for _, weight in model.parameters_to_train() if weight.grad is not None]

    one = gradients(1)
    for count in (2, 3):
        for left, right in zip(one, gradients(count), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_dropout_keeps_to_one_replica() -> None:
    """It draws from one generator, and two threads would draw in the order in which they come."""
    model = small_model(dropout=0.2)
    assert model.shared_weight_replica() is None
    assert len(Replicas(model, 4).models) == 1


def test_an_error_in_a_replica_is_raised_and_leaves_no_gradient_behind() -> None:
    """Both halves end before the error is raised; the next step must not find half a gradient."""
    model = small_model(dropout=0.0)
    replicas = Replicas(model, 2)

    def work(part_model: BuiltinModel, part: Sequence[Pair]) -> None:
        part_model.outputs(part_model.collate(part)).logits.sum().backward()
        if part_model is not model:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        replicas.map([words(4), words(4)], work)  # type: ignore[arg-type]
    replicas.clear_gradients()
    assert all(weight.grad is None for each in replicas.models for _, weight in each.parameters_to_train())


def test_a_half_that_does_not_fit_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory in the other thread is handled as in this one."""
    model = small_model(dropout=0.0)
    failures: list[int] = []
    backward = step.Engine._backward

    def cramped(self: step.Engine, part_model: BuiltinModel, batch: object, share: float) -> torch.Tensor:
        if part_model is not model and not failures:
            failures.append(1)
            raise torch.OutOfMemoryError("out of memory")
        return backward(self, part_model, batch, share)  # type: ignore[arg-type]

    monkeypatch.setattr(step.Engine, "_backward", cramped)
    found: list[str] = []
    config = recipe(model, steps=4, replicas=2, on_oom="halve")
    run_loop(
        model, EpochBatches(words(), 10, 1), config, seed=1, on_finding=lambda finding: found.append(finding.check)
    )
    assert failures
    assert found


def test_small_models_train_in_two_halves_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are two cores, and matmuls are not given more threads."""
    model = small_model(dropout=0.0)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)))
    assert resolve(TrainConfig(), model.info, 50).replicas == 2
    assert resolve(TrainConfig(threads=4), model.info, 50).replicas == 1
    assert resolve(TrainConfig(replicas=3), model.info, 50).replicas == 3
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert resolve(TrainConfig(), model.info, 50).replicas == 1
