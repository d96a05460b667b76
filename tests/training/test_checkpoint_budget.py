"""Checkpoints of large models take a twentieth of the training's time at most, and hold no weight twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from backwards import bits, recipe, small_model, words

from terakoya.errors import Interrupted
from terakoya.training import checkpoint_budget
from terakoya.training.batches import EpochBatches
from terakoya.training.checkpoint_budget import CheckpointBudget
from terakoya.training.loop import TrainResult, run_loop
from terakoya.training.state import TrainState
from terakoya.training.step import Engine


def _train(model: Any, **callbacks: Any) -> TrainResult:
    rows = EpochBatches(words(), 8, 5, model.length)
    return run_loop(model, rows, recipe(model, steps=20, evaluate_every=2), seed=11, device="cpu", **callbacks)


@pytest.mark.parametrize("takes", [0.01, 8.0, 40.0])
def test_checkpoints_take_a_twentieth_of_the_time(takes: float) -> None:
    """Four gigabytes on a fast, a usual and a slow disk; after an hour there are some in any case."""
    budget, saved = CheckpointBudget(4_300_000_000), 0
    for seconds in range(5, 3600, 5):
        if budget.allows(seconds):
            budget.record(takes)
            saved += 1
            assert saved * takes <= 0.05 * seconds + takes  # the first one's time is an estimate
            assert saved * budget.size <= 0.05 * seconds * 300e6
    assert saved >= 4


def test_what_an_earlier_process_trained_is_no_budget_of_this_one() -> None:
    """Resumed after hours, it would else write one checkpoint after another."""
    budget = CheckpointBudget(4_300_000_000, seconds=7200)
    assert not budget.allows(7210)
    assert budget.allows(7200 + 300)


def test_small_checkpoints_are_written_at_every_evaluation() -> None:
    """Those of built-in models: a kill costs a twentieth of the training, as ever."""
    states: list[TrainState] = []
    _train(small_model(), evaluate=lambda step: {"exact": 0.1}, save=states.append)
    assert [state.step for state in states] == list(range(2, 21, 2))


def test_a_large_model_is_saved_when_interrupted_and_ends_in_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint is worth its time in half a second; Ctrl-C still loses nothing."""
    monkeypatch.setattr(checkpoint_budget, "SMALL", 0)
    monkeypatch.setattr(checkpoint_budget, "FASTEST", 1000)
    straight, states = small_model(), []
    _train(straight, evaluate=lambda step: {"exact": step / 100}, save=states.append)
    assert not states

    def interrupted(step: int) -> Mapping[str, float]:
        if step == 12:
            raise KeyboardInterrupt
        return {"exact": step / 100}

    with pytest.raises(Interrupted):
        _train(small_model(), evaluate=interrupted, save=states.append)
    assert [state.step for state in states] == [12]
    resumed = small_model()
    _train(resumed, evaluate=lambda step: {"exact": step / 100}, resume=states[0])
    assert bits(resumed) == bits(straight)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_weights_stand_once_in_a_checkpoint(average: float) -> None:
    """At the best step they are the weights, or their average, that the checkpoint holds anyway."""
    states: list[TrainState] = []
    model = small_model()
    config = recipe(model, steps=8, evaluate_every=2, average=average)
    values = {2: 0.1, 4: 0.5, 6: 0.2, 8: 0.3}
    rows = EpochBatches(words(), 8, 5, model.length)
    run_loop(model, rows, config, seed=11, device="cpu", evaluate=lambda n: {"exact": values[n]}, save=states.append)
    held = [any(name.startswith("best/") for name in state.tensors) for state in states]
    assert held == [False, False, True, True]
    for state in states:
        resumed = small_model()
        rows = EpochBatches(words(), 8, 5, resumed.length)
        run_loop(resumed, rows, config, seed=11, device="cpu", evaluate=lambda n: {"exact": values[n]}, resume=state)
        assert bits(resumed) == bits(model)


def test_the_size_of_a_checkpoint_is_known_before_it_is_written() -> None:
    """Within a hundredth: the counters of an optimizer and headers are all that is left out."""
    states: list[TrainState] = []
    model = small_model()
    config = recipe(model, steps=4, evaluate_every=2, optimizer="adamw")
    rows = EpochBatches(words(), 8, 5, model.length)
    run_loop(model, rows, config, seed=1, device="cpu", evaluate=lambda n: {"exact": 1 / n}, save=states.append)
    expected = Engine(model, rows, config, 1, "cpu", "no").state_bytes(best=True)
    actual = sum(tensor.numel() * tensor.element_size() for tensor in states[-1].tensors.values())
    assert actual == pytest.approx(expected, rel=0.01)
