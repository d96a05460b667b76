"""What would go wrong is told before the first step, and looking changes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import model_for, recipe, rows_for
from test_guards import _Odd as Odd

from terakoya.codec import TextCodec
from terakoya.codec.labels import labels_codec
from terakoya.config import Config, DecodeConfig, ModelConfig
from terakoya.models.builtin.model import TinyModel
from terakoya.models.protocol import Batch, Outputs, Pair
from terakoya.records import Example, Finding, Split
from terakoya.task import Task
from terakoya.training.preflight import preflight, resources, shown_tokens
from terakoya.training.preflight.embeddings import travel
from terakoya.training.prepare import TrainingSetup

ROWS = rows_for(1)


def _lesson(
    rows: Sequence[Pair] = ROWS, model: TinyModel | None = None, **train: Any
) -> tuple[TrainingSetup, TinyModel]:
    made = model or model_for(rows, 1)
    examples = tuple(
        Example(row.ask.source, row.written, origin="words.csv", row=number) for number, row in enumerate(rows, 1)
    )
    config = Config(seed=1, model=ModelConfig(base="tiny", width=16, layers=1), train=recipe(made, len(rows), **train))
    return TrainingSetup(Task("backwards", codec=TextCodec()), Split(examples, examples[:5], ()), config), made


def _found(lesson: TrainingSetup, model: Any, check: str) -> list[Finding]:
    return [finding for finding in preflight(lesson, model) if finding.check == check]


def test_a_sound_lesson_gets_no_warning_and_is_left_as_it_was() -> None:
    """A check that changes a bit of the model would change every result."""
    lesson, model = _lesson()
    before = {name: weight.clone() for name, weight in model.module.named_parameters()}
    drawn = torch.get_rng_state()
    found = preflight(lesson, model)
    assert {finding.level for finding in found} == {"note"}, found
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, weight in model.module.named_parameters():
        assert torch.equal(weight, before[name]) and weight.grad is None


def test_the_verdict_comes_in_seconds() -> None:
    """Nobody waits for a check that takes as long as the mistake."""
    lesson, model = _lesson()
    started = time.process_time()
    preflight(lesson, model)
    assert time.process_time() - started < 10


def test_the_first_loss_is_held_against_an_even_guess() -> None:
    """The log's first logged loss was 15.8 where 10.5 is an even guess: the embeddings were broken at step 0."""
    lesson, model = _lesson()
    (sound,) = _found(lesson, model, "first-loss")
    assert sound.level == "note"
    assert sound.values["even_guess"] == pytest.approx(math.log(len(model.pieces())))
    with torch.no_grad():
        model.module.norm.weight.mul_(100)
    (broken,) = _found(lesson, model, "first-loss")
    assert broken.level == "warn" and "new_token_init" in broken.do


def test_broken_rows_of_an_embedding_are_told_before_the_first_step() -> None:
    lesson, model = _lesson()
    with torch.no_grad():
        model.module.embed.weight[2] *= 1e6
    (found,) = _found(lesson, model, "embeddings")
    assert found.level == "stop" and "'b'" in found.what


def test_a_first_step_that_is_not_finite_is_refused() -> None:
    lesson, model = _lesson()
    with torch.no_grad():
        model.module.norm.weight[0] = math.nan
    (found,) = _found(lesson, model, "first-loss")
    assert found.level == "stop" and "module norm" in found.what


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    """500 of 500 steps: the learning rate only ever rose."""
    (found,) = _found(*_lesson(steps=500, warmup=500.0), "warm-up")
    assert found.level == "stop" and "500 of 500" in found.what
    assert _found(*_lesson(steps=500, warmup=300.0), "warm-up")[0].level == "warn"
    assert not _found(*_lesson(steps=500, warmup=50.0), "warm-up")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("learning_rate", math.inf), ("learning_rate", -1e-3), ("learning_rate", math.nan), ("weight_decay", -1.0),
     ("weight_decay", 1e6), ("betas", (0.9, 1.0)), ("average", 1.5)],
)  # fmt: skip
def test_numbers_that_cannot_be_trained_with_are_refused(setting: str, value: object) -> None:
    """TOML knows inf and nan."""
    lesson, model = _lesson()
    changed = lesson.config.train.model_copy(update={setting: value})
    spoilt = TrainingSetup(lesson.task, lesson.split, lesson.config.model_copy(update={"train": changed}))
    assert any(finding.level == "stop" for finding in _found(spoilt, model, "numbers"))


def test_steps_are_held_against_the_rows() -> None:
    """Rows that are never seen are never taught."""
    (few,) = _found(*_lesson(steps=3), "steps")
    (many,) = _found(*_lesson(steps=20_000), "steps")
    assert "40%" in few.what and few.level == many.level == "warn"
    assert _found(*_lesson(steps=0), "steps")[0].level == "stop"


def test_a_rate_beyond_all_experience_is_told_with_its_sources() -> None:
    (found,) = _found(*_lesson(learning_rate=0.5), "learning-rate")
    assert found.level == "warn" and "docs/log.md" in found.what
    assert not _found(*_lesson(learning_rate=1e-3), "learning-rate")


def test_the_way_a_weight_can_come_is_the_sum_of_the_rates() -> None:
    """Trial 3 of the emoji log: 500 steps at 1e-4, ten times fewer than its new embeddings needed."""
    lesson, _ = _lesson(steps=500, learning_rate=1e-4, schedule="linear", warmup=50.0)
    assert travel(lesson) == pytest.approx(0.025, rel=0.02)


def test_all_rows_that_do_not_fit_are_named_at_once() -> None:
    """Nothing is cut silently, and a file is mended once."""
    long = [Pair(ROWS[0].ask, "abcde" * 9), *ROWS, Pair(ROWS[1].ask, "edcba" * 9)]
    (found,) = _found(*_lesson(long, model_for(ROWS, 1)), "rows")
    assert found.level == "stop" and found.rows == (1, 62) and "2 of 62 rows" in found.what


def test_a_letter_that_the_model_does_not_know_is_refused_with_its_row() -> None:
    strange = [*ROWS, Pair(ROWS[0].ask, "填")]
    (found,) = _found(*_lesson(strange, model_for(ROWS, 1)), "rows")
    assert found.level == "stop" and found.rows == (61,) and "填" in found.what


class _Filled(Odd):
    """Counts filling in the loss, as the log's first trial did."""

    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        return Outputs(
            torch.cat((outputs.logits, outputs.logits[:5])), torch.cat((outputs.targets, torch.ones(5).long()))
        )


class _Cut(Odd):
    """Loses the end of every answer, as a label limit does."""

    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        kept = outputs.targets != self.model.end
        return Outputs(outputs.logits[kept], outputs.targets[kept])


class _Empty(Odd):
    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        return Outputs(outputs.logits[:0], outputs.targets[:0])


@pytest.mark.parametrize("odd", [_Filled, _Cut, _Empty])
def test_masks_are_checked_by_reading_back_what_is_learnt(odd: type[Odd]) -> None:
    """Filling in the loss gives a finite and lower loss: only the tokens themselves tell."""
    lesson, model = _lesson()
    assert _found(lesson, odd(model), "masks")[0].level == "stop"
    assert _found(lesson, model, "masks")[0].level == "note"


def test_memory_that_will_not_do_is_told_with_the_batch_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, model = _lesson(batch_size=32)
    (plenty,) = _found(lesson, model, "memory")
    assert plenty.level == "note"
    need, batch = plenty.values["needed"], plenty.values["activations"]
    monkeypatch.setattr(resources, "memory_left", lambda device: int((need - batch / 2) / 0.85))
    (short,) = _found(lesson, model, "memory")
    assert "train.batch_size = 16 and train.accumulate = 2" in short.do or "= 15" in short.do
    monkeypatch.setattr(resources, "memory_left", lambda device: int(need / 2))
    assert _found(lesson, model, "memory")[0].level == "stop"


def test_what_is_kept_for_the_backward_pass_grows_with_the_rows() -> None:
    """The estimate is measured, not guessed."""
    kept = [_found(*_lesson(batch_size=size), "memory")[0].values["activations"] for size in (8, 32)]
    assert 3 < kept[1] / kept[0] < 5


def test_a_disk_without_room_for_two_checkpoints_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesson, model = _lesson()
    assert "disk" not in {finding.check for finding in preflight(lesson, model, tmp_path)}
    monkeypatch.setattr(resources, "free_bytes", lambda folder: 1000)
    assert {finding.check: finding.level for finding in preflight(lesson, model, tmp_path)}["disk"] == "stop"


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"focal_gamma": 3.0}},
        {"train": {"label_order": "shuffled"}},
        {"train": {"checkpointing": True}},
        {"model": {"adaptation": "lora"}},
        {"model": {"dtype": "float16"}},
        {"model": {"lora_rank": 4}},
        {"decode": {"beams": 8}},
        {"decode": {"temperature": 0.5}},
    ],
    ids=str,
)
def test_a_setting_without_effect_is_refused(changes: dict[str, dict[str, object]]) -> None:
    """A wish that is quietly ignored makes two runs look different that are the same."""
    lesson, model = _lesson()
    ((section, keys),) = changes.items()
    part = getattr(lesson.config, section).model_copy(update=keys)
    changed = TrainingSetup(lesson.task, lesson.split, lesson.config.model_copy(update={section: part}))
    found = _found(changed, model, "no-effect")
    assert [(finding.level, finding.where) for finding in found][:1] == [("stop", f"{section}.{next(iter(keys))}")]


def test_settings_with_an_effect_are_let_be() -> None:
    lesson, model = _lesson(loss="focal", focal_gamma=3.0)
    part = DecodeConfig(method="beam", beams=8)
    changed = TrainingSetup(lesson.task, lesson.split, lesson.config.model_copy(update={"decode": part}))
    assert not _found(changed, model, "no-effect")


def _labelled(share: float, **train: Any) -> tuple[TrainingSetup, TinyModel]:
    labels = "✨📚🎉😅⚽🤔"
    targets = ["✨" if number < 100 * share else labels[1 + number % 5] for number in range(100)]
    rows = [Pair(ROWS[number % 60].ask, target) for number, target in enumerate(targets)]
    model = model_for(rows, 1)
    examples = tuple(Example(f"{number} {row.ask.source}", row.written) for number, row in enumerate(rows))
    config = Config(model=ModelConfig(base="tiny"), train=recipe(model, 100, **train))
    return TrainingSetup(Task("labels", codec=labels_codec(targets)), Split(examples, examples[:5], ()), config), model


def test_likely_collapse_is_told_before_it_happens() -> None:
    """Skewed labels, a sequence head, the checkpoint by loss: the recipe of the log's fourth and fifth trial."""
    (by_loss,) = _found(*_labelled(0.5, select="loss"), "likely-collapse")
    (by_metric,) = _found(*_labelled(0.5, select="metric"), "likely-collapse")
    assert (by_loss.level, by_metric.level) == ("warn", "note")
    assert by_loss.what.startswith("✨ stands in 50%")
    assert not _found(*_labelled(0.0, select="loss"), "likely-collapse")


def test_learnt_tokens_are_shown_in_brackets() -> None:
    lesson, model = _lesson()
    line = shown_tokens(lesson, model, rows=1)
    source, _, answer = line.partition(" → ")
    assert "「" not in source and answer.endswith("「END」")
