"""Guards speak once, in time, and remember across an interruption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import lesson_of, model_for, recipe, rows_for
from torch import Tensor

from terakoya.errors import ConfigError, NumericError
from terakoya.models.builtin.model import TinyModel
from terakoya.models.oom import is_oom
from terakoya.models.protocol import Batch, Outputs, Pair
from terakoya.records import Finding, Step
from terakoya.training.batches import Fixed
from terakoya.training.guards import guards_for, prior_entropy
from terakoya.training.guards.dev_answers import OneAnswer, Unreadable
from terakoya.training.guards.loss_curve import Divergence, NoLearning
from terakoya.training.guards.resources import Disk, Memory
from terakoya.training.loop import Guard, run_loop
from terakoya.training.state import TrainState


def _step(number: int, plain: float = 1.0, **dev: float) -> Step:
    return Step(number, plain, plain, 1e-3, 1.0, 100 * number, 0.1 * number, dev or None)


def _told(guard: Guard, steps: Sequence[Step]) -> list[tuple[int, Finding]]:
    return [(step.step, finding) for step in steps for finding in guard(step)]


def test_a_loss_that_leaps_is_stopped_at_that_step_and_one_that_climbs_soon() -> None:
    """A rate ten times too high costs a night when nobody looks."""
    leap = _told(Divergence(2.5), [_step(number, 2.0 if number < 30 else 40.0) for number in range(1, 60)])
    assert [(number, finding.level) for number, finding in leap] == [(30, "stop")]
    climb = _told(Divergence(2.5), [_step(number, 1.0 + 0.1 * number) for number in range(1, 100)])
    assert len(climb) == 1 and 30 < climb[0][0] < 60
    assert not _told(Divergence(2.5), [_step(number, 3.0 + (number % 7 == 0)) for number in range(1, 200)])


def test_weight_decay_is_named_where_it_drives_the_loss() -> None:
    (told,) = _told(Divergence(2.5, decay=2e3), [_step(1, 2.0), _step(2, 90.0)])
    assert "weight decay" in told[1].what


def test_no_learning_is_told_after_a_third_and_not_while_learning() -> None:
    """A loss at the tokens' own frequencies has learnt nothing, however steadily it stands there."""
    still = _told(NoLearning(2.0, 600), [_step(number, 2.05) for number in range(1, 601)])
    assert [(number, finding.level) for number, finding in still] == [(200, "warn")]
    assert not _told(NoLearning(2.0, 600), [_step(number, 2.5 * 0.99**number) for number in range(1, 601)])


def test_the_entropy_of_the_tokens_is_that_of_the_rows() -> None:
    """Four answers of one letter, each as often: letters and ends share the targets."""
    rows = [Pair(row.ask, "abcd"[number % 4]) for number, row in enumerate(rows_for(1, 40))]
    model = model_for(rows, 1)
    found = prior_entropy(lesson_of(rows, recipe(model, 40), 1), model)
    assert found == pytest.approx(0.5 * torch.log(torch.tensor(2.0)).item() + 0.5 * torch.log(torch.tensor(8.0)).item())


def test_unreadable_answers_are_told_when_they_persist() -> None:
    """The log's third trial answered in words, and its loss looked well."""
    steps = [_step(number, unreadable=1.0, top_share=0.0) for number in (10, 20, 30, 40, 50)]
    assert [number for number, _ in _told(Unreadable(50), steps)] == [20]
    well = [_step(number, unreadable=0.9 if number == 20 else 0.1) for number in (10, 20, 30, 40, 50)]
    assert not _told(Unreadable(50), well)


def test_one_answer_for_more_than_half_is_told_unless_the_targets_are_so() -> None:
    steps = [_step(number, unreadable=0.0, top_share=0.7) for number in (100, 200, 300)]
    assert [number for number, _ in _told(OneAnswer(300, usual=0.1), steps)] == [200]
    assert not _told(OneAnswer(300, usual=0.6), steps)


def test_memory_and_disk_warn_first_and_stop_while_a_checkpoint_still_fits() -> None:
    """The operating system gives no second warning."""
    memory = Memory(100_000_000, left=_falling(5e8, 2.5e8, 2e8, 1.5e8, 1e8), every=0.0)
    assert [f.level for _, f in _told(memory, [_step(number) for number in range(1, 6)])] == ["warn", "stop"]
    disk = Disk(Path(), 100, left=_falling(1000, 399, 201, 200, 100), every=0.0)
    told = _told(disk, [_step(number) for number in range(1, 6)])
    assert [(number, finding.level) for number, finding in told] == [(2, "warn"), (4, "stop")]
    assert told[1][1].values["free"] >= 100


def _falling(*values: float) -> Callable[[], int | None]:
    left = iter(values)
    return lambda: int(next(left))


@pytest.mark.parametrize(
    "fresh", [lambda: Divergence(2.0), lambda: NoLearning(2.0, 90), lambda: Unreadable(90), lambda: OneAnswer(90, 0.1)]
)
def test_an_interrupted_guard_speaks_at_the_same_step(fresh: Callable[[], Guard]) -> None:
    """A resumed run must end as the whole one would have."""
    steps = [
        _step(number, 2.0 + 0.08 * number, unreadable=0.9 - 0.5 * (number > 60), top_share=0.8)
        for number in range(1, 101)
    ]
    whole = fresh()
    wanted = [number for number, _ in _told(whole, steps)]
    first, second = fresh(), fresh()
    before = _told(first, steps[:25])
    second.restore(dict(first.state()))
    assert wanted and [number for number, _ in [*before, *_told(second, steps[25:])]] == wanted


def test_guards_are_on_by_default_and_off_when_told(tmp_path: Path) -> None:
    rows = rows_for(1)
    model = model_for(rows, 1)
    lesson = lesson_of(rows, recipe(model, len(rows)), 1)
    names = {guard.name for guard in guards_for(lesson, model, tmp_path)}
    assert names == {"divergence", "no-learning", "unreadable", "one-answer", "memory", "disk"}
    assert recipe(model, len(rows)).guards


class _Odd:
    """A model of somebody else's, odd in one way; everything else is the built-in one's."""

    def __init__(self, model: TinyModel) -> None:
        self.__dict__["model"] = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


class _Masked(_Odd):
    def collate(self, pairs: Sequence[Pair]) -> Batch:
        batch = self.model.collate(pairs)
        return Batch(
            {name: batch.tensors[name] for name in ("source", "answer")} | {"mask": batch.tensors.get("mask")},
            0,
            batch.tokens,
            batch.keys,
        )  # type: ignore[dict-item]

    def outputs(self, batch: Batch) -> Outputs:
        hidden = self.model.module(batch.tensors["source"], batch.tensors["answer"], batch.tensors["mask"])
        return Outputs(self.model.module.logits(hidden.flatten(0, 1)[:0]), torch.zeros(0, dtype=torch.long))


class _OneBadRow(_Odd):
    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        bad = any(key == "row 7" for key in batch.keys)
        return Outputs(outputs.logits * (float("nan") if bad else 1.0), outputs.targets)


def _train(model: Any, rows: Sequence[Pair], **changes: Any) -> tuple[list[Finding], list[TrainState]]:
    findings: list[Finding] = []
    states: list[TrainState] = []
    how = recipe(model.model if isinstance(model, _Odd) else model, len(rows), **changes)
    batches = Fixed(rows, int(how.batch_size), 1, model.length)
    run_loop(model, batches, how, seed=1, on_finding=findings.append, save=states.append, device="cpu")
    return findings, states


def test_an_empty_mask_is_named() -> None:
    """A mean over nothing is NaN, and a trainer that filters it reports a loss of 0."""
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
    """Has room for so many rows at once."""

    def __init__(self, model: TinyModel, room: int) -> None:
        super().__init__(model)
        self.__dict__["room"] = room

    def outputs(self, batch: Batch) -> Outputs:
        if len(batch.keys) > self.room:
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


def _felt(name: str, weight: Tensor) -> Tensor:
    """Without the bias of attention's keys, which a softmax does not feel: its gradient is rounding noise, and AdamW
    makes of noise steps as long as of anything else.
    """
    if name.endswith("qkv.bias"):
        query, _, value = weight.chunk(3)
        return torch.cat([query, value])
    return weight.chunk(2)[1] if name.endswith("memory.bias") else weight


def test_halving_teaches_the_same_and_is_recorded() -> None:
    """The same rows, the same gradients: only the work is parted."""
    rows = rows_for(1)
    whole, parted = model_for(rows, 1, dropout=0.0), model_for(rows, 1, dropout=0.0)
    _train(whole, rows)
    findings, states = _train(_Small(parted, 3), rows, on_oom="halve", replicas=1)
    assert [(finding.check, finding.values["parts"]) for finding in findings] == [("out-of-memory", 4.0)]
    assert states[-1].facts["parts"] == 4
    weights: dict[str, Tensor] = dict(whole.module.named_parameters())
    for name, weight in parted.module.named_parameters():
        torch.testing.assert_close(_felt(name, weight), _felt(name, weights[name]), atol=1e-5, rtol=0)


def test_halving_ends_where_not_even_one_row_fits() -> None:
    rows = rows_for(1)
    with pytest.raises(ConfigError, match="1 rows at once") as caught:
        _train(_Small(model_for(rows, 1), 0), rows, on_oom="halve")
    assert "Not even one row fits" in caught.value.do


def test_memory_is_recognised_whoever_says_that_it_ran_out() -> None:
    said: Mapping[str, BaseException] = {
        "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        "python": MemoryError(),
        "cpu": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    }
    assert all(map(is_oom, said.values()))
    assert not is_oom(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
