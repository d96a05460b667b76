"""What may be opened: data, and nothing that could run."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from terakoya.config import ModelConfig
from terakoya.errors import ConfigError, CorruptError, IncompatibleError, TerakoyaError
from terakoya.models.pretrained import build
from terakoya.models.pretrained.checkpoint_files import find_checkpoint
from terakoya.models.protocol import Pair, Query

PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)")]
Base = Callable[[str], Path]


@pytest.fixture
def copy(base: Base, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base("gemma3"), tmp_path / "checkpoint"))


def refused(folder: Path) -> TerakoyaError:
    with pytest.raises(TerakoyaError) as caught:
        build.build(ModelConfig(base=str(folder)), PAIRS, seed=0)
    assert caught.value.exit_code != 70
    return caught.value


def edited(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('/tmp/terakoya-bomb', 'w').write('ran')",)


def test_pickled_weights_are_refused_with_a_way_to_convert_them(copy: Path) -> None:
    """A pickle runs code when it is opened."""
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    error = refused(copy)
    assert "pickled" in error.what and "save_pretrained" in error.do
    assert not Path("/tmp/terakoya-bomb").exists()


def test_a_pickle_beside_safetensors_is_never_opened(copy: Path) -> None:
    """Many checkpoints carry both."""
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    build.build(ModelConfig(base=str(copy)), PAIRS, seed=0)
    assert not Path("/tmp/terakoya-bomb").exists()


def test_code_that_comes_with_a_checkpoint_is_never_run(copy: Path) -> None:
    """Nothing on the command line can switch it on."""
    (copy / "evil.py").write_text("open('/tmp/terakoya-bomb', 'w').write('ran')\nclass Model: pass\n")
    edited(copy / "config.json", model_type="evil", auto_map={"AutoModelForCausalLM": "evil.Model"})
    assert "code of its own, which is never run" in refused(copy).what
    edited(copy / "config.json", model_type="gemma3_text", auto_map={"AutoModelForCausalLM": "evil.Model"})
    found = build.build(ModelConfig(base=str(copy)), PAIRS, seed=0)
    assert any("was not run" in finding.what for finding in found.findings)
    assert not Path("/tmp/terakoya-bomb").exists()


@pytest.mark.parametrize("named", ["../other.safetensors", "/etc/x.safetensors", "a/b.safetensors", "x.bin"])
def test_an_index_may_name_only_files_beside_it(copy: Path, named: str) -> None:
    """A path in an index is a path that somebody else chose."""
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": named}}))
    assert "names a file elsewhere" in refused(copy).what


def test_a_part_that_is_missing_is_named(copy: Path) -> None:
    """Half a download must not become half a model."""
    part = "model-00002-of-00002.safetensors"
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": part}}))
    assert part in refused(copy).what


def test_torn_files_and_files_of_another_kind_are_refused(copy: Path) -> None:
    """Each fault is reported as what it is, without a traceback."""
    weights = (copy / "model.safetensors").read_bytes()
    for torn in (b"", weights[:100], weights[: len(weights) // 2], b"\xff" * 2000):
        (copy / "model.safetensors").write_bytes(torn)
        assert isinstance(refused(copy), CorruptError)
    (copy / "model.safetensors").write_bytes(weights)
    for config in (
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"model_type": 3}',
        '{"model_type": "gemma3_text", "hidden_size": -1}',
    ):
        shutil.copy(copy / "config.json", copy / "config.bak")
        (copy / "config.json").write_text(config)
        refused(copy)
        shutil.move(copy / "config.bak", copy / "config.json")


def test_weights_of_another_shape_or_too_few_are_refused(copy: Path) -> None:
    """transformers initialises what is missing at random, and says so in a table nobody reads."""
    edited(copy / "config.json", num_hidden_layers=3, layer_types=["full_attention"] * 3)
    assert "missing" in refused(copy).what
    edited(copy / "config.json", num_hidden_layers=2, layer_types=["full_attention"] * 2, hidden_size=48)
    refused(copy)


def test_a_checkpoint_without_tokenizer_is_refused(copy: Path) -> None:
    """Another model's tokenizer must not slip in."""
    for file in copy.glob("tokenizer*"):
        file.unlink()
    assert "no tokenizer" in refused(copy).what


def test_a_tokenizer_that_does_not_fit_its_embeddings_is_refused(copy: Path, base: Base) -> None:
    """Ids beyond the table crash in the middle of training, or worse, wrap."""
    for file in base("t5").glob("tokenizer*"):
        shutil.copy(file, copy / file.name)
    assert isinstance(refused(copy), IncompatibleError)


def test_a_model_that_generates_no_text_is_refused(tmp_path: Path, base: Base) -> None:
    """BERT generates nothing."""
    from transformers import BertConfig, BertModel

    folder = Path(shutil.copytree(base("gemma3"), tmp_path / "bert"))
    (folder / "model.safetensors").unlink()
    BertModel(BertConfig(vocab_size=2000, hidden_size=16, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(
        folder
    )
    assert isinstance(refused(folder), (IncompatibleError, CorruptError))


def test_a_hub_name_goes_through_the_hubs_own_loading_call(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache as the hub's client leaves it, and no network: the commit it resolves to is kept for the record."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--our--tiny"
    shutil.copytree(base("gemma3"), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub._snapshot_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    model = build.build(ModelConfig(base="our/tiny"), PAIRS, seed=0)
    assert model.info.extra["revision"] == commit
    with pytest.raises(ConfigError, match="cannot be reached"):
        find_checkpoint("our/other")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("GatedRepoError", "accept terms"),
        ("RepositoryNotFoundError", "knows no such model"),
        ("RevisionNotFoundError", "no revision"),
    ],
)
def test_the_hubs_refusals_say_what_to_do(kind: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gated model is opened in the browser, not by trying again."""
    import huggingface_hub
    from huggingface_hub import errors

    made = getattr(errors, kind)

    def refuse(*_: object, **__: object) -> str:
        raise made.__new__(made)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ConfigError, match=says) as caught:
        find_checkpoint("google/gemma-3-270m-it", "v9")
    assert caught.value.do


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "a/b/c", "~nobody/x", "bad name!"])
def test_a_name_that_is_neither_folder_nor_hub_name_is_refused(name: str) -> None:
    """A misspelt folder must not be looked up on the Hub."""
    with pytest.raises(ConfigError):
        find_checkpoint(name)


def test_what_the_libraries_warn_about_becomes_findings(copy: Path) -> None:
    """The warning about an incorrect regex scrolled by in the numerals log."""
    import logging

    from terakoya.models.pretrained.loading import _library_findings, capture_warnings

    with capture_warnings() as said:
        logging.getLogger("transformers.tokenization_utils_tokenizers").warning(
            "The tokenizer you are loading from 'x' with an incorrect regex pattern: https://…"
        )
    (finding,) = _library_findings(said, "x")
    assert finding.level == "warn" and "pattern" in finding.what and finding.do
