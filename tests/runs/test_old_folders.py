"""Run folders written by the first version (before any module was moved) open and go on as then.

They were made with `train.steps` of 4 to 20: a built-in text model, a set head on the starter's table, a pretrained
checkpoint in full and with an unmerged LoRA adapter, a run whose exam is still closed, and a sweep of two trials.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from terakoya.cli.main import main

OLD = Path(__file__).parent.parent / "fixtures" / "runs" / "format-2-full"


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to write in; configs name their checkpoint and table relative to the folder they were run in."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def _lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["text", "sets", "full", "lora"])
def test_a_saved_model_predicts_what_it_predicted(old: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Same sources, same text, same probability to six digits: the weights and all that reads them are the same."""
    kept = _lines(old / kind / "predictions.jsonl")[:12]
    (old / "sources.txt").write_text("".join(f"{line['source']}\n" for line in kept), encoding="utf-8")
    assert main(["predict", str(old / kind), "--input", "sources.txt", "--output", "out.jsonl"]) == 0
    capsys.readouterr()
    for before, now in zip(kept, _lines(old / "out.jsonl"), strict=True):
        assert now["prediction"] == before["prediction"]
        assert now["probability"] == pytest.approx(before["probability"], abs=2e-6)


@pytest.mark.parametrize("kind", ["text", "sets", "full", "lora"])
def test_a_record_is_remade(old: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The record needs nothing but the folder, and says the same scores and verdict."""
    scores = json.loads((old / kind / "scores.json").read_text(encoding="utf-8"))
    (old / kind / "report.md").unlink()
    assert main(["report", str(old / kind), "--lang", "en"]) == 0
    capsys.readouterr()
    text = (old / kind / "report.md").read_text(encoding="utf-8")
    first = scores["scores"][0]
    assert f"{first['value']:.4f}"[:5] in text or f"{first['value']:.3f}" in text
    assert scores["verdict"]["state"] in text.lower()


def test_a_run_whose_exam_is_closed_goes_on(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exam is opened by this version on the weights of the old one."""
    assert main(["run", str(old / "stopped"), "--json"]) in (0, 1)
    document = json.loads(capsys.readouterr().out)
    assert document["scores"]
    assert (old / "stopped" / "report.html").is_file()


def test_an_old_exam_is_taken_again_and_compared(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A signature of then is the signature of now: the same exam, metric and decoding are recognised."""
    assert main(["evaluate", str(old / "text"), "--json"]) in (0, 1)
    again = json.loads(capsys.readouterr().out)["scores"]
    before = json.loads((old / "text" / "scores.json").read_text(encoding="utf-8"))["scores"]
    assert [round(score["value"], 9) for score in again] == [round(score["value"], 9) for score in before]
    shutil.copytree(old / "text", old / "again")
    assert main(["compare", str(old / "text"), str(old / "again"), "--json"]) == 0


def test_a_finished_sweep_is_shown_again(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trials of then count as done: none is trained twice."""
    before = sorted(path.as_posix() for path in (old / "sweep").rglob("model.safetensors"))
    shutil.copytree(old / "sweep", old / "runs" / "series-s")
    own = (old / "sweep" / "series.toml").read_text(encoding="utf-8").splitlines(keepends=True)
    (old / "s.toml").write_text("".join(line for line in own if not line.startswith("# --")), encoding="utf-8")
    command = ["sweep", "s.toml", "--run-dir", "runs", "--set", "train.steps=6", "--json"]
    assert main([*command, "--set", "model.base=tiny", "--set", "model.width=32"]) == 0
    capsys.readouterr()
    after = sorted(path.as_posix() for path in (old / "runs").rglob("model.safetensors"))
    assert len(after) == len(before)
