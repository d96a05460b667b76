"""The emoji log's five trials: each fault is reported before the first step, and by a guard when trained anyway.

On a tiny T5 with random weights. Shortened trainings get as far as the whole ones: fewer steps at a higher rate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from checkpoints import checkpoint

from terakoya.errors import NumericError
from terakoya.pipeline import commands
from terakoya.pipeline import run as pipeline
from terakoya.records import Finding

SHORT = ("decode.method=greedy", "split.dev_items=30", "split.exam_items=20", "train.threads=1", "score.resamples=100")


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return checkpoint(tmp_path_factory.mktemp("base") / "t5", "t5")


def _examined(trial: int, t5: Path) -> dict[str, Finding]:
    found = commands.doctor(f"emoji-trial-{trial}", overrides=[f"model.base={t5}", "train.threads=1"]).findings
    return {finding.check: finding for finding in found}


@pytest.mark.parametrize("trial", [1, 2])
def test_half_precision_and_the_long_warm_up_are_refused(trial: int, t5: Path) -> None:
    """Trials 1 and 2 ended in NaN, and the second cause was found after the first was corrected."""
    found = _examined(trial, t5)
    assert found["half-precision"].level == found["warm-up"].level == "stop"
    assert "T5" in found["half-precision"].what and "new embeddings" in found["half-precision"].what
    assert "500 of 500" in found["warm-up"].what


def test_too_few_steps_for_new_embeddings_are_reported(t5: Path) -> None:
    """Trial 3 predicted 填 and よね: its new embeddings had stayed as initialised."""
    found = _examined(3, t5)
    assert found["new-embeddings"].level == "warn"
    assert found["new-embeddings"].values["travel"] == pytest.approx(0.025, rel=0.02)
    assert "stop" not in {finding.level for finding in found.values()}


@pytest.mark.parametrize("trial", [4, 5])
def test_likely_collapse_is_reported(trial: int, t5: Path) -> None:
    """Trials 4 and 5 predicted ✨ for everything, with the best loss of all."""
    found = _examined(trial, t5)
    assert found["likely-collapse"].level == "warn" and "✨" in found["likely-collapse"].what
    assert "new-embeddings" not in found
    assert "stop" not in {finding.level for finding in found.values()}


def _findings_of_training(trial: int, t5: Path, folder: Path, overrides: Sequence[str]) -> dict[str, str]:
    """What guards report in a shortened training, started in spite of preflight."""
    settings = [f"model.base={t5}", *SHORT, *overrides]
    pipeline.run(f"emoji-trial-{trial}", overrides=settings, run_dir=folder, anyway=True)
    return _findings(folder)


def _findings(folder: Path) -> dict[str, str]:
    (run,) = [path for path in folder.iterdir() if (path / "findings.jsonl").is_file()]
    lines = [json.loads(line) for line in (run / "findings.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["check"]: line["what"] for line in lines}


def test_trial_1_is_not_finite_and_stops_at_that_step(tmp_path: Path) -> None:
    """Weights scaled where this arithmetic stays finite; the log's trainer printed a loss of 0.0."""
    from safetensors.torch import load_file, save_file

    base = checkpoint(tmp_path / "t5", "t5")
    weights = load_file(base / "model.safetensors")
    scaled = {name: weight * (1e20 if ".wi." in name or ".wo." in name else 1) for name, weight in weights.items()}
    save_file(scaled, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NumericError) as caught:
        _findings_of_training(1, base, tmp_path / "runs", ["train.steps=600"])
    assert (caught.value.step, caught.value.cause) == (1, "broken weights")
    found = _findings(tmp_path / "runs")
    assert "not finite" in found["not-finite"] and "float16" in found["half-precision"]


def test_trial_3_predicts_no_emoji_and_a_guard_reports_it(t5: Path, tmp_path: Path) -> None:
    """A few of its steps; the loss falls all the while."""
    found = _findings_of_training(3, t5, tmp_path, ["train.steps=60"])
    assert "100% of the predictions on dev are illegal" in found["unreadable-answers"]


@pytest.mark.parametrize("trial", [4, 5])
def test_trials_4_and_5_predict_the_same_for_most_and_a_guard_reports_it(trial: int, t5: Path, tmp_path: Path) -> None:
    """The kind of symptom that the log saw only after training, by hand."""
    pace = ["train.steps=120", "train.learning_rate=3.8e-3", "train.warmup=20", "train.evaluate_every=40"]
    found = _findings_of_training(trial, t5, tmp_path, pace)
    share = int(found["one-answer"].split("%")[0].split()[-1])
    assert share > 50
