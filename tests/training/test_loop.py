"""The loop trains, resumes to the bit, stops where it must, and keeps nothing broken."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import torch
from backwards import bits, recipe, small_model, word, words

from terakoya.codec import TextCodec
from terakoya.config import DecodeConfig, TrainConfig
from terakoya.decoding import generate
from terakoya.errors import ConfigError, Interrupted, NumericError
from terakoya.models.builtin.model import BuiltinModel
from terakoya.records import Finding, Step
from terakoya.training.batches import EpochBatches, StreamBatches
from terakoya.training.loop import TrainResult, run_loop
from terakoya.training.state import TrainState


def _rows(model: BuiltinModel, kind: str = "fixed", steps: int = 20) -> EpochBatches | StreamBatches:
    if kind == "fixed":
        return EpochBatches(words(), 8, 5, model.length)
    return StreamBatches(word, 8, 5, steps, model.length, curriculum=False)


def _train(model: BuiltinModel, config: TrainConfig, kind: str = "fixed", **callbacks: Any) -> TrainResult:
    return run_loop(model, _rows(model, kind, int(config.steps)), config, seed=11, device="cpu", **callbacks)


def _exact(model: BuiltinModel, count: int = 60) -> float:
    pairs = [word(Random(f"dev {number}")) for number in range(count)]
    found = generate(model, [pair.query for pair in pairs], TextCodec(), DecodeConfig(constrained=False), 8)
    return sum(one.raw == pair.target for one, pair in zip(found, pairs, strict=True)) / count


def test_a_small_model_learns_to_write_backwards() -> None:
    """From untrained to nearly all right, by generated predictions."""
    model = small_model(dropout=0.0, width=32)
    before = _exact(model)
    config = recipe(model, steps=300, batch_size=16, evaluate_every=150)
    rows = StreamBatches(word, 16, 5, 300, model.length, curriculum=False)
    result = run_loop(model, rows, config, seed=11, device="cpu", evaluate=lambda step: {"exact": _exact(model)})
    assert before < 0.2
    assert result.best["exact"] > 0.9
    assert _exact(model) == result.best["exact"], "the weights of the best step are the ones that predict"


@pytest.mark.parametrize("kind", ["fixed", "stream"])
@pytest.mark.parametrize(("average", "optimizer"), [(0.0, "muon"), (0.9, "adamw")])
def test_a_resumed_run_ends_in_the_same_bits(kind: str, average: float, optimizer: str) -> None:
    """With dropout, in the middle of an epoch, with averaged weights; equal losses could hide unequal weights."""
    every = {"steps": 20, "evaluate_every": 3, "average": average, "optimizer": optimizer}
    states: list[TrainState] = []
    steps: list[Step] = []
    straight = small_model()
    values = {3: 0.1, 6: 0.5, 9: 0.2, 12: 0.2, 15: 0.5, 18: 0.4, 20: 0.3}

    def evaluate(step: int) -> Mapping[str, float]:
        return {"exact": values[step]}

    config = recipe(straight, **every)
    whole = _train(straight, config, kind, evaluate=evaluate, save=states.append, on_step=steps.append)
    assert whole.best_step == 6
    for state in (states[0], states[3], states[5]):
        resumed = small_model()
        reported: list[Step] = []
        again = _train(resumed, config, kind, evaluate=evaluate, resume=_through_files(state), on_step=reported.append)
        assert bits(resumed) == bits(straight)
        assert (again.best_step, again.tokens) == (whole.best_step, whole.tokens)
        assert [_untimed(step) for step in reported] == [_untimed(step) for step in steps[state.step :]]


def test_the_last_weights_are_final_where_the_config_says_so() -> None:
    model = small_model()
    last: list[TrainState] = []
    config = recipe(model, select="last")
    _train(model, config, evaluate=lambda step: {"exact": 1 / step}, save=last.append)
    weights = dict(model.module.named_parameters())
    assert all(torch.equal(weights[name], last[-1].tensors[f"weights/{name}"]) for name in weights)


def test_the_metrics_of_the_last_weights_are_reported_where_these_are_final() -> None:
    """The best evaluation's metrics would be those of weights that nobody gets."""
    model = small_model()
    states: list[TrainState] = []

    def evaluate(step: int) -> Mapping[str, float]:
        return {"exact": 1 / step}

    result = _train(model, recipe(model, select="last"), evaluate=evaluate, save=states.append)
    assert (result.best_step, result.best) == (20, {"exact": 1 / 20})
    again = small_model()
    resumed = _train(again, recipe(again, select="last"), evaluate=evaluate, resume=_through_files(states[-1]))
    assert (resumed.best_step, resumed.best) == (20, {"exact": 1 / 20})


def test_the_best_step_is_chosen_by_metric_or_by_loss() -> None:
    values = {5: (0.2, 1.0), 10: (0.6, 2.0), 15: (0.6, 1.5), 20: (0.4, 3.0)}

    def best(select: str) -> int:
        model = small_model()
        config = recipe(model, select=select)
        return _train(
            model, config, evaluate=lambda step: dict(zip(("exact", "loss"), values[step], strict=True))
        ).best_step

    assert best("metric") == 15, "a tie on the metric goes to the lower loss"
    assert best("loss") == 5


def test_where_dev_gives_no_metric_the_lowest_loss_is_the_best() -> None:
    """A caller's `evaluate` may give the loss alone."""
    losses = {5: 2.0, 10: 1.0, 15: 3.0, 20: 4.0}
    model = small_model()
    assert _train(model, recipe(model), evaluate=lambda step: {"loss": losses[step]}).best_step == 10


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_dev_loss_that_is_not_finite_is_never_the_best(bad: float) -> None:
    """NaN compares as False with everything: at the first evaluation it stayed the best for the whole training."""
    losses = {5: bad, 10: 2.0, 15: bad, 20: 3.0}
    model = small_model()
    states: list[TrainState] = []
    config = recipe(model, select="loss")
    result = _train(model, config, evaluate=lambda step: {"exact": 0.5, "loss": losses[step]}, save=states.append)
    assert (result.best_step, result.best["loss"]) == (10, 2.0)
    at_best = next(state for state in states if state.step == 10)
    for name, weight in model.module.named_parameters():
        assert torch.equal(weight, at_best.tensors[f"weights/{name}"])


def test_without_any_finite_dev_loss_the_last_weights_are_final() -> None:
    model = small_model()
    result = _train(model, recipe(model, select="loss"), evaluate=lambda step: {"loss": float("nan")})
    assert (result.best_step, result.best) == (20, {})


def test_a_nan_metric_is_never_the_best_and_a_nan_loss_loses_a_tie() -> None:
    nan = float("nan")
    values = {5: (nan, 1.0), 10: (0.5, nan), 15: (0.5, 2.0), 20: (0.4, 1.0)}
    model = small_model()
    result = _train(model, recipe(model), evaluate=lambda step: dict(zip(("exact", "loss"), values[step], strict=True)))
    assert result.best_step == 15


def test_a_checkpoint_whose_best_dev_loss_is_nan_recovers() -> None:
    """As runs of the first format hold it, where the first evaluation was NaN."""
    model = small_model()
    states: list[TrainState] = []
    config = recipe(model, select="loss")
    _train(model, config, evaluate=lambda step: {"loss": 1.0}, save=states.append)
    facts = dict(states[0].facts) | {"best": {"loss": float("nan")}}
    resumed = small_model()
    result = _train(resumed, config, evaluate=lambda step: {"loss": 2.0}, resume=replace(states[0], facts=facts))
    assert (result.best_step, result.best) == (10, {"loss": 2.0})


def test_solved_again_and_again_ends_early() -> None:
    """One evaluation with everything right is luck with few items."""
    model = small_model()
    solved = {5: 1.0, 10: 0.9} | dict.fromkeys(range(15, 60, 5), 1.0)
    result = _train(model, recipe(model, steps=60), evaluate=lambda step: {"exact": solved.get(step, 0.0)})
    assert (result.stopped, result.steps) == ("solved", 35)


def _wsd(model: BuiltinModel, **changes: Any) -> TrainConfig:
    settings = {"steps": 60, "schedule": "wsd", "decay": 10, "warmup": 4, "decay_when_solved": 0.9}
    return recipe(model, **(settings | changes))


def test_wsd_decays_as_soon_as_dev_is_solved_and_ends_with_the_decay() -> None:
    """Dev reaches 0.9 at step 15, once: the rate falls in the ten steps that follow, and they are the last ones."""
    model = small_model()
    steps: list[Step] = []
    found: list[Finding] = []
    dev = {5: 0.2, 10: 0.89, 15: 0.9, 20: 0.5, 25: 0.95}
    result = _train(
        model, _wsd(model), evaluate=lambda step: {"exact": dev[step]}, on_step=steps.append, on_finding=found.append
    )
    peak = steps[10].learning_rate
    assert (result.stopped, result.steps, result.best_step) == ("steps", 25, 25)
    assert [step.learning_rate for step in steps[4:15]] == [peak] * 11
    assert [step.learning_rate / peak for step in steps[15:]] == pytest.approx(
        [1 - (number / 10) ** 0.5 for number in range(10)]
    )
    assert [(one.check, one.level, dict(one.values)) for one in found] == [
        ("decay", "note", {"step": 15.0, "last_step": 25.0})
    ]


@pytest.mark.parametrize("changes", [{"decay_when_solved": 0.0}, {"decay_when_solved": 2.0}])
def test_wsd_that_never_sees_dev_solved_decays_in_its_last_steps(changes: dict[str, float]) -> None:
    model = small_model()
    steps: list[Step] = []
    config = _wsd(model, stop_when_solved=0.0, **changes)
    result = _train(model, config, evaluate=lambda step: {"exact": 1.0}, on_step=steps.append)
    assert result.steps == 60
    assert steps[50].learning_rate == steps[10].learning_rate
    assert steps[51].learning_rate < steps[50].learning_rate


def test_solved_again_and_again_does_not_cut_a_decay_short() -> None:
    model = small_model()
    result = _train(model, _wsd(model, decay=40, stop_when_solved=1.0), evaluate=lambda step: {"exact": 1.0})
    assert (result.stopped, result.steps) == ("steps", 45)


def test_wsd_never_lengthens_a_training() -> None:
    """Solved when the decay has begun by itself: it goes on as it is."""
    model = small_model()
    found: list[Finding] = []
    dev = dict.fromkeys(range(5, 55, 5), 0.0) | {55: 1.0, 60: 1.0}
    result = _train(model, _wsd(model), evaluate=lambda step: {"exact": dev[step]}, on_finding=found.append)
    assert (result.steps, found) == (60, [])


def test_wsd_resumed_before_and_in_its_decay_ends_in_the_same_bits() -> None:
    states: list[TrainState] = []
    steps: list[Step] = []
    straight = small_model()
    dev = {5: 0.2, 10: 0.3, 15: 0.9, 20: 0.5, 25: 0.95}

    def evaluate(step: int) -> Mapping[str, float]:
        return {"exact": dev[step]}

    config = _wsd(straight)
    whole = _train(straight, config, evaluate=evaluate, save=states.append, on_step=steps.append)
    assert [state.step for state in states] == [5, 10, 15, 20, 25]
    for state in states:
        resumed = small_model()
        reported: list[Step] = []
        again = _train(resumed, config, evaluate=evaluate, resume=_through_files(state), on_step=reported.append)
        assert bits(resumed) == bits(straight)
        assert (again.steps, again.best_step) == (whole.steps, whole.best_step) == (25, 25)
        assert [_untimed(step) for step in reported] == [_untimed(step) for step in steps[state.step :]]


def test_patience_ends_a_training_that_gains_nothing() -> None:
    model = small_model()
    result = _train(model, recipe(model, steps=40, patience=2), evaluate=lambda step: {"exact": 1 / step})
    assert (result.stopped, result.steps, result.best_step) == ("patience", 15, 5)


def test_a_bound_in_minutes_holds() -> None:
    model = small_model()
    states: list[TrainState] = []
    result = _train(model, recipe(model, steps=100_000, minutes=0.005), save=states.append)
    assert result.stopped == "minutes"
    assert 0.3 <= result.seconds < 3
    assert states[-1].step == result.steps


class _CountingGuard:
    """Stops after so many steps, counted over interruptions."""

    name = "counting"

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0

    def __call__(self, step: Step) -> Sequence[Finding]:
        self.count += 1
        return [Finding("counting", "stop", "enough")] if self.count >= self.most else []

    def state(self) -> Mapping[str, Any]:
        return {"count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])


def test_a_guard_ends_the_training_at_the_same_step_when_resumed() -> None:
    states: list[TrainState] = []
    found: list[Finding] = []
    model = small_model()
    result = _train(model, recipe(model), save=states.append, guards=[_CountingGuard(13)], on_finding=found.append)
    assert (result.stopped, result.steps, len(found)) == ("guard", 13, 1)
    again = small_model()
    resumed = _train(again, recipe(again), resume=states[0], guards=[_CountingGuard(13)])
    assert (resumed.stopped, resumed.steps) == ("guard", 13)
    assert bits(again) == bits(model)


def test_accumulated_batches_give_the_gradient_of_one_large_batch() -> None:
    """A mean of means weighs short rows more; every target must weigh the same."""

    def steps(batch: int, accumulate: int) -> list[Step]:
        model, reported = small_model(dropout=0.0), list[Step]()
        config = recipe(model, steps=3, batch_size=batch, accumulate=accumulate)
        run_loop(model, _InOrder(words(48), batch), config, seed=1, device="cpu", on_step=reported.append)
        return reported

    for small, large in zip(steps(4, 4), steps(16, 1), strict=True):
        assert small.loss == pytest.approx(large.loss, rel=1e-4)
        assert small.gradient_norm == pytest.approx(large.gradient_norm, rel=1e-3)
        assert small.tokens == large.tokens


class _InOrder:
    def __init__(self, pairs: list[Any], size: int) -> None:
        self.pairs, self.size = pairs, size

    def at(self, step: int) -> list[Any]:
        return self.pairs[step * self.size : (step + 1) * self.size]


@pytest.mark.parametrize("second", [False, True])
def test_ctrl_c_saves_whole_steps_and_the_run_goes_on_to_the_same_bits(second: bool) -> None:
    """In the middle of a step it waits; an evaluation is interrupted at once, and done again."""
    straight = small_model()
    _train(straight, recipe(straight), evaluate=lambda step: {"exact": step / 100})
    states: list[TrainState] = []
    model = small_model()
    calls = {"interrupted": False}

    def interrupt(*_: object) -> None:
        if not calls["interrupted"]:
            calls["interrupted"] = True
            os.kill(os.getpid(), signal.SIGINT)

    def evaluate(step: int) -> Mapping[str, float]:
        if second and step == 10:
            interrupt()
        return {"exact": step / 100}

    def on_step(step: Step) -> None:
        if not second and step.step == 7:
            interrupt()

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        _train(model, recipe(model), evaluate=evaluate, on_step=on_step, save=states.append)
    assert signal.getsignal(signal.SIGINT) is handler
    assert caught.value.step == states[-1].step == (10 if second else 7)
    assert caught.value.exit_code == 130
    resumed = small_model()
    reported: list[Step] = []
    _train(
        resumed,
        recipe(resumed),
        evaluate=lambda step: {"exact": step / 100},
        resume=states[-1],
        on_step=reported.append,
    )
    assert bits(resumed) == bits(straight)
    assert [step.step for step in reported] == list(range(10 if second else 8, 21))


def test_the_global_rng_and_the_threads_are_left_as_they_were() -> None:
    torch.manual_seed(1)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    model = small_model()
    _train(model, recipe(model, steps=3, threads=2 if threads == 1 else 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_config_with_auto_left_in_it_is_refused() -> None:
    model = small_model()
    with pytest.raises(ConfigError, match=r"not resolved: .*learning_rate"):
        _train(model, TrainConfig(steps=3))


def test_a_step_reports_totals_and_dev_values_where_there_are_any() -> None:
    """Tokens add up, seconds never fall, and dev stands at every fifth step."""
    model = small_model()
    steps: list[Step] = []
    result = _train(model, recipe(model, steps=12), evaluate=lambda step: {"exact": step / 100}, on_step=steps.append)
    assert [step.step for step in steps] == list(range(1, 13))
    assert {step.step: step.dev for step in steps if step.dev} == {
        5: {"exact": 0.05},
        10: {"exact": 0.1},
        12: {"exact": 0.12},
    }
    assert all(one.tokens < two.tokens and one.seconds <= two.seconds for one, two in pairwise(steps))
    assert (result.steps, result.stopped, result.best_step, result.best) == (12, "steps", 12, {"exact": 0.12})
    assert result.tokens == steps[-1].tokens and result.seconds >= steps[-1].seconds


def test_a_checkpoint_holds_these_facts() -> None:
    """The names are a format: checkpoints of older versions go on."""
    model = small_model()
    states: list[TrainState] = []
    dev = {5: 0.4, 10: 0.3, 15: 0.2, 20: 0.1}
    config = recipe(model, patience=9)
    _train(model, config, evaluate=lambda step: {"exact": dev[step]}, save=states.append, guards=[_CountingGuard(99)])
    first, second = states[0].facts, states[1].facts
    assert set(first) == {
        "looked", "seconds", "tokens", "best_step", "best", "last", "waited", "solved", "why", "parts", "pending",
        "guards", "best_is",
    }  # fmt: skip
    assert [first[name] for name in ("looked", "best_step", "best", "last", "waited", "solved", "why", "pending")] == [
        5, 5, {"exact": 0.4}, {"exact": 0.4}, 0, 0, None, None,
    ]  # fmt: skip
    assert [second[name] for name in ("looked", "best_step", "best", "last", "waited")] == [
        10, 5, {"exact": 0.4}, {"exact": 0.3}, 1,
    ]  # fmt: skip
    assert (first["parts"], first["guards"], second["guards"]) == (
        1,
        {"counting": {"count": 5}},
        {"counting": {"count": 10}},
    )
    assert "best_is" not in second and any(name.startswith("best/") for name in states[1].tensors)


def test_guards_that_are_switched_off_say_nothing() -> None:
    model = small_model()
    found: list[Finding] = []
    config = recipe(model, guards=False)
    result = _train(model, config, guards=[_CountingGuard(3)], on_finding=found.append)
    assert (result.steps, result.stopped, found) == (20, "steps", [])


def test_an_interrupted_training_says_what_is_saved() -> None:
    for save, saved in ((lambda state: None, "Everything up to step 5 is saved."), (None, "Nothing was saved.")):
        model = small_model()

        def evaluate(step: int) -> Mapping[str, float]:
            os.kill(os.getpid(), signal.SIGINT)
            return {"exact": 0.0}

        with pytest.raises(Interrupted) as caught:
            _train(model, recipe(model), evaluate=evaluate, save=save)
        assert (caught.value.what, caught.value.saved) == ("interrupted at step 5 of 20", saved)


def test_patience_counts_evaluations_without_a_gain_in_a_row() -> None:
    model = small_model()
    dev = dict(zip(range(5, 65, 5), [0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.9], strict=False))
    result = _train(model, recipe(model, steps=60, patience=3), evaluate=lambda step: {"exact": dev[step]})
    assert (result.stopped, result.steps, result.best_step) == ("patience", 30, 15)


class TestNonFinite:
    """Lesson 1: the usual trainer printed a loss of 0.0 and saved NaN."""

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_a_bad_weight_stops_the_step_and_is_named(self, bad: float) -> None:
        model = small_model()
        states: list[TrainState] = []

        def poison(step: Step) -> None:
            if step.step == 6:
                with torch.no_grad():
                    model.module.layers[0].feed.inner.weight[0, 0] = bad  # type: ignore[union-attr, index]

        with pytest.raises(NumericError) as caught:
            _train(model, recipe(model), on_step=poison, save=states.append)
        assert "layers.0.feed.inner.weight" in str(caught.value)
        assert "step 7" in str(caught.value)
        assert "row " in str(caught.value)
        assert "float32" in str(caught.value)
        assert all(torch.isfinite(tensor).all() for state in states for tensor in state.tensors.values())

    def test_an_overflow_names_the_first_module_that_gave_it(self) -> None:
        model = small_model()
        with torch.no_grad():
            model.module.layers[0].feed.outer.weight.fill_(3e38)  # type: ignore[union-attr, operator]
        with pytest.raises(NumericError, match=r"output of module layers\.0\.feed\.outer"):
            _train(model, recipe(model))

    def test_a_learning_rate_that_explodes_stops_within_a_step_and_saves_nothing_broken(self) -> None:
        model = small_model(dropout=0.0)
        states: list[TrainState] = []
        config = recipe(model, steps=50, learning_rate=1e30, schedule="constant", warmup=0, evaluate_every=1)
        with pytest.raises(NumericError, match="learning rate 1e\\+30"):
            _train(model, config, save=states.append)
        assert all(torch.isfinite(tensor).all() for state in states for tensor in state.tensors.values())


def _through_files(state: TrainState) -> TrainState:
    """As a checkpoint does: tensors through safetensors, facts through JSON."""
    import json

    from safetensors.torch import load, save

    return TrainState(state.step, load(save(dict(state.tensors))), json.loads(json.dumps(state.facts)))


def _untimed(step: Step) -> Step:
    return replace(step, seconds=0.0)
