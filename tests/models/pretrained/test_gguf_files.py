"""GGUF files as bases: the weights of the file, kept once, and a clear refusal where transformers cannot."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import checkpoints
import pytest
import torch
from gguf_writer import write_gguf

from terakoya.config import ModelConfig
from terakoya.config.reading import rebase_base, resolve_base
from terakoya.errors import ConfigError, CorruptError, IncompatibleError
from terakoya.models.pretrained import gguf_files
from terakoya.models.pretrained.build import build, load
from terakoya.models.pretrained.checkpoint_files import find_checkpoint
from terakoya.models.pretrained.gguf_files import dequantise
from terakoya.models.protocol import Model, Pair, Query
from terakoya.models.user_cache import cache_folder

PAIRS = [Pair(Query(f"{number}円"), str(number)) for number in range(8)]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen 2, whose matrices fit the blocks of Q8_0."""
    return checkpoints.checkpoint(tmp_path_factory.mktemp("qwen") / "qwen", "qwen2", width=64)


@pytest.fixture(scope="module")
def q8(tmp_path_factory: pytest.TempPathFactory, qwen: Path) -> Path:
    """The same as a quantised file."""
    return write_gguf(tmp_path_factory.mktemp("q8") / "q8.gguf", qwen, quantisation="Q8_0")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests here: a copy takes seconds."""
    before, home = os.environ.get("XDG_CACHE_HOME"), tmp_path_factory.mktemp("cache")
    os.environ["XDG_CACHE_HOME"] = str(home)
    yield home
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


def _weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in model.module.named_parameters()}


def _same(one: Model, other: Model) -> bool:
    a, b = _weights(one), _weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_float32_file_gives_the_weights_and_tokens_it_was_made_of(tmp_path: Path, qwen: Path) -> None:
    """With the chat template that lies in the file."""
    template = checkpoints.TEMPLATES["qwen2"]
    file = write_gguf(tmp_path / "same.gguf", qwen, template=template)
    ours = build(ModelConfig(base=str(file), new_tokens="none"), PAIRS, seed=0)
    original = build(ModelConfig(base=str(qwen), new_tokens="none"), PAIRS, seed=0)
    assert _same(ours, original)
    assert ours.info.extra["template"] == original.info.extra["template"] == "chat"
    assert [ours.show_tokens(pair) for pair in PAIRS] == [original.show_tokens(pair) for pair in PAIRS]


def test_a_quantised_file_is_dequantised_once_and_told_once(q8: Path, qwen: Path, tmp_path: Path) -> None:
    """Near the weights that it was made of; the record names architecture, quantisation and sha256."""
    import hashlib

    base = resolve_base(q8.name, q8.parent)
    model = build(ModelConfig(base=base, new_tokens="none"), PAIRS, seed=0)
    original = _weights(build(ModelConfig(base=str(qwen), new_tokens="none"), PAIRS, seed=0))
    distances = [(weight - original[name]).abs().max() for name, weight in _weights(model).items()]
    assert 0 < max(distances) < 0.002
    sha256 = hashlib.sha256(q8.read_bytes()).hexdigest()
    assert model.info.extra["gguf"] == {"architecture": "qwen2", "quantisation": "Q8_0", "sha256": sha256}
    assert model.info.extra["template"] == "plain", "it has no chat template"
    assert model.info.name == "q8.gguf"
    assert [finding.check for finding in model.metadata.findings].count("gguf") == 1
    assert not find_checkpoint(base).findings, "told once"
    model.save(tmp_path / "saved")  # by the process that was told
    assert _same(model, load(tmp_path / "saved"))


def test_what_was_trained_from_a_file_reopens_bit_equal(tmp_path: Path, q8: Path) -> None:
    """transformers marks dequantised models as not to be saved."""
    model = build(ModelConfig(base=str(q8)), PAIRS, seed=0)
    with torch.no_grad():
        for weight in model.module.parameters():
            weight.add_(0.01)
    model.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert _same(model, again)
    assert asdict(again.metadata)["gguf"] == model.metadata.gguf
    assert "gguf" not in (tmp_path / "saved" / "config.json").read_text(encoding="utf-8")


def test_an_adapter_finds_its_file_by_its_content(tmp_path: Path, q8: Path) -> None:
    """Moved together, and refused beside another file of the same name."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(q8, home / "base.gguf")
    config = ModelConfig(base=str(home / "base.gguf"), adaptation="lora", lora_rank=2, merge=False, new_tokens="none")
    model = build(config, PAIRS, seed=0)
    with torch.no_grad():
        for name, weight in model.module.named_parameters():
            if "lora_" in name:
                weight.add_(0.05)
    model.save(home / "adapter")
    home.rename(tmp_path / "moved")
    again = load(tmp_path / "moved" / "adapter")
    assert _same(model, again)
    assert again.metadata.base == str((tmp_path / "moved" / "base.gguf").resolve())
    file = tmp_path / "moved" / "base.gguf"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ConfigError, match="not the base with which this one was trained"):
        load(tmp_path / "moved" / "adapter")


def test_a_tokenizer_beside_the_file_is_used_where_the_file_has_none(tmp_path: Path, qwen: Path) -> None:
    """And its absence is said with what to do."""
    file = write_gguf(tmp_path / "bare.gguf", qwen, tokenizer="")
    with pytest.raises(CorruptError, match="cannot make its tokenizer") as caught:
        dequantise(file)
    assert "tokenizer.json" in caught.value.do
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(qwen / name, tmp_path / name)
    ours = build(ModelConfig(base=str(file), new_tokens="none", template="plain"), PAIRS, seed=0)
    original = build(ModelConfig(base=str(qwen), new_tokens="none", template="plain"), PAIRS, seed=0)
    assert [ours.show_tokens(pair) for pair in PAIRS] == [original.show_tokens(pair) for pair in PAIRS]


def _truncated(file: Path, qwen: Path) -> None:
    write_gguf(file, qwen)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("make", "kind", "what", "do"),
    [
        (lambda file, qwen: file.write_bytes(b"PK\3\4" * 100), CorruptError, "no GGUF file", "llama.cpp"),
        (lambda file, qwen: file.write_bytes(b"GGUF\3\0\0\0"), CorruptError, "truncated or damaged", "Download"),
        (_truncated, CorruptError, "truncated or damaged", "Download"),
        (lambda file, qwen: write_gguf(file, qwen, architecture="unheard"), IncompatibleError, "'unheard'", "safetens"),
        (lambda file, qwen: write_gguf(file, qwen, without="blk.1.ffn_up.weight"), CorruptError, "missing", "Download"),
        (lambda file, qwen: write_gguf(file, qwen, parts=3), IncompatibleError, "one of 3 parts", "--merge"),
    ],
    ids=["no-gguf", "header-only", "truncated", "architecture", "missing-tensor", "part"],
)
def test_a_file_that_cannot_be_opened_is_refused_with_what_to_do(
    tmp_path: Path, qwen: Path, cache: Path, make: Callable[[Path, Path], object], kind: type, what: str, do: str
) -> None:
    """And leaves nothing in the cache."""
    file, before = tmp_path / "bad.gguf", sorted(cache.rglob("*"))
    make(file, qwen)
    with pytest.raises(kind, match=what) as caught:
        find_checkpoint(str(file))
    assert do in caught.value.do
    assert caught.value.where == str(file)
    assert [
        path for path in sorted(cache.rglob("*")) if path not in before and path.name not in ("terakoya", "gguf")
    ] == []


def test_special_and_missing_files_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    """A pipe would never end."""
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ConfigError, match="pipe"):
        find_checkpoint(resolve_base("pipe.gguf", tmp_path))
    with pytest.raises(ConfigError, match="no such file"):
        resolve_base("missing.gguf", tmp_path)


def test_the_package_is_named_where_it_is_missing(q8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConfigError, match="gguf") as caught:
        find_checkpoint(str(q8))
    assert caught.value.do == "Install it with: pip install 'terakoya[hub]'"


def test_the_cache_is_bounded_and_keeps_the_copy_in_use(
    tmp_path: Path, q8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used copy goes first."""
    made = dequantise(q8).folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    used = cache_folder("gguf") / made.name
    shutil.copytree(made, used)
    for number in range(3):
        shutil.copytree(used, used.parent / f"{number}-5.0.0")
        os.utime(used.parent / f"{number}-5.0.0" / "gguf.json", (number + 1, number + 1))
    monkeypatch.setattr(gguf_files, "KEPT_BYTES", int(2.5 * sum(f.stat().st_size for f in used.iterdir())))
    dequantise(q8)
    assert {path.name for path in used.parent.glob("*-5.0.0")} == {"2-5.0.0"}
    monkeypatch.setattr(gguf_files, "KEPT_BYTES", 0)
    assert dequantise(q8).folder.is_dir()
    assert not list(used.parent.glob("*-5.0.0"))


def test_a_relative_path_follows_its_config(tmp_path: Path) -> None:
    """A run's copy of the config lies elsewhere."""
    (tmp_path / "a").mkdir()
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "a" / "m.gguf").write_bytes(b"GGUF")
    moved = rebase_base("m.gguf", tmp_path / "a", tmp_path / "runs" / "r")
    assert resolve_base(moved, tmp_path / "runs" / "r") == str((tmp_path / "a" / "m.gguf").resolve())
