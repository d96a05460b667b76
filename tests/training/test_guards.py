"""Guards report once, in time, and continue across an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import model_for, recipe, rows_for, setup_of
from torch import Tensor

from terakoya.errors import ConfigError, NumericError
from terakoya.models.builtin.model import BuiltinModel
from terakoya.models.oom import is_oom
from terakoya.models.protocol import Batch, Outputs, Pair
from terakoya.records import Finding, Step
from terakoya.training.batches import EpochBatches
from terakoya.training.dev_evaluation import dev_pairs, plain_loss
from terakoya.training.guards import guards_for, prior_entropy
from terakoya.training.guards.dev_loss import DevLossGuard
from terakoya.training.guards.dev_predictions import ConstantPredictionGuard, UnreadableGuard
from terakoya.training.guards.loss_curve import DivergenceGuard, NoLearningGuard
from terakoya.training.guards.resources import DiskGuard, MemoryGuard
from terakoya.training.loop import Guard, run_loop
from terakoya.training.state import TrainState


def _step(number: int, plain: float = 1.0, **dev: float) -> Step:
    return Step(number, plain, plain, 1e-3, 1.0, 100 * number, 0.1 * number, dev or None)


def _reported(guard: Guard, steps: Sequence[Step]) -> list[tuple[int, Finding]]:
    return [(step.step, finding) for step in steps for finding in guard(step)]


def test_a_loss_that_leaps_is_stopped_at_that_step_and_one_that_climbs_soon() -> None:
    """A learning rate ten times too high costs hours when nobody watches."""
    leap = _reported(DivergenceGuard(2.5), [_step(number, 2.0 if number < 30 else 40.0) for number in range(1, 60)])
    assert [(number, finding.level) for number, finding in leap] == [(30, "stop")]
    climb = _reported(DivergenceGuard(2.5), [_step(number, 1.0 + 0.1 * number) for number in range(1, 100)])
    assert len(climb) == 1 and 30 < climb[0][0] < 60
    assert not _reported(DivergenceGuard(2.5), [_step(number, 3.0 + (number % 7 == 0)) for number in range(1, 200)])


def test_weight_decay_is_named_where_it_drives_the_loss() -> None:
    (found,) = _reported(DivergenceGuard(2.5, decay=2e3), [_step(1, 2.0), _step(2, 90.0)])
    assert "weight decay" in found[1].what


def test_no_learning_is_reported_after_a_third_and_not_while_learning() -> None:
    """A model whose loss is that of the token frequencies has learnt nothing, however stable it is."""
    still = _reported(NoLearningGuard(2.0, 600), [_step(number, 2.05) for number in range(1, 601)])
    assert [(number, finding.level) for number, finding in still] == [(200, "warn")]
    assert not _reported(NoLearningGuard(2.0, 600), [_step(number, 2.5 * 0.99**number) for number in range(1, 601)])


def test_the_entropy_of_the_tokens_is_that_of_the_rows() -> None:
    """Four targets of one letter, equally frequent: letters and end tokens share the targets."""
    rows = [Pair(row.query, "abcd"[number % 4]) for number, row in enumerate(rows_for(1, 40))]
    model = model_for(rows, 1)
    found = prior_entropy(setup_of(rows, recipe(model, 40), 1), model)
    assert found == pytest.approx(0.5 * torch.log(torch.tensor(2.0)).item() + 0.5 * torch.log(torch.tensor(8.0)).item())


def test_unreadable_predictions_are_reported_when_they_persist() -> None:
    """The log's third trial wrote words, and its loss looked good."""
    steps = [_step(number, unreadable=1.0, top_share=0.0) for number in (10, 20, 30, 40, 50)]
    assert [number for number, _ in _reported(UnreadableGuard(50), steps)] == [20]
    well = [_step(number, unreadable=0.9 if number == 20 else 0.1) for number in (10, 20, 30, 40, 50)]
    assert not _reported(UnreadableGuard(50), well)


def test_one_prediction_for_more_than_half_is_reported_unless_the_targets_are_so() -> None:
    steps = [_step(number, unreadable=0.0, top_share=0.7) for number in (100, 200, 300)]
    assert [number for number, _ in _reported(ConstantPredictionGuard(300, usual=0.1), steps)] == [200]
    assert not _reported(ConstantPredictionGuard(300, usual=0.6), steps)


def _dev_loss(rows: Sequence[str] = (), dtype: torch.dtype = torch.float32, averaged: bool = False) -> DevLossGuard:
    return DevLossGuard(lambda: rows, lambda: dtype, averaged)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_dev_loss_that_is_not_finite_is_reported_once_and_again_should_it_come_back(loss: float) -> None:
    """Every training step may be finite while the loss by which the best step is chosen is not."""
    losses = [2.0, loss, loss, 1.5, loss]
    found = _reported(_dev_loss(), [_step(10 * n, loss=value) for n, value in enumerate(losses, 1)])
    assert [(step, finding.level) for step, finding in found] == [(20, "warn"), (50, "warn")]
    resumed = _dev_loss()
    resumed.restore({"reported": True})
    assert not resumed(_step(30, loss=loss))


@pytest.mark.parametrize(
    ("guard", "cause"),
    [
        (_dev_loss(["row 7"]), "bad row: the loss of 1 dev rows is not finite by itself (row 7)"),
        (_dev_loss(["row 7"], torch.float16), "half precision"),
        (_dev_loss(averaged=True), "averaged weights"),
        (_dev_loss(), "overflow"),
    ],
)
def test_the_likely_cause_of_a_dev_loss_that_is_not_finite_is_named(guard: DevLossGuard, cause: str) -> None:
    ((_, finding),) = _reported(guard, [_step(10, loss=float("nan"))])
    assert finding.what.partition("Likely cause: ")[2].startswith(cause)
    assert finding.do


def test_the_dev_row_that_makes_the_dev_loss_nan_is_found(tmp_path: Path) -> None:
    """In a training of its own, by the guards that every run has."""
    rows = rows_for(1)
    model = _OneBadRow(model_for(rows, 1))
    setup = setup_of(rows, recipe(model.model, len(rows)), 1)
    dev = tuple(replace(example, origin="dev.csv", row=n) for n, example in enumerate(setup.split.train[:9], 1))
    setup = replace(setup, split=replace(setup.split, dev=dev))
    model.__dict__["bad"] = "dev.csv, row 7"
    loss = plain_loss(model, dev_pairs(setup, model))
    (guard,) = (guard for guard in guards_for(setup, model, tmp_path) if guard.name == "dev-loss")
    (finding,) = guard(_step(10, loss=loss))
    assert "(dev.csv, row 7)" in finding.what


def test_memory_and_disk_warn_first_and_stop_while_a_checkpoint_still_fits() -> None:
    """The operating system gives no second warning."""
    memory = MemoryGuard(100_000_000, left=_falling(5e8, 2.5e8, 2e8, 1.5e8, 1e8), every=0.0)
    assert [f.level for _, f in _reported(memory, [_step(number) for number in range(1, 6)])] == ["warn", "stop"]
    disk = DiskGuard(Path(), 100, left=_falling(1000, 399, 201, 200, 100), every=0.0)
    found = _reported(disk, [_step(number) for number in range(1, 6)])
    assert [(number, finding.level) for number, finding in found] == [(2, "warn"), (4, "stop")]
    assert found[1][1].values["free"] >= 100


def _falling(*values: float) -> Callable[[], int | None]:
    left = iter(values)
    return lambda: int(next(left))


@pytest.mark.parametrize(
    "fresh",
    [
        lambda: DivergenceGuard(2.0),
        lambda: NoLearningGuard(2.0, 90),
        lambda: UnreadableGuard(90),
        lambda: ConstantPredictionGuard(90, 0.1),
    ],
)
def test_an_interrupted_guard_reports_at_the_same_step(fresh: Callable[[], Guard]) -> None:
    """A resumed run must end as the whole one would have."""
    steps = [
        _step(number, 2.0 + 0.08 * number, unreadable=0.9 - 0.5 * (number > 60), top_share=0.8)
        for number in range(1, 101)
    ]
    whole = fresh()
    wanted = [number for number, _ in _reported(whole, steps)]
    first, second = fresh(), fresh()
    before = _reported(first, steps[:25])
    second.restore(dict(first.state()))
    assert wanted and [number for number, _ in [*before, *_reported(second, steps[25:])]] == wanted


def test_guards_are_on_by_default(tmp_path: Path) -> None:
    rows = rows_for(1)
    model = model_for(rows, 1)
    setup = setup_of(rows, recipe(model, len(rows)), 1)
    names = {guard.name for guard in guards_for(setup, model, tmp_path)}
    assert names == {"divergence", "dev-loss", "no-learning", "unreadable", "one-answer", "memory", "disk"}
    assert recipe(model, len(rows)).guards


class _Odd:
    """A third-party model, faulty in one way; everything else is the built-in one's."""

    def __init__(self, model: BuiltinModel) -> None:
        self.__dict__["model"] = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


class _Masked(_Odd):
    def collate(self, pairs: Sequence[Pair]) -> Batch:
        batch = self.model.collate(pairs)
        return Batch(
            {name: batch.tensors[name] for name in ("source", "decoder_input")} | {"mask": batch.tensors.get("mask")},
            0,
            batch.tokens,
            batch.keys,
        )  # type: ignore[dict-item]

    def outputs(self, batch: Batch) -> Outputs:
        hidden = self.model.module(batch.tensors["source"], batch.tensors["decoder_input"], batch.tensors["mask"])
        return Outputs(self.model.module.logits(hidden.flatten(0, 1)[:0]), torch.zeros(0, dtype=torch.long))


class _OneBadRow(_Odd):
    bad = "row 7"

    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        bad = any(key == self.bad for key in batch.keys)
        return Outputs(outputs.logits * (float("nan") if bad else 1.0), outputs.targets)


def _train(model: Any, rows: Sequence[Pair], **changes: Any) -> tuple[list[Finding], list[TrainState]]:
    findings: list[Finding] = []
    states: list[TrainState] = []
    how = recipe(model.model if isinstance(model, _Odd) else model, len(rows), **changes)
    batches = EpochBatches(rows, int(how.batch_size), 1, model.length)
    run_loop(model, batches, how, seed=1, on_finding=findings.append, save=states.append, device="cpu")
    return findings, states


def test_an_empty_mask_is_named() -> None:
    """A mean over nothing is NaN, and a trainer that hides it reports a loss of 0."""
    rows = rows_for(1)
    with pytest.raises(NumericError) as caught:
        _train(_Masked(model_for(rows, 1)), rows)
    assert (caught.value.cause, caught.value.step) == ("empty mask", 1)


def test_a_row_that_is_bad_by_itself_is_named_alone() -> None:
    """One row of a thousand is found by trying rows, not by reading them."""
    rows = rows_for(1)
    with pytest.raises(NumericError, match=r"bad rows: row 7\)") as caught:
        _train(_OneBadRow(model_for(rows, 1)), rows)
    assert caught.value.cause == "bad row"


class _Small(_Odd):
    """Has memory for so many rows at once."""

    def __init__(self, model: BuiltinModel, limit: int) -> None:
        super().__init__(model)
        self.__dict__["limit"] = limit

    def outputs(self, batch: Batch) -> Outputs:
        if len(batch.keys) > self.limit:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
            )
        return self.model.outputs(batch)


def test_out_of_memory_names_the_setting_that_fits() -> None:
    """Found by trying, so that the second attempt is the last."""
    rows = rows_for(1)
    with pytest.raises(ConfigError, match=r"out of memory with 8 rows at once") as caught:
        _train(_Small(model_for(rows, 1), 3), rows)
    assert "train.batch_size = 2 and train.accumulate = 4" in caught.value.do
    assert "last checkpoint is sound" in caught.value.saved


def _effective(name: str, weight: Tensor) -> Tensor:
    """Without the bias of attention's keys, to which a softmax is invariant: its gradient is rounding noise, which
    AdamW turns into updates as long as any other.
    """
    if name.endswith("qkv.bias"):
        query, _, value = weight.chunk(3)
        return torch.cat([query, value])
    return weight.chunk(2)[1] if name.endswith("memory.bias") else weight


def test_halving_trains_the_same_and_is_recorded() -> None:
    """The same rows, the same gradients: only the computation is split."""
    rows = rows_for(1)
    whole, halved = model_for(rows, 1, dropout=0.0), model_for(rows, 1, dropout=0.0)
    _train(whole, rows)
    findings, states = _train(_Small(halved, 3), rows, on_oom="halve", replicas=1)
    assert [(finding.check, finding.values["parts"]) for finding in findings] == [("out-of-memory", 4.0)]
    assert states[-1].facts["parts"] == 4
    weights: dict[str, Tensor] = dict(whole.module.named_parameters())
    for name, weight in halved.module.named_parameters():
        torch.testing.assert_close(_effective(name, weight), _effective(name, weights[name]), atol=1e-5, rtol=0)


def test_halving_ends_where_not_even_one_row_fits() -> None:
    rows = rows_for(1)
    with pytest.raises(ConfigError, match="1 rows at once") as caught:
        _train(_Small(model_for(rows, 1), 0), rows, on_oom="halve")
    assert "Not even one row fits" in caught.value.do


def test_out_of_memory_is_recognised_whoever_raises_it() -> None:
    errors: Mapping[str, BaseException] = {
        "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        "python": MemoryError(),
        "cpu": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    }
    assert all(map(is_oom, errors.values()))
    assert not is_oom(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
