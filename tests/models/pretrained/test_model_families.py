"""The numerals log's last table: one experiment over other models. There it was a script copied five times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from checkpoints import checkpoint

from terakoya.errors import DataError
from terakoya.pipeline import run as pipeline
from terakoya.runs import Index, Run
from terakoya.sweeps import run as series
from terakoya.sweeps.plan import SweepOverrides

FAMILIES = ("gemma3", "lfm2", "llama", "qwen2")  # those of the log: Gemma 3, LFM2, SmolLM2, Qwen 2.5


def test_one_experiment_over_a_list_of_models_in_full_and_with_lora(tmp_path: Path) -> None:
    """The sweep that ships, on the log's architectures: every cell trained, evaluated once, in one table."""
    torch.set_num_threads(1)
    folders = [checkpoint(tmp_path / family, family) for family in FAMILIES]
    changes = SweepOverrides(
        set=(
            "train.steps=2",
            "train.threads=1",
            "decode.max_tokens=4",
            "score.resamples=100",
            "score.untrained_base=false",
        ),
        grid=(f"model.base={','.join(map(str, folders))}",),
        seeds=(0,),
    )
    done = series.sweep("other-models", changes=changes, run_dir=tmp_path / "runs")
    assert len(done.trials) == 2 * len(FAMILIES) and {status.state for status in done.trials} == {"done"}
    for status in done.trials:
        run = Run.open(done.folder / status.run)
        model = run.manifest["model"]
        assert (model["trainable"] < model["weights"]) == any(item.endswith("=lora") for item in status.trial.settings)
        assert len(Index(run.path.parent).openings(run.manifest["exam"])) == 1
    page = (done.folder / "report.md").read_text(encoding="utf-8")
    assert all(page.count(str(folder)) >= 2 for folder in folders) and "lora" in page


def test_the_logs_own_data_out_of_reach_is_reported_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network the log's data set cannot be had: which, from where, and what to do instead."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    import datasets  # type: ignore[import-untyped,unused-ignore]
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="MobileGameNPC") as caught:
        pipeline.run("martian-as-logged", run_dir=tmp_path / "runs")
    assert "Hub" in caught.value.what and "task.data" in caught.value.do and caught.value.exit_code == 3
