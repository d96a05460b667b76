"""A run whose built-in set head is given the scores of a pretrained base: from the table to record, use and export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import torch
from checkpoints import checkpoint

from terakoya.errors import ConfigError
from terakoya.exporters.possible import export_findings
from terakoya.pipeline import run as pipeline
from terakoya.pipeline.commands import doctor
from terakoya.records import Finding
from terakoya.saved_model import read_skill

WHERE = (
    "きょう",
    "あした",
    "いつも",
    "ここ",
    "そこ",
    "あそこ",
    "むかし",
    "いま",
    "さっき",
    "あとで",
    "みんな",
    "ひとり",
)
MOODS = (("うれしい", "joy"), ("たのしい", "joy fun"), ("かなしい", "sad"), ("さびしい", "sad"), ("おもしろい", "fun"))
SETTINGS = (
    "model.base=tiny", "model.base_shots=2", "model.base_prompts=1", "train.steps=20", "train.threads=1",
    "train.crossfit=false", "train.refit=false",    "score.resamples=100",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of moods with 60 dev rows, a config that names a base beside it, and the base."""
    folder = tmp_path_factory.mktemp("moods")
    texts = [
        (f"{where}は{mood}{end}", labels) for where, (mood, labels), end in product(WHERE, MOODS, ("", "ね", "よ"))
    ]
    sides = ("train", "dev", "exam")
    rows = "".join(f"{text},{labels},{sides[at % 3]}\n" for at, (text, labels) in enumerate(texts))
    (folder / "moods.csv").write_text("source,target,split\n" + rows, encoding="utf-8")
    config = '[task]\ndata = "moods.csv"\nsplit = "split"\ncodec = "labels"\n[model]\nbase_scores = "gemma"\n'
    (folder / "moods.toml").write_text(config, encoding="utf-8")
    checkpoint(folder / "gemma", "gemma3")
    return folder


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = pipeline.run(
        str(home / "moods.toml"), overrides=list(SETTINGS), run_dir=tmp_path_factory.mktemp("runs"), anyway=True
    )
    return Path(made.folder)


def _findings(run: Path) -> list[Finding]:
    lines = [json.loads(line) for line in (run / "findings.jsonl").read_text("utf-8").splitlines()]
    return [Finding(line["check"], line["level"], line["what"], values=line["values"]) for line in lines]


def test_the_record_names_the_base_and_its_share(run: Path) -> None:
    """What it costs stands there before the training, what it counts afterwards."""
    before, after = [one for one in _findings(run) if one.check == "base-scores"]
    assert "gemma" in str(before.what) and before.values["texts"] == 120  # dev and exam
    assert "gemma" in str(after.what) and 0 <= after.values["share"] <= 1
    info = json.loads((run / "manifest.json").read_text("utf-8"))["model"]["extra"]
    assert info["base_scores"] == "gemma" and info["base_weight"] == pytest.approx(after.values["weight"])


def test_the_base_alone_is_a_baseline(run: Path) -> None:
    """Whoever adds a base asks whether its scores alone would have done."""
    scores = json.loads((run / "scores.json").read_text("utf-8"))
    assert scores["untrained_base"]["base"] == "gemma"


def test_the_saved_skill_predicts_with_its_base(run: Path, home: Path) -> None:
    """Also where only predictions are wanted, for which other built-in models open without PyTorch."""
    skill = read_skill(run, predict_only=True)
    assert skill.model.evidence is not None  # type: ignore[attr-defined]
    assert (
        skill.config.model.base_scores and (run / "model" / skill.config.model.base_scores).resolve() == home / "gemma"
    )
    (prediction,) = skill.predict(["だれかはうれしい"])
    assert prediction.text


def test_an_export_says_why_there_is_none(run: Path) -> None:
    """Half of a model would be another model."""
    skill = read_skill(run)
    (finding,) = export_findings(skill)
    assert "exported nowhere" in str(finding.what) and "model.base_scores" in str(finding.what)


def test_doctor_names_settings_of_a_base_that_is_not_there(home: Path) -> None:
    """A prompt for no base has no effect; a base that is not there is named with the key."""
    settings = [*SETTINGS, "model.base_scores=", "model.base_weight=1.0"]
    found = doctor(str(home / "moods.toml"), overrides=settings).findings
    assert any(one.check == "no-effect" and one.where == "model.base_weight" for one in found)
    with pytest.raises(ConfigError, match="base_scores"):
        doctor(str(home / "moods.toml"), overrides=[*SETTINGS, "model.base_scores=./missing"])
