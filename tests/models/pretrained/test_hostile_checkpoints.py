"""A corpus of hostile and broken checkpoint folders: none runs code, none hangs, none ends in a traceback.

Every folder is a sound tiny checkpoint with one thing wrong. Some can be opened all the same (what is wrong there
is never read); the others are refused with what, where and what to do.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from terakoya.config import ModelConfig
from terakoya.errors import TerakoyaError
from terakoya.models.pretrained import build
from terakoya.models.protocol import Pair, Query

PAIRS = [Pair(Query("一万五千"), "(15000)"), Pair(Query("二十"), "(20)")]
Base = Callable[[str], Path]
MakeDamaged = Callable[..., Path]
RAN = "ran"  # the file that code of a checkpoint would leave where the test works


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (f"open('{RAN}', 'w').write('x')",)


_CODE = f"open('{RAN}', 'w').write('x')\nclass Model: pass\n"
_TEMPLATE_BOMB = (
    "{{ ().__class__.__base__.__subclasses__()[0].__init__.__globals__['__builtins__']['open']('ran', 'w') }}"
)


def config(folder: Path, **changes: object) -> None:
    _edit(folder / "config.json", changes)


def tokenizer_config(folder: Path, **changes: object) -> None:
    _edit(folder / "tokenizer_config.json", changes)


def _edit(file: Path, changes: dict[str, object]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_header(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Another header in front of the same bytes of weights."""
    file = folder / "model.safetensors"
    data = file.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    held = load_file(folder / "model.safetensors")
    change(held)
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})


def first(held: dict[str, object]) -> str:
    """The first weight inside a layer, whatever the architecture calls it."""
    return next(name for name in held if "layers." in name or "block." in name)


def matrix(held: dict[str, Any]) -> str:
    return next(name for name in held if ("layers." in name or "block." in name) and held[name].dim() == 2)


def number(value: float) -> Callable[[Path], None]:
    """One element of one matrix has this value."""

    def put(held: dict[str, Any]) -> None:
        held[matrix(held)].view(-1)[3] = value

    return lambda folder: weights(folder, put)


def kind(dtype: torch.dtype) -> Callable[[Path], None]:
    """One matrix is stored in this dtype."""

    def put(held: dict[str, Any]) -> None:
        held[matrix(held)] = held[matrix(held)].to(dtype)

    return lambda folder: weights(folder, put)


def twice(folder: Path, **second: object) -> None:
    """A key of the config that stands there again with another value: the last one counts, as everywhere in JSON."""
    text = (folder / "config.json").read_text().rstrip()
    (folder / "config.json").write_text(f"{text[:-1]}, {json.dumps(second)[1:-1]}}}")


def elsewhere(name: str) -> Callable[[Path], None]:
    """The file is a link to a real one outside the folder."""

    def make(folder: Path) -> None:
        shutil.move(folder / name, folder.parent / name)
        (folder / name).symlink_to(folder.parent / name)

    return make


def link_to(name: str, target: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return make


def one_token_more(folder: Path) -> None:
    """A tokenizer with a token that has no row in the embeddings."""
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    held = json.loads((folder / "tokenizer.json").read_text())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    held["added_tokens"] += [
        {"id": number, "content": f"<far{number}>", "special": True, **flags}
        for number in range(max(token["id"] for token in held["added_tokens"]) + 1, size + 1)
    ] or [{"id": size, "content": "<far>", "special": True, **flags}]
    (folder / "tokenizer.json").write_text(json.dumps(held))


def replaced(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def removed(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))


def as_folder(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return make


def as_loop(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return make


def as_pipe(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return make


def inner_link(folder: Path) -> None:
    (folder / "blobs").mkdir()
    shutil.move(folder / "model.safetensors", folder / "blobs" / "one")
    (folder / "model.safetensors").symlink_to("blobs/one")


def beside_an_adapter(folder: Path) -> None:
    """An adapter that transformers would load by itself, and for it another base from the Hub."""
    values = {"base_model_name_or_path": "nobody/nothing", "peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    (folder / "adapter_model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())


def tokenizer(folder: Path, **changes: object) -> None:
    _edit(folder / "tokenizer.json", changes)


def pattern(folder: Path, regex: str) -> None:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    tokenizer(folder, pre_tokenizer=split)


def with_code(**named: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for file in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "__init__.py"):
            (folder / file).write_text(_CODE)
        config(folder, **named)

    return make


REFUSED: dict[str, Callable[[Path], object]] = {
    "no config": removed("config.json"),
    "config: no JSON": replaced("config.json", b"{"),
    "config: a list": replaced("config.json", b"[1, 2]"),
    "config: Shift_JIS": replaced("config.json", '{"model_type": "日本"}'.encode("cp932")),
    "config: nested ten thousand deep": replaced("config.json", b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "config: a folder": as_folder("config.json"),
    "config: a link to itself": as_loop("config.json"),
    "config: no model type": lambda folder: config(folder, model_type=None),
    "config: a model type with a path": lambda folder: config(folder, model_type="../../evil"),
    "config: an unknown architecture with code of its own": with_code(
        model_type="evil", auto_map={"AutoModelForCausalLM": "modeling_evil.Model"}
    ),
    "config: a classifier": lambda folder: config(folder, model_type="vit"),
    "config: ten million layers": lambda folder: config(folder, num_hidden_layers=10**7),
    "config: a width that is text": lambda folder: config(folder, hidden_size="wide"),
    "config: a width of none": lambda folder: config(folder, hidden_size=0),
    "config: another width than the weights": lambda folder: config(folder, hidden_size=64),
    "config: its width twice, with different values": lambda folder: twice(folder, hidden_size=64, d_model=64),
    "config: an end token that is text": lambda folder: config(folder, eos_token_id="x"),
    "config: padding token without a row": lambda folder: config(folder, pad_token_id=10**6),
    "weights: none": removed("model.safetensors"),
    "weights: pickled": as_pickle,
    "weights: empty": replaced("model.safetensors", b""),
    "weights: a pickle under the right name": replaced("model.safetensors", pickle.dumps(Bomb())),
    "weights: a header of exabytes": replaced("model.safetensors", struct.pack("<Q", 1 << 62) + b"{}"),
    "weights: a header that is no JSON": replaced("model.safetensors", struct.pack("<Q", 4) + b"{{{{"),
    "weights: cut in the middle": lambda folder: os.truncate(folder / "model.safetensors", 5000),
    "weights: more behind the end": lambda folder: (folder / "model.safetensors").open("ab").write(b"x" * 64),
    "weights: offsets beyond the file": lambda folder: edit_header(
        folder,
        lambda header: header[first(header)].update(data_offsets=[0, 1 << 50]),  # type: ignore[attr-defined]
    ),
    "weights: offsets that overlap": lambda folder: edit_header(
        folder,
        lambda header: header[first(header)].update(data_offsets=[0, 4]),  # type: ignore[attr-defined]
    ),
    "weights: an unknown dtype": lambda folder: edit_header(
        folder,
        lambda header: header[first(header)].update(dtype="P64"),  # type: ignore[attr-defined]
    ),
    "weights: a NaN": number(float("nan")),
    "weights: an infinity": number(float("-inf")),
    "weights: a matrix of integers": kind(torch.int64),
    "weights: a matrix of bytes": kind(torch.int8),
    "weights: a matrix of booleans": kind(torch.bool),
    "weights: one is missing": lambda folder: weights(folder, lambda held: held.pop(first(held))),
    "weights: a folder": as_folder("model.safetensors"),
    "weights: a link to nowhere": as_loop("model.safetensors"),
    "index: names a file elsewhere": replaced(
        "model.safetensors.index.json", json.dumps({"weight_map": {"w": "../../other.safetensors"}}).encode()
    ),
    "index: names a device": replaced(
        "model.safetensors.index.json", json.dumps({"weight_map": {"w": "/dev/zero"}}).encode()
    ),
    "index: no map": replaced("model.safetensors.index.json", b'{"weight_map": 3}'),
    "tokenizer: none": removed("tokenizer.json"),
    "tokenizer: no JSON": replaced("tokenizer.json", b"{"),
    "tokenizer: a folder": as_folder("tokenizer.json"),
    "tokenizer: a link into the system": link_to("tokenizer_config.json", "/etc/passwd"),
    "tokenizer: a token without a row": one_token_more,
    "weights: a link to a file elsewhere": elsewhere("model.safetensors"),
    "config: a link to a file elsewhere": elsewhere("config.json"),
    "config: a pipe": as_pipe("config.json"),
    "tokenizer: a pipe": as_pipe("tokenizer.json"),
    "a pipe nobody asked for": lambda folder: os.mkfifo(folder / "special_tokens_map.json"),
    "a folder that is a link to the one above": lambda folder: (folder / "loop").symlink_to(folder),
    "tokenizer: a pattern that never ends": lambda folder: pattern(folder, "(x+x+)+y"),
    "tokenizer: pads every text to 10^11 tokens": lambda folder: tokenizer(
        folder,
        padding={
            "strategy": {"Fixed": 10**11},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        },
    ),
    "tokenizer: writes a megabyte for every letter": lambda folder: tokenizer(
        folder, normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 1_000_000}
    ),
    "tokenizer: sequences within sequences, too deep": replaced(
        "tokenizer.json", b'{"version":"1.0","normalizer":' + b'{"type":"Sequence","normalizers":[' * 10_000
    ),
    "template: does not end": lambda folder: _template(folder, "{% for a in range(10**9) %}{{ a }}{% endfor %}"),
    "template: wants to open files": lambda folder: _template(folder, _TEMPLATE_BOMB),
    "template: no template": lambda folder: _template(folder, "{% for %}"),
}
# Exit codes: 9 is a damaged file, 10 a sound one that cannot be used here.
INCOMPATIBLE = {
    "config: no model type", "config: a model type with a path",
    "config: an unknown architecture with code of its own", "config: a classifier", "weights: pickled",
    "weights: a matrix of integers", "weights: a matrix of bytes", "weights: a matrix of booleans",
    "tokenizer: a token without a row", "template: does not end", "template: wants to open files",
    "template: no template",
}  # fmt: skip
# Tried on every family; the others do not depend on the architecture.
EVERY_FAMILY = (
    "no config", "config: ten million layers", "config: its width twice, with different values",
    "config: an end token that is text", "weights: none", "weights: pickled", "weights: cut in the middle",
    "weights: offsets beyond the file", "weights: a NaN", "weights: an infinity",
    "weights: a matrix of integers", "weights: a matrix of booleans", "weights: one is missing",
    "index: names a file elsewhere", "tokenizer: none", "tokenizer: no JSON", "tokenizer: a link into the system",
)  # fmt: skip
OPENED: dict[str, Callable[[Path], object]] = {
    "an adapter beside the weights that names another base": beside_an_adapter,
    "weights that are a link within the folder": inner_link,
    "weights in double precision": kind(torch.float64),
    "no padding token": lambda folder: tokenizer_config(folder, pad_token=None),
    "no BOS token": lambda folder: tokenizer_config(folder, bos_token=None),
    "an end token without a row": lambda folder: config(folder, eos_token_id=10**6),
    "a pickle beside the weights": replaced("pytorch_model.bin", pickle.dumps(Bomb())),
    "training state in a pickle": replaced("training_args.bin", pickle.dumps(Bomb())),
    "code of its own for a known architecture": with_code(auto_map={"AutoModelForCausalLM": "modeling_evil.Model"}),
    "code of its own for the tokenizer": lambda folder: (
        with_code()(folder),
        tokenizer_config(folder, auto_map={"AutoTokenizer": ["tokenization_evil.Model", None]}),
    ),
}


def _template(folder: Path, text: str) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer_config(folder, chat_template=text)


@pytest.fixture
def damaged(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeDamaged:
    """A copy of a sound checkpoint with one thing wrong; code that ran would leave a file where the test works."""
    monkeypatch.chdir(tmp_path)

    def make(change: Callable[[Path], object], family: str = "gemma3") -> Path:
        folder = Path(shutil.copytree(base(family), tmp_path / "checkpoint"))
        change(folder)
        return folder

    return make


def test_the_corpus_is_large_enough() -> None:
    assert len(REFUSED) + len(OPENED) >= 50


def _refused(folder: Path, kind: str) -> None:
    with pytest.raises(TerakoyaError) as caught:
        build.build(ModelConfig(base=str(folder)), PAIRS, seed=0)
    assert caught.value.what and caught.value.do and str(folder) in caught.value.where
    assert caught.value.exit_code == (10 if kind in INCOMPATIBLE else 9)


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_folder_is_refused_with_advice(kind: str, damaged: MakeDamaged, tmp_path: Path) -> None:
    """What, where and what to do; no traceback, and nothing ran."""
    _refused(damaged(REFUSED[kind]), kind)
    assert not (tmp_path / RAN).exists()


@pytest.mark.parametrize("family", ["qwen2", "lfm2", "llama", "t5"])
@pytest.mark.parametrize("kind", EVERY_FAMILY)
def test_every_family_is_checked_alike(kind: str, family: str, damaged: MakeDamaged, tmp_path: Path) -> None:
    """A guard that knows Gemma's names for its weights guards nothing else."""
    _refused(damaged(REFUSED[kind], family), kind)
    assert not (tmp_path / RAN).exists()


def test_the_hubs_own_cache_opens(base: Base, tmp_path: Path) -> None:
    """It is made of links to blobs beside the snapshot."""
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    shutil.copytree(base("gemma3"), tmp_path / "models--a--b" / "blobs")
    snapshot.mkdir(parents=True)
    for file in (tmp_path / "models--a--b" / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert build.build(ModelConfig(base=str(snapshot)), PAIRS, seed=0).info.weights
    (snapshot / "stolen.json").symlink_to("/etc/passwd")
    with pytest.raises(TerakoyaError, match="leads out"):
        build.build(ModelConfig(base=str(snapshot)), PAIRS, seed=0)


def test_an_adapter_beside_the_weights_changes_nothing(base: Base, damaged: MakeDamaged) -> None:
    """The weights are those of the folder, bit by bit."""
    clean, other = (
        build.build(ModelConfig(base=str(it)), PAIRS, seed=0) for it in (base("gemma3"), damaged(beside_an_adapter))
    )
    one, two = clean.core.state_dict(), other.core.state_dict()
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", OPENED)
def test_what_is_never_read_does_no_harm(kind: str, damaged: MakeDamaged, tmp_path: Path) -> None:
    """Many checkpoints of good people carry these."""
    build.build(ModelConfig(base=str(damaged(OPENED[kind]))), PAIRS, seed=0)
    assert not (tmp_path / RAN).exists()
