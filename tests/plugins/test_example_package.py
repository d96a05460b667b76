"""examples/terakoya-example: one of each that others can bring, installed and used as they would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "terakoya-example"
KINDS = {
    "tasks": "clock", "models": "gru", "metrics": "minutes", "codecs": "clock", "losses": "poly1",
    "baselines": "morning",
}  # fmt: skip
STEPS = 150


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed into, by pip and without a network."""
    folder = tmp_path_factory.mktemp("example")
    # Building writes beside pyproject.toml: not in the repository.
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", folder / "site", folder / "source"]
    subprocess.run(command, check=True, timeout=120)
    return folder / "site"


def _terakoya(*words: str, folder: Path, site: Path | None, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site) if site else "", "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "terakoya", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert not check or done.returncode in (0, 1), done.stderr
    return done


@pytest.fixture(scope="module")
def trained(site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run of the package's own experiment, which names all six, and its result as JSON."""
    folder = tmp_path_factory.mktemp("work")
    settings = (f"train.steps={STEPS}", "model.width=48", "score.resamples=200")
    words = [word for setting in settings for word in ("--set", setting)]
    done = _terakoya("run", str(EXAMPLE / "clock.toml"), "--json", *words, folder=folder, site=site)
    return folder, json.loads(done.stdout)


def test_an_experiment_names_one_of_each(trained: tuple[Path, dict[str, Any]]) -> None:
    """Trained with their loss and model, written in their codec, scored by their metric beside their baseline."""
    folder, result = trained
    scores = {(score["who"], score["metric"]): score for score in result["scores"]}
    metrics = list(dict.fromkeys(score["metric"] for score in result["scores"]))
    assert metrics[:2] == ["minutes", "exact"]
    signature = scores["model", "minutes"]["signature"]
    assert signature["metric"] == "minutes|within:60|v:1" and signature["normal"] == "clock"
    assert 0.3 < scores["morning", "exact"]["value"] < 0.7, "half of all times are in the morning"
    assert scores["model", "minutes"]["value"] > 0.05
    (run,) = (folder / "runs").glob("clock-*")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["name"] == "gru" and manifest["state"] == "done"
    used = {(one["group"], one["name"], one["package"], one["version"]) for one in manifest["plugins"]}
    assert used == {(f"terakoya.{kind}", name, "terakoya-example", "0.1.0") for kind, name in KINDS.items()}
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    assert any(step["loss"] > step["plain"] for step in steps if "plain" in step), "the loss is not the plain one"


def test_it_predicts_from_its_folder_and_goes_nowhere_without_the_package(
    trained: tuple[Path, dict[str, Any]], site: Path, tmp_path: Path
) -> None:
    """The model folder alone is enough where the package is installed; elsewhere one learns what to install."""
    (run,) = (trained[0] / "runs").glob("clock-*")
    shutil.copytree(run / "model", tmp_path / "model")
    done = _terakoya("predict", "model", "午前三時二十分", "午後十一時", folder=tmp_path, site=site)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    assert all(line["prediction"] is None or line["prediction"][2] == ":" for line in lines)
    assert any(line["prediction"] for line in lines)
    for command in (("predict", "model", "午前三時"), ("evaluate", str(run))):
        refused = _terakoya(*command, folder=tmp_path, site=None, check=False)
        assert refused.returncode == 2, refused.stderr
        assert "terakoya.codecs 'clock' (terakoya-example 0.1.0)" in refused.stderr
        assert "pip install terakoya-example==0.1.0" in refused.stderr


def test_an_unfinished_run_names_the_package_too(
    trained: tuple[Path, dict[str, Any]], site: Path, tmp_path: Path
) -> None:
    words = ("--set", "train.steps=4", "--set", "model.width=16")
    _terakoya("train", str(EXAMPLE / "clock.toml"), *words, folder=tmp_path, site=site)
    (run,) = (tmp_path / "runs").glob("clock-*")
    refused = _terakoya("run", str(run), folder=tmp_path, site=None, check=False)
    assert refused.returncode == 2 and "terakoya-example 0.1.0" in refused.stderr


def test_what_is_missing_for_training_alone_is_not_missed(site: Path, tmp_path: Path) -> None:
    """A skill that was trained with somebody's loss predicts where that loss is not installed."""
    rows = "".join(f"w{n},W{n % 7}\n" for n in range(60))
    (tmp_path / "t.csv").write_text("source,target\n" + rows, encoding="utf-8")
    (tmp_path / "t.toml").write_text(
        '[task]\ndata = "t.csv"\n[model]\nbase = "tiny"\n[train]\nloss = "poly1"\nsteps = 3\n'
        '[score]\nbaselines = ["morning"]\n', encoding="utf-8",
    )  # fmt: skip
    _terakoya("run", "t.toml", "--anyway", folder=tmp_path, site=site)
    (run,) = (tmp_path / "runs").glob("t-*")
    assert _terakoya("predict", str(run), "w3", folder=tmp_path, site=None).returncode == 0


def test_the_list_shows_each_with_its_package(site: Path, tmp_path: Path) -> None:
    listed = json.loads(_terakoya("list", "--json", folder=tmp_path, site=site).stdout)
    for kind, name in KINDS.items():
        assert listed[kind][name] == "terakoya-example 0.1.0"
    assert listed["metrics"]["exact"].startswith("terakoya ")
    assert "午後三時" not in _terakoya("list", folder=tmp_path, site=None).stdout
    shown = _terakoya("explain", "train.loss", "--json", folder=tmp_path, site=site)
    assert "poly1" in json.loads(shown.stdout)[0]["choices"]
