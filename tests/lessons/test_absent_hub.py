"""What the logs' configs alone show is said before anybody asks for a checkpoint that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.pipeline import commands


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Hub, and nothing in its cache."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("trial", [1, 2])
def test_the_first_two_trials_are_refused_by_their_config_alone(trial: int) -> None:
    """float16 with T5 and new embeddings, and a warm-up as long as the training."""
    report = commands.doctor(f"emoji-trial-{trial}")
    found = {finding.check: finding for finding in report.findings}
    assert found["half-precision"].level == found["warm-up"].level == "stop"
    assert "T5" in found["half-precision"].what and "new embeddings" in found["half-precision"].what
    assert "500 of 500" in found["warm-up"].what
    assert found["checkpoint"].level == "note"
    assert found["checkpoint"].where == "sonoisa/t5-base-japanese"
    assert not report.complete


@pytest.mark.parametrize("trial", [1, 3])
def test_doctor_ends_with_1_where_the_model_was_not_examined(trial: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether its config has a fault or not: what was not looked at is not sound."""
    assert main(["doctor", f"emoji-trial-{trial}", "--lang", "en"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "the model itself was not examined" in printed
    assert ("warm-up" in printed) == (trial == 1)
