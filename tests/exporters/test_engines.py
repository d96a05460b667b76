"""Pretrained skills leave for CTranslate2, llama.cpp and the Hub, and answer there as they were trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from terakoya.codec.labels import labels_codec
from terakoya.codec.number import NOTATIONS, number_codec
from terakoya.errors import ConfigError, CorruptError, IncompatibleError
from terakoya.exporters.ct2.exporter import Ct2Exporter
from terakoya.exporters.engine_skill import EngineSkill
from terakoya.exporters.exporter import ExportOptions, find_exporter
from terakoya.exporters.gguf.exporter import GgufExporter
from terakoya.exporters.gguf.grammar import codec_grammar
from terakoya.exporters.prove import compare_predictions
from terakoya.models.protocol import Query
from terakoya.records import Example
from terakoya.saved_model import Skill, read_skill
from tests.exporters.pretrained_skills import CANARY, FAMILIES, INSTRUCTION, numbers, source_of


def _export(skill: Skill, target: str, folder: Path, quantisation: str = "") -> Path:
    exporter = find_exporter(target)
    assert exporter.obstacle(skill) is None
    return exporter.write(skill, folder, ExportOptions(quantisation))


def _answers(target: str, artifact: Path, texts: Sequence[str]) -> list[Any]:
    opened = find_exporter(target).open(artifact)
    try:
        return list(opened.predict(texts))
    finally:
        opened.close()


TEXTS = [*(source_of(number) for number in numbers()[:40]), "零", "千万", "abc", "", "𠮷"]


@pytest.mark.parametrize(
    ("target", "family", "quantisation"),
    [("ct2", "gemma3", "float32"), ("ct2", "qwen2", "float32"), ("ct2", "t5", "float32"), ("gguf", "gemma3", "f32"),
     ("gguf", "qwen2", "f32"), ("gguf", "qwen2", "f16"), ("hub", "gemma3", ""), ("hub", "t5", "")],
)  # fmt: skip
def test_predictions_are_equal(
    skills: dict[str, Skill], tmp_path: Path, target: str, family: str, quantisation: str
) -> None:
    """Text, raw output and, where the vocabulary is the same, probabilities; PyTorch computes none of them."""
    skill = skills[family]
    artifact = _export(skill, target, tmp_path, quantisation)
    before, after = skill.predict(TEXTS), _answers(target, artifact, TEXTS)
    assert len({one.text for one in before}) > 3
    for one, other in zip(before, after, strict=True):
        assert (one.text, one.withheld, one.unknown) == (other.text, other.withheld, other.unknown), one.source
        if (target, FAMILIES[family]) != ("gguf", "trimmed"):
            near = 2e-3 if target == "gguf" else 1e-5  # llama.cpp keeps keys and values in 16 bits
            assert (one.probability or 0) == pytest.approx(other.probability or 0, abs=near), one.source


@pytest.mark.parametrize(("target", "quantisation"), [("ct2", "int8"), ("gguf", "q8_0"), ("gguf", "q4_0")])
def test_smaller_numbers_are_opened_and_compared(
    skills: dict[str, Skill], tmp_path: Path, target: str, quantisation: str
) -> None:
    """The proof says how many predictions differ, and the artifact is smaller than that of whole numbers."""
    skill, whole = skills["qwen2"], {"ct2": "float32", "gguf": "f32"}[target]
    small = _export(skill, target, tmp_path, quantisation)
    large = _export(skill, target, tmp_path / "large", whole)
    items = [Example(source_of(number), str(number)) for number in numbers()]
    texts = [item.source for item in items]
    proof = compare_predictions(skill, items, skill.predict(texts), _answers(target, small, texts))
    assert proof.n == 96 and proof.equal > 40
    assert _size(small) < 0.6 * _size(large)


def _size(artifact: Path) -> int:
    weights = [file for file in artifact.rglob("*") if file.suffix in (".gguf", ".bin")]
    return sum(file.stat().st_size for file in weights)


@pytest.mark.parametrize(
    ("target", "file"), [("ct2", "ctranslate2/model.bin"), ("gguf", "model.gguf"), ("hub", "model.safetensors")]
)
def test_a_changed_weight_is_refused(skills: dict[str, Skill], tmp_path: Path, target: str, file: str) -> None:
    """One bit of one weight is enough."""
    artifact = _export(skills["qwen2"], target, tmp_path)
    content = bytearray((artifact / file).read_bytes())
    content[-100] ^= 1
    (artifact / file).write_bytes(content)
    with pytest.raises(CorruptError, match=r"not those that were converted"):
        find_exporter(target).open(artifact)


def test_a_conversion_that_changes_a_weight_is_worse(
    skills: dict[str, Skill], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A norm that lost its shift, as in a converter for another family: the exam finds it."""
    from terakoya.exporters.gguf import weights

    skill = skills["qwen2"]
    monkeypatch.setitem(weights.FAMILIES, "qwen2", weights.Family("qwen2", shift=1.0))
    artifact = _export(skill, "gguf", tmp_path, "f32")
    before = skill.predict([source_of(number) for number in numbers()])
    items = [Example(one.source, one.text or "?") for one in before]  # right by the original
    after = _answers("gguf", artifact, [item.source for item in items])
    assert compare_predictions(skill, items, before, after).state == "worse"


def test_prompts_have_the_ids_of_training(skills: dict[str, Skill], tmp_path: Path) -> None:
    """llama.cpp's own tokenizer gives the same ids, and a prompt where it would not is refused, not answered."""
    for family in ("gemma3", "qwen2"):
        artifact = _export(skills[family], "gguf", tmp_path / family, "f16")
        opened = GgufExporter().open(artifact)
        server: Any = opened.skill.model
        for text in ("三百", "ab cd", "カード 12!", "𠮷野家", "a\nb"):
            query = Query(text)
            prompt = server.prompts.prompt.text(query).removeprefix(server._bos)
            assert server.token_ids(prompt) == server.prompts.prompt_ids(query), text
        control = next(iter(server.prompts.prompt.tokenizer.control_tokens.values()))
        with pytest.raises(IncompatibleError, match="otherwise than in training"):
            opened.predict([f"三百{control}"])
        opened.close()


def test_grammars_are_read_by_the_server(skills: dict[str, Skill], tmp_path: Path) -> None:
    """Every notation and label sets: what the server generates under a grammar may stand there."""
    opened = GgufExporter().open(_export(skills["qwen2"], "gguf", tmp_path, "f16"))
    server: Any = opened.skill.model
    assert isinstance(opened.skill, EngineSkill)
    for codec in (*map(number_codec, NOTATIONS), labels_codec(["sun rain", "ab"]), labels_codec(["ab"], counted=True)):
        server.grammar = codec_grammar(codec)
        (found,) = server.generate([Query("三百")], [None], 6)
        assert server.grammar and found.raw and codec.viable(found.raw), codec.name
    opened.close()


def test_nothing_of_this_machine_leaves(skills: dict[str, Skill], tmp_path: Path) -> None:
    """No path of base, table or folder stands in any file."""
    for target in ("ct2", "gguf", "hub"):
        _export(skills["gemma3"], target, tmp_path / target)
    traces = [CANARY.encode(), str(tmp_path).encode(), str(skills["gemma3"].folder.parent).encode()]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 20
    for file in files:
        content = file.read_bytes()
        assert not [trace for trace in traces if trace in content or json.dumps(trace.decode()).encode() in content], (
            file
        )


def test_modelfile_has_the_prompt_of_training(skills: dict[str, Skill], tmp_path: Path) -> None:
    """Ollama's template is the prompt with a place for the text, and it stops where a target ends."""
    artifact = _export(skills["qwen2"], "gguf", tmp_path)
    text = (artifact / "Modelfile").read_text(encoding="utf-8")
    assert f"<|im_start|>user\n{INSTRUCTION}\n{{{{ .Prompt }}}}<|im_end|>\n" in text.replace("\n\n", "\n") or (
        f"{INSTRUCTION}<|im_end|>" in text and "{{ .Prompt }}<|im_end|>" in text
    )
    assert 'PARAMETER stop "<|im_end|>"' in text


def test_what_cannot_go_is_told(skills: dict[str, Skill], number_run: Path) -> None:
    """An encoder-decoder has no llama-server, a built-in model no such engine, a pretrained one no ONNX graphs."""
    builtin = read_skill(number_run)
    assert "encoder-decoder" in str(find_exporter("gguf").obstacle(skills["t5"]))
    assert "built-in" in str(find_exporter("gguf").obstacle(builtin))
    assert "built-in" in str(Ct2Exporter().obstacle(builtin))
    assert "built-in" in str(find_exporter("onnx").obstacle(skills["t5"]))


def test_a_converter_of_the_users_own(skills: dict[str, Skill], tmp_path: Path) -> None:
    """It gets a merged checkpoint folder; what it wrote is opened, and its last words are shown where it fails."""
    skill, exporter = skills["qwen2"], GgufExporter()
    ours = _export(skill, "gguf", tmp_path / "ours", "f32") / "model.gguf"
    script = tmp_path / "convert.py"
    script.write_text(
        "import shutil, sys\nfrom pathlib import Path\n"
        "folder, _, file, _, kind = sys.argv[1:]\n"
        'assert (Path(folder) / "model.safetensors").is_file(), folder\n'
        f'shutil.copyfile({str(ours)!r}, file) if kind == "f32" else sys.exit("no such type")\n',
        encoding="utf-8",
    )
    artifact = exporter.write(skill, tmp_path / "theirs", ExportOptions("f32", converter=script))
    assert [one.text for one in _answers("gguf", artifact, TEXTS)] == [one.text for one in skill.predict(TEXTS)]
    with pytest.raises(ConfigError, match="no such type"):
        exporter.write(skill, tmp_path / "failing", ExportOptions("f16", converter=script))
