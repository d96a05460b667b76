"""Built-in skills as ONNX graphs: onnxruntime predicts the exam as they do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import terakoya as tk
from terakoya.errors import CorruptError
from terakoya.exporters.exporter import find_exporter
from terakoya.exporters.onnx.graphs import export_sequence
from terakoya.exporters.onnx.model import OnnxDecodingState
from terakoya.exporters.prove import compare_predictions, exam_items
from terakoya.exporters.skill_files import write_skill_files
from terakoya.models.builtin.characters import CharacterVocabulary
from terakoya.models.builtin.kv_cache import BuiltinDecodingState
from terakoya.models.builtin.network import CharacterTransformer
from terakoya.models.builtin.shape import Shape
from terakoya.runs import read_lines
from terakoya.saved_model import read_skill
from tests.exporters.conftest import CANARIES


@pytest.fixture(scope="module")
def exported(number_run: Path, set_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The artifacts of both heads; each passed its proof."""
    home = tmp_path_factory.mktemp("onnx")
    found = {}
    for name, run in (("number", number_run), ("set", set_run)):
        (result,) = tk.export(run, "onnx", output=home / name, lang="en")
        assert result.proof.state == "same", result.proof
        assert result.proof.runtime == f"onnxruntime {onnxruntime.__version__}"
        assert result.proof.largest_difference is not None and result.proof.largest_difference <= 1e-5
        found[name] = result.artifact
    return found


@pytest.mark.parametrize("head", ["number", "set"])
def test_predictions_need_no_torch(exported: dict[str, Path], head: str) -> None:
    """The documented call answers with onnxruntime and numpy alone."""
    script = f"""
import sys
from pathlib import Path
from terakoya.exporters.onnx.exporter import OnnxExporter
print(len(OnnxExporter().open(Path({str(exported[head])!r})).predict(["三万八千", "", "駅前の雨と猫"])))
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3"


@pytest.mark.parametrize(("head", "file"), [("number", "step.onnx"), ("number", "source.onnx"), ("set", "scores.onnx")])
def test_a_changed_weight_is_refused(exported: dict[str, Path], head: str, file: str) -> None:
    """One bit of one weight is enough: the skill does not open."""
    path = exported[head] / file
    whole = path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    try:
        with pytest.raises(CorruptError, match="not those that were converted"):
            find_exporter("onnx").open(exported[head])
    finally:
        path.write_bytes(whole)


def test_a_conversion_that_changes_a_weight_is_worse(
    exported: dict[str, Path], number_run: Path, tmp_path: Path
) -> None:
    """One weight other than trained: probabilities differ by more than arithmetic explains, whatever is predicted."""
    skill, exporter = read_skill(number_run), find_exporter("onnx")
    artifact = tmp_path / "model"
    shutil.copytree(exported["number"], artifact)
    graph = onnx.load(artifact / "step.onnx")
    (norm,) = [one for one in graph.graph.initializer if one.name.endswith("network.norm.weight")]
    values = onnx.numpy_helper.to_array(norm).copy()
    values[0] += 0.2
    norm.CopyFrom(onnx.numpy_helper.from_array(values, norm.name))
    onnx.save(graph, artifact / "step.onnx")
    write_skill_files(skill, artifact, ["source.onnx", "step.onnx"])  # as if the converter had written it so
    items = exam_items(list(read_lines(number_run / "predictions.jsonl")))
    texts = [item.source for item in items]
    opened = exporter.open(artifact)
    proof = compare_predictions(skill, items, skill.predict(texts), opened.predict(texts), tolerance=1e-5)
    assert proof.state == "worse"


def test_nothing_of_this_machine_leaves(exported: dict[str, Path], set_run: Path, number_run: Path) -> None:
    """No path, and of 20 canaries in the training rows none."""
    traces = [str(set_run.parent.parent), str(number_run.parent), str(Path(tk.__file__).parent), *CANARIES]
    files = [file for artifact in exported.values() for file in artifact.parent.rglob("*") if file.is_file()]
    assert len(files) > 10
    for file in files:
        content = file.read_bytes()
        assert not [trace for trace in traces if trace.encode() in content], file


def test_a_decoder_only_model_has_the_same_logits(tmp_path: Path) -> None:
    """Without an encoder the source's keys and values are the prefix of the cache, and its padding stays hidden."""
    torch.manual_seed(0)
    characters = CharacterVocabulary(tuple("abcdefgh"), tuple("0123"))
    shape = Shape("decoder", 16, 0, 1, 2, 32, 0.0, 12, 8, characters.size, characters.outputs)
    network = CharacterTransformer(shape)
    network.initialise(0, 1)
    export_sequence(network, tmp_path)
    model: Any = type("Sessions", (), {})()
    model.shape, model.characters = shape, characters
    model.source, model.step = (
        onnxruntime.InferenceSession(tmp_path / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("source", "step")
    )
    source = torch.randint(3, characters.size, (3, 7))
    mask = torch.ones(3, 1, 1, 7, dtype=torch.bool)
    mask[1, :, :, :4] = False
    ours = BuiltinDecodingState(network.eval(), source, mask, characters.start)
    theirs = OnnxDecodingState(model, source.numpy(), mask.numpy())
    for step in range(5):
        assert np.abs(ours.logits.detach().numpy() - theirs.logits).max() < 1e-5
        if step == 2:
            ours.select(torch.tensor([0, 1]))
            theirs.select(np.array([0, 1]))
        tokens = theirs.logits.argmax(axis=1)
        ours.advance(torch.tensor(tokens))
        theirs.advance(tokens)
