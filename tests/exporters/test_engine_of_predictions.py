"""`decode.engine = "ct2"`: only what predicts dev equally may predict, and never in silence."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from checkpoints import checkpoint

import terakoya as tk
from terakoya.cli.main import main
from terakoya.errors import ConfigError
from terakoya.exporters.ct2 import as_engine
from terakoya.exporters.ct2.engine import Ct2Engine
from terakoya.exporters.engine_skill import EngineSkill, Generated
from terakoya.pipeline.engine import EngineWarning
from terakoya.saved_model import read_skill
from tests.exporters.pretrained_skills import run_readme

ENGINE = {"decode.engine": "ct2"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained skill whose run has dev and an exam, trained for some steps."""
    home = tmp_path_factory.mktemp("engine")
    lines = [{"source": f"{number}円", "target": str(number)} for number in range(100, 220)]
    (home / "numbers.jsonl").write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )
    config = (
        f'name = "numbers"\n[task]\ndata = "numbers.jsonl"\ncodec = "number"\n[model]\n'
        f'base = "{checkpoint(home / "base", "qwen2")}"\n[train]\nsteps = 100\nlearning_rate = 1e-2\nthreads = 1\n'
        "[score]\nuntrained_base = false\nresamples = 100\n"
    )
    (home / "numbers.toml").write_text(config, encoding="utf-8")
    return Path(tk.run(home / "numbers.toml", run_dir=home / "runs", anyway=True).folder)


@pytest.fixture
def run(trained: Path) -> Path:
    """The run without what an engine left in it."""
    shutil.rmtree(trained / "engines", ignore_errors=True)
    return trained


def _predictions(folder: Path) -> list[tuple[Any, ...]]:
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [(one["source"], one["raw"], one["prediction"]) for one in map(json.loads, lines)]


def test_an_exam_has_the_same_predictions(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every item, by CTranslate2 alone; the opening is one of the same settings."""
    computed: list[int] = []
    generate = Ct2Engine.generate

    def counted(self: Ct2Engine, queries: Any, *more: Any) -> list[Generated]:
        computed.append(len(queries))
        return generate(self, queries, *more)

    monkeypatch.setattr(Ct2Engine, "generate", counted)
    own = tk.evaluate(run)
    assert not computed
    other = tk.evaluate(run, overrides=ENGINE)
    assert computed[-1] == len(_predictions(other.folder)) > 5
    assert _predictions(other.folder) == _predictions(own.folder) == _predictions(run)
    assert len({text for _source, _raw, text in _predictions(run)}) > 3
    proof = json.loads((run / "engines" / "ct2" / "proof.json").read_text(encoding="utf-8"))
    assert proof["equal"] == proof["n"] > 5


def test_what_was_shown_once_is_not_compared_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The converted model stays in the run; other weights or settings are compared anew."""
    first = tk.load(run, overrides=ENGINE)
    assert isinstance(first, EngineSkill)
    monkeypatch.setattr(as_engine, "_compare", lambda *given: pytest.fail("compared again"))
    texts = ["123円", "", "九円", "x" * 500]
    assert [one.raw for one in tk.load(run, overrides=ENGINE).predict(texts)] == [
        one.raw for one in tk.load(run).predict(texts)
    ]
    with pytest.raises(pytest.fail.Exception, match="compared again"):
        tk.load(run, overrides={**ENGINE, "decode.constrained": False})


def test_an_engine_that_differs_does_not_predict(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One other prediction of dev is enough: Terakoya predicts, the reason is said, and the model is not kept."""
    generate = Ct2Engine.generate

    def one_wrong(self: Ct2Engine, *given: Any) -> list[Generated]:
        found = generate(self, *given)
        return [Generated("1", 0.5), *found[1:]]

    monkeypatch.setattr(Ct2Engine, "generate", one_wrong)
    with pytest.warns(EngineWarning, match="predicts 1 of"):
        skill = tk.load(run, overrides=ENGINE)
    assert not isinstance(skill, EngineSkill) and not (run / "engines" / "ct2" / "model").exists()
    assert main(["predict", str(run), "123円", "--set", "decode.engine=ct2", "--format", "text"]) == 0
    said = capsys.readouterr()
    assert "CTranslate2 does not predict" in said.err and said.out.strip() == (read_skill(run)("123円") or "")


def test_without_dev_it_does_not_predict(run: Path, tmp_path: Path) -> None:
    """A model folder without its run has nothing on which the engine could be compared."""
    shutil.copytree(run / "model", tmp_path / "model")
    with pytest.warns(EngineWarning, match="no dev items"):
        assert not isinstance(tk.load(tmp_path / "model", overrides=ENGINE), EngineSkill)


@pytest.mark.parametrize("setting", [{"decode.method": "beam"}, {"decode.repetition_penalty": 1.2}])
def test_what_it_cannot_do_is_refused(run: Path, setting: dict[str, Any]) -> None:
    """Beam search under a grammar would be another decoding."""
    with pytest.raises(ConfigError, match="decodes greedily"):
        tk.load(run, overrides={**ENGINE, **setting})


def test_where_it_can_do_nothing_it_is_refused(number_run: Path, moods_config: Path) -> None:
    """Built-in models have no such engine: said by doctor, and at the call."""
    with pytest.raises(ConfigError, match="built-in"):
        tk.load(number_run, overrides=ENGINE)
    found = tk.doctor(moods_config, overrides=ENGINE).findings
    assert [one.level for one in found if one.where == "decode.engine"] == ["stop"]


@pytest.fixture
def moods_config() -> str:
    return "kannume-160"


def test_the_readmes_of_pretrained_exports_can_be_typed(trained: Path, tmp_path: Path) -> None:
    """The lines under "How to call it" are a program that predicts, from the export's own folder."""
    exports = tk.export(trained, "ct2, gguf, hub", output=tmp_path, lang="en")
    assert [one.proof.target for one in exports] == ["ct2", "gguf", "hub"]
    for one in exports:
        run_readme(one.folder)


def test_a_server_refuses_it(run: Path) -> None:
    """It would be ignored there."""
    started = time.monotonic()
    with pytest.raises(ConfigError, match="serve"):
        tk.serve(run, port=0, overrides=ENGINE, background=True)
    assert time.monotonic() - started < 60
