"""Folders that are moved, together or apart: a config's base is found from it, and an adapter finds its base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.config import ModelConfig, read_config
from terakoya.errors import ConfigError, CorruptError, TerakoyaError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.saving import METADATA_FILE
from terakoya.models.protocol import Pair, Query

Base = Callable[[str], Path]
PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)")]
CONFIG = """
[task]
data = "rows.csv"
[model]
base = "{base}"
adaptation = "lora"
merge = false
lora_rank = 2
[train]
steps = 2
batch_size = 4
threads = 1
"""


@pytest.fixture
def project(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base in bases/, a config in work/ that names it by a relative path; one stands somewhere else."""
    shutil.copytree(base("qwen2"), tmp_path / "bases" / "qwen")
    (tmp_path / "work").mkdir()
    rows = "".join(f"{number}円です,{number}\n" for number in range(100, 160))
    (tmp_path / "work" / "rows.csv").write_text("source,target\n" + rows)
    (tmp_path / "work" / "x.toml").write_text(CONFIG.format(base="../bases/qwen"))
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    return tmp_path


def adapter(base: Path, folder: Path) -> Path:
    config = ModelConfig(base=str(base), adaptation="lora", merge=False, lora_rank=2)
    build.build(config, PAIRS, seed=0).save(folder)
    return folder


def test_a_relative_base_is_read_from_the_config_that_names_it(project: Path) -> None:
    """In the config, in the run's, in the skill's and in the adapter's: all of it moved, all of it opens."""
    words = ["run", "../work/x.toml", "--run-dir", "../runs", "--anyway", "--json"]
    assert main(words) in (0, 1)
    moved = Path(shutil.move(project, project.parent / "moved"))
    run = next((moved / "runs").glob("x-*"))
    assert (run / read_config(run / "config.toml").model.base).resolve() == moved / "bases" / "qwen"
    peft = json.loads((run / "model" / "adapter_config.json").read_text())
    assert (run / "model" / peft["base_model_name_or_path"]).resolve() == moved / "bases" / "qwen"
    assert main(["predict", str(run), "120円です"]) == 0
    assert main(["evaluate", str(run), "--json"]) in (0, 1)
    for file in ("manifest.json", "model/terakoya.json", "model/terakoya-model.json"):
        assert str(project) not in (run / file).read_text(), f"{file} holds a path of the machine"


def test_a_base_beside_the_config_comes_before_one_where_the_user_stands(project: Path) -> None:
    (project / "else" / "bases").mkdir()
    (project / "bases" / "qwen").rename(project / "work" / "qwen")
    (project / "else" / "qwen").mkdir()  # an empty folder of the same name
    (project / "work" / "x.toml").write_text(CONFIG.format(base="qwen"))
    assert main(["audit", "../work/x.toml"]) in (0, 1)


def test_a_base_that_is_nowhere_is_named_with_the_folder_it_is_read_from(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "work" / "x.toml").write_text(CONFIG.format(base="../bases/none"))
    assert main(["audit", "../work/x.toml"]) == 2
    assert "../bases/none" in (shown := capsys.readouterr().err) and str(project / "work") in shown


@pytest.mark.parametrize("place", ["model/qwen", "qwen", "../qwen"])
def test_a_moved_adapter_finds_its_base_by_name_and_weights(project: Path, place: str) -> None:
    folder = adapter(project / "bases" / "qwen", project / "run" / "model")
    expected = build.load(folder).core.state_dict()
    moved = Path(shutil.move(project / "run", project / "far" / "run")) / "model"
    with pytest.raises(ConfigError, match="not where it was") as caught:
        shutil.move(project / "bases", project / "elsewhere")
        build.load(moved)
    assert "qwen" in caught.value.do and str(moved.parent / "qwen") in caught.value.do
    shutil.move(project / "elsewhere" / "qwen", moved.parent / place)
    found = build.load(moved).core.state_dict()
    assert all((found[name] == weight).all() for name, weight in expected.items())


def test_another_model_under_the_bases_name_is_refused(base: Base, project: Path) -> None:
    """Same architecture, other weights: the adapter would fit, and predict anything."""
    from checkpoints import checkpoint

    folder = adapter(project / "bases" / "qwen", project / "model")
    shutil.rmtree(project / "bases" / "qwen")
    checkpoint(project / "bases" / "qwen", "qwen2", seed=1)
    with pytest.raises(ConfigError, match="not the base with which this one was trained"):
        build.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": {"r": 2, "megatron_config": {}, "megatron_core": "evil"}},
        {"lora": {"r": 2, "target_modules": "(x+x+)+y"}},
        {"lora": {"r": "2"}},
        {"lora": ["r"]},
        {"kept": [-1]},
        {"kept": [10**9]},
        {"kept": "all"},
        {"new_tokens": [1]},
        {"base": 3},
        {"base": None},
        {"template": ["chat"]},
        {"max_source": "long"},
    ],
)
def test_a_description_that_terakoya_never_writes_is_refused(
    project: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """peft would import a module that its settings name."""
    folder = adapter(project / "bases" / "qwen", project / "model")
    (project / "evil.py").write_text(f"open({str(project / 'ran')!r}, 'w').write('x')\n")
    monkeypatch.syspath_prepend(project)
    file = folder / METADATA_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(TerakoyaError) as caught:
        build.load(folder)
    assert isinstance(caught.value, CorruptError)
    assert not (project / "ran").exists()
