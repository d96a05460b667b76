"""What would go wrong is reported before the first step, and the checks change nothing."""

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
from terakoya.config import Config, DecodeConfig, ModelConfig, TrainConfig
from terakoya.models.builtin.model import BuiltinModel, build
from terakoya.models.protocol import Batch, Outputs, Pair
from terakoya.records import Example, Finding, Split
from terakoya.task import Task
from terakoya.training.defaults import resolve
from terakoya.training.preflight import preflight, resources, settings, show_tokens
from terakoya.training.preflight.embeddings import max_weight_change
from terakoya.training.prepare import TrainingSetup

ROWS = rows_for(1)


def _setup(
    rows: Sequence[Pair] = ROWS, model: BuiltinModel | None = None, **train: Any
) -> tuple[TrainingSetup, BuiltinModel]:
    made = model or model_for(rows, 1)
    examples = tuple(
        Example(row.query.source, row.target, origin="words.csv", row=number) for number, row in enumerate(rows, 1)
    )
    config = Config(seed=1, model=ModelConfig(base="tiny", width=16, layers=1), train=recipe(made, len(rows), **train))
    return TrainingSetup(Task("backwards", codec=TextCodec()), Split(examples, examples[:5], ()), config), made


def _found(setup: TrainingSetup, model: Any, check: str) -> list[Finding]:
    return [finding for finding in preflight(setup, model) if finding.check == check]


def test_a_sound_training_gets_no_warning_and_is_left_as_it_was() -> None:
    """A check that changes a bit of the model would change every result."""
    setup, model = _setup()
    before = {name: weight.clone() for name, weight in model.module.named_parameters()}
    rng_state = torch.get_rng_state()
    found = preflight(setup, model)
    assert {finding.level for finding in found} == {"note"}, found
    assert torch.equal(torch.get_rng_state(), rng_state)
    for name, weight in model.module.named_parameters():
        assert torch.equal(weight, before[name]) and weight.grad is None


def test_preflight_takes_seconds() -> None:
    """Nobody waits for a check that takes as long as the mistake."""
    setup, model = _setup()
    started = time.process_time()
    preflight(setup, model)
    assert time.process_time() - started < 10


def test_the_first_loss_is_compared_with_a_uniform_guess() -> None:
    """The log's first logged loss was 15.8 where a uniform guess gives 10.5: the embeddings were broken at step 0."""
    setup, model = _setup()
    (sound,) = _found(setup, model, "first-loss")
    assert sound.level == "note"
    assert sound.values["even_guess"] == pytest.approx(math.log(len(model.token_texts())))
    with torch.no_grad():
        model.module.norm.weight.mul_(100)
    (broken,) = _found(setup, model, "first-loss")
    assert broken.level == "warn" and "new_token_init" in broken.do


def test_broken_rows_of_an_embedding_are_reported_before_the_first_step() -> None:
    setup, model = _setup()
    with torch.no_grad():
        model.module.embed.weight[2] *= 1e6
    (found,) = _found(setup, model, "embeddings")
    assert found.level == "stop" and "'b'" in found.what


def test_a_first_step_that_is_not_finite_is_refused() -> None:
    setup, model = _setup()
    with torch.no_grad():
        model.module.norm.weight[0] = math.nan
    (found,) = _found(setup, model, "first-loss")
    assert found.level == "stop" and "module norm" in found.what


def test_a_warm_up_as_long_as_the_training_is_refused() -> None:
    """500 of 500 steps: the learning rate only ever rose."""
    (found,) = _found(*_setup(steps=500, warmup=500.0), "warm-up")
    assert found.level == "stop" and "500 of 500" in found.what
    assert _found(*_setup(steps=500, warmup=300.0), "warm-up")[0].level == "warn"
    assert not _found(*_setup(steps=500, warmup=50.0), "warm-up")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("learning_rate", math.inf), ("learning_rate", -1e-3), ("learning_rate", math.nan), ("weight_decay", -1.0),
     ("weight_decay", 1e6), ("betas", (0.9, 1.0)), ("average", 1.5)],
)  # fmt: skip
def test_values_that_cannot_be_trained_with_are_refused(setting: str, value: object) -> None:
    """TOML knows inf and nan."""
    setup, model = _setup()
    changed = setup.config.train.model_copy(update={setting: value})
    broken = TrainingSetup(setup.task, setup.split, setup.config.model_copy(update={"train": changed}))
    assert any(finding.level == "stop" for finding in _found(broken, model, "numbers"))


def test_steps_are_compared_with_the_rows() -> None:
    """Rows that no step sees are not trained on."""
    (few,) = _found(*_setup(steps=3), "steps")
    (many,) = _found(*_setup(steps=20_000), "steps")
    assert "40%" in few.what and few.level == many.level == "warn"
    assert _found(*_setup(steps=0), "steps")[0].level == "stop"


def test_a_learning_rate_beyond_all_known_ones_is_reported_with_their_sources() -> None:
    (found,) = _found(*_setup(learning_rate=0.5), "learning-rate")
    assert found.level == "warn" and "docs/log.md" in found.what
    assert not _found(*_setup(learning_rate=1e-3), "learning-rate")


def test_the_largest_change_of_a_weight_is_the_sum_of_the_learning_rates() -> None:
    """Trial 3 of the emoji log: 500 steps at 1e-4, ten times fewer than its new embeddings needed."""
    setup, _ = _setup(steps=500, learning_rate=1e-4, schedule="linear", warmup=50.0)
    assert max_weight_change(setup) == pytest.approx(0.025, rel=0.02)


def test_all_rows_that_do_not_fit_are_named_at_once() -> None:
    """Nothing is truncated silently, and a file is corrected once."""
    long = [Pair(ROWS[0].query, "abcde" * 9), *ROWS, Pair(ROWS[1].query, "edcba" * 9)]
    (found,) = _found(*_setup(long, model_for(ROWS, 1)), "rows")
    assert found.level == "stop" and found.rows == (1, 62) and "2 of 62 rows" in found.what


def test_a_character_that_the_model_does_not_know_is_refused_with_its_row() -> None:
    unknown = [*ROWS, Pair(ROWS[0].query, "填")]
    (found,) = _found(*_setup(unknown, model_for(ROWS, 1)), "rows")
    assert found.level == "stop" and found.rows == (61,) and "填" in found.what


class _Padded(Odd):
    """Counts padding in the loss, as the log's first trial did."""

    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        return Outputs(
            torch.cat((outputs.logits, outputs.logits[:5])), torch.cat((outputs.targets, torch.ones(5).long()))
        )


class _Truncated(Odd):
    """Loses the end of every target, as a maximum length does."""

    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        kept = outputs.targets != self.model.end
        return Outputs(outputs.logits[kept], outputs.targets[kept])


class _Empty(Odd):
    def outputs(self, batch: Batch) -> Outputs:
        outputs = self.model.outputs(batch)
        return Outputs(outputs.logits[:0], outputs.targets[:0])


@pytest.mark.parametrize("odd", [_Padded, _Truncated, _Empty])
def test_masks_are_checked_by_decoding_the_target_tokens(odd: type[Odd]) -> None:
    """Padding in the loss gives a finite and lower loss: only the tokens themselves show it."""
    setup, model = _setup()
    assert _found(setup, odd(model), "masks")[0].level == "stop"
    assert _found(setup, model, "masks")[0].level == "note"


def test_too_little_memory_is_reported_with_the_batch_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, model = _setup(batch_size=32)
    (plenty,) = _found(setup, model, "memory")
    assert plenty.level == "note"
    need, batch = plenty.values["needed"], plenty.values["activations"]
    monkeypatch.setattr(resources, "available_memory", lambda device: int((need - batch / 2) / 0.85))
    (short,) = _found(setup, model, "memory")
    assert "train.batch_size = 16 and train.accumulate = 2" in short.do or "= 15" in short.do
    monkeypatch.setattr(resources, "available_memory", lambda device: int(need / 2))
    assert _found(setup, model, "memory")[0].level == "stop"


def test_the_activations_kept_for_the_backward_pass_grow_with_the_rows() -> None:
    """The estimate is measured, not guessed."""
    kept = [_found(*_setup(batch_size=size), "memory")[0].values["activations"] for size in (8, 32)]
    assert 3 < kept[1] / kept[0] < 5


def test_a_disk_too_small_for_two_checkpoints_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, model = _setup()
    assert "disk" not in {finding.check for finding in preflight(setup, model, tmp_path)}
    monkeypatch.setattr(resources, "free_bytes", lambda folder: 1000)
    assert {finding.check: finding.level for finding in preflight(setup, model, tmp_path)}["disk"] == "stop"


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"shard": True}},
        {"train": {"focal_gamma": 3.0}},
        {"train": {"label_order": "shuffled"}},
        {"train": {"checkpointing": True}},
        {"model": {"adaptation": "lora"}},
        {"model": {"dtype": "float16"}},
        {"model": {"lora_rank": 4}},
        {"decode": {"beams": 8}},
        {"decode": {"temperature": 0.5}},
        {"decode": {"share_cap": 2.0}},
        {"decode": {"logit_adjustment": 0.5}},
        {"decode": {"verify": True}},
        {"train": {"decay": 0.5}},
        {"train": {"decay_when_solved": 0.5}},
        {"train": {"curriculum": True}},
        {"train": {"prefix_cache": True}},
        {"train": {"loss_on": "all"}},
        {"score": {"untrained_shots": 2}},
        {"score": {"untrained_minutes": 2.0}},
    ],
    ids=str,
)
def test_a_setting_without_effect_is_refused(changes: dict[str, dict[str, object]]) -> None:
    """P18: a setting that is silently ignored makes two runs look different that are the same."""
    setup, model = _setup()
    ((section, keys),) = changes.items()
    part = getattr(setup.config, section).model_copy(update=keys)
    changed = TrainingSetup(setup.task, setup.split, setup.config.model_copy(update={section: part}))
    found = _found(changed, model, "no-effect")
    assert [(finding.level, finding.where) for finding in found][:1] == [("stop", f"{section}.{next(iter(keys))}")]


def test_a_base_of_a_billion_weights_is_advised_to_be_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where torchrun started processes that divide it, each needs its part only."""
    setup, model = _setup()
    train = setup.config.train
    assert not list(resources.sharding_findings(model, train))
    whole = resources.estimate_memory(model, train, 0)
    monkeypatch.setattr(resources, "_MANY_WEIGHTS", model.info.trainable)
    (found,) = resources.sharding_findings(model, train)
    assert (found.level, found.where) == ("note", "train.shard") and found.values["bytes"] == whole.total
    divided = train.model_copy(update={"shard": True})
    assert not list(resources.sharding_findings(model, divided))
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert resources.estimate_memory(model, divided, 0).gradients == whole.gradients // 4


def test_what_a_set_head_does_not_use_is_refused() -> None:
    """P18: its labels are scored and no tokens written, so beams, temperature and layers were ignored in silence."""
    rows = [Pair(row.query, "📚" if number % 2 else "🎉") for number, row in enumerate(ROWS)]
    model = build(ModelConfig(base="tiny"), rows, ("📚", "🎉"), seed=1)
    examples = tuple(Example(row.query.source, row.target) for row in rows)
    config = Config(
        model=ModelConfig(base="tiny", layers=2, family="decoder", max_target=9),
        train=resolve(TrainConfig(steps=20), model.info, len(rows)),
        decode=DecodeConfig(method="beam", beams=8, temperature=0.5, constrained=False, max_tokens=9),
    )
    task = Task("labels", codec=labels_codec([row.target for row in rows]))
    found = _found(TrainingSetup(task, Split(examples, (), ()), config), model, "no-effect")
    assert {finding.where for finding in found} == {
        "model.layers", "model.family", "model.max_target", "decode.method", "decode.beams", "decode.temperature",
        "decode.constrained", "decode.max_tokens",
    }  # fmt: skip


@pytest.mark.parametrize(("family", "found"), [("decoder", False), ("encoder-decoder", True)])
def test_the_family_that_a_base_has_anyway_is_no_fault(family: str, found: bool) -> None:
    """`martian` is for the built-in model and for any causal base, and names the family for the former."""
    setup, _ = _setup()
    config = setup.config.model_copy(update={"model": ModelConfig(base="a-base", family=family)})  # type: ignore[arg-type]
    flags = dict.fromkeys(("built_in", "plugin", "labels", "drawn", "reverse", "replicas"), False)
    context = settings.SettingContext(head="sequence", family="decoder", dev=True, **flags)
    keys = {key for key, _why in settings._ineffective_settings(config, context)}
    assert ("model.family" in keys) is found and "model.width" in keys


def test_settings_with_an_effect_are_accepted() -> None:
    setup, model = _setup(loss="focal", focal_gamma=3.0)
    part = DecodeConfig(method="beam", beams=8)
    changed = TrainingSetup(setup.task, setup.split, setup.config.model_copy(update={"decode": part}))
    assert not _found(changed, model, "no-effect")


def _labelled(share: float, **train: Any) -> tuple[TrainingSetup, BuiltinModel]:
    labels = "✨📚🎉😅⚽🤔"
    targets = ["✨" if number < 100 * share else labels[1 + number % 5] for number in range(100)]
    rows = [Pair(ROWS[number % 60].query, target) for number, target in enumerate(targets)]
    model = model_for(rows, 1)
    examples = tuple(Example(f"{number} {row.query.source}", row.target) for number, row in enumerate(rows))
    config = Config(model=ModelConfig(base="tiny"), train=recipe(model, 100, **train))
    return TrainingSetup(Task("labels", codec=labels_codec(targets)), Split(examples, examples[:5], ()), config), model


def test_likely_collapse_is_reported_before_it_happens() -> None:
    """Skewed labels, a sequence head, the checkpoint by loss: the recipe of the log's fourth and fifth trial."""
    (by_loss,) = _found(*_labelled(0.5, select="loss"), "likely-collapse")
    (by_metric,) = _found(*_labelled(0.5, select="metric"), "likely-collapse")
    assert (by_loss.level, by_metric.level) == ("warn", "note")
    assert by_loss.what.startswith("✨ stands in 50%")
    assert not _found(*_labelled(0.0, select="loss"), "likely-collapse")


def test_target_tokens_are_shown_in_brackets() -> None:
    setup, model = _setup()
    line = show_tokens(setup, model, rows=1)
    source, _, target = line.partition(" → ")
    assert "「" not in source and target.endswith("「END」")
