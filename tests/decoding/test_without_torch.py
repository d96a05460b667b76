"""Built-in models predict in numpy what they predict in torch, and PyTorch is not even imported."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from terakoya.codec.number import number_codec
from terakoya.config import DecodeConfig, make_config
from terakoya.decoding.predict import predict_queries
from terakoya.decoding.without_torch import predict_without_torch
from terakoya.errors import CorruptError
from terakoya.models.builtin.model import build
from terakoya.models.builtin.numpy_model import load_without_torch
from terakoya.models.protocol import Pair, Query
from terakoya.pipeline import run as pipeline
from terakoya.saved_model import read_skill
from terakoya.task import Task

ROWS = [
    Pair(Query(f"{'一二三四五六七八九'[n % 9]}{'十百千万'[n % 4]}{'〇' * (n % 7)}"), str(n * 37)) for n in range(60)
]
SOURCES = [row.query.source for row in ROWS] + ["九十", "x", "", "一" * 200]


def both(folder: Path, base: dict[str, object], codec: object, **decode: object) -> tuple[list, list]:
    """Predictions in torch and in numpy, of a model with random weights."""
    model = build(make_config({"model": base}).model, ROWS, tuple(getattr(codec, "labels", ())), seed=3)
    model.save(folder)
    task = Task("numbers", codec=codec)  # type: ignore[arg-type]
    config = DecodeConfig(**decode)  # type: ignore[arg-type]
    queries = [Query(source) for source in SOURCES]
    light = load_without_torch(folder)
    return (
        predict_queries(model, queries, task, config, max_tokens=12),
        predict_without_torch(light, queries, task, config, max_tokens=12),
    )


@pytest.mark.parametrize("family", ["encoder-decoder", "decoder"])
@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_sequences_are_the_same(tmp_path: Path, family: str, constrained: bool, batch_size: int) -> None:
    base = {"base": "tiny", "family": family, "head": "sequence"}
    torch, light = both(tmp_path, base, number_codec("groups"), constrained=constrained, batch_size=batch_size)
    assert [replace(one, probability=None) for one in light] == [replace(one, probability=None) for one in torch]
    assert np.allclose([one.probability for one in light], [one.probability for one in torch], atol=1e-5)
    assert any(one.raw for one in light)


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a small set model with names of labels."""
    folder = tmp_path_factory.mktemp("moods")
    said = {"笑った": "😀", "泣いた": "😢 💧", "怒った": "😠", "歌った": "🎤 😀"}
    people = ("妹", "猫", "弟", "祖母", "先生", "隣の人")
    rows = [f"{who}が{what}日,{label}" for who in people for what, label in said.items()]
    (folder / "moods.csv").write_text("source,target\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (folder / "moods.toml").write_text(
        '[task]\ndata = "moods.csv"\ncodec = "labels"\n[model]\nbase = "tiny"\n[score]\nresamples = 100\n', "utf-8"
    )
    return Path(pipeline.run(str(folder / "moods.toml"), run_dir=folder / "runs", anyway=True).folder)


@pytest.mark.parametrize("adjustment", ["0.0", "0.7"])
def test_sets_are_the_same(moods: Path, adjustment: str) -> None:
    overrides = (f"decode.logit_adjustment={adjustment}",)
    texts = ["妹が歌った", "猫が怒った日", "知らない言葉", "", " ", "先生が泣いた日"]
    torch = read_skill(moods, overrides).predict(texts)
    light = read_skill(moods, overrides, predict_only=True).predict(texts)
    assert [(one.text, one.raw) for one in light] == [(one.text, one.raw) for one in torch]
    for mine, theirs in zip(light, torch, strict=True):
        assert mine.probability == pytest.approx(theirs.probability, abs=1e-5)
        assert dict(mine.labels) == pytest.approx(dict(theirs.labels), abs=1e-5)


def test_predict_does_not_import_torch(moods: Path) -> None:
    """Its import alone takes seconds: more than a thousand predictions."""
    code = (
        "import sys; from terakoya.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(repr(sorted({'torch', 'scipy'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", str(moods), "妹が笑った日"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["prediction"] == "😀" and done.stderr.endswith("[]")


def test_other_methods_of_decoding_take_torch(moods: Path, tmp_path: Path) -> None:
    rows = "".join(f"{n},{n}{n}\n" for n in range(40))
    (tmp_path / "a.csv").write_text(f"source,target\n{rows}", encoding="utf-8")
    (tmp_path / "a.toml").write_text(
        '[task]\ndata = "a.csv"\n[model]\nbase = "tiny"\n[train]\nsteps = 4\n[score]\nresamples = 100\n', "utf-8"
    )
    run = Path(pipeline.run(str(tmp_path / "a.toml"), run_dir=tmp_path / "runs", anyway=True).folder)
    assert type(read_skill(run, predict_only=True).model).__name__ == "NumpyModel"
    beams = read_skill(run, ("decode.method=beam",), predict_only=True)
    assert type(beams.model).__name__ == "BuiltinModel" and beams.predict(["7"])[0].source == "7"


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    both(tmp_path, {"base": "tiny", "head": "sequence"}, number_codec("plain"))
    weights = load_file(tmp_path / "model.safetensors")
    weights["places"] = weights["places"][:-1]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CorruptError, match="belong to another model"):
        load_without_torch(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CorruptError, match="cannot be read"):
        load_without_torch(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CorruptError, match="missing"):
        load_without_torch(tmp_path)
