"""The files of a checkpoint, by Hub name or folder, checked before any library opens them.

Only data is let in: safetensors, JSON, vocabularies, templates. Pickled weights are refused with a way to convert
them, code that comes with a checkpoint is never run, and an index of weights may name only files beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, need
from terakoya.i18n import both, japanese
from terakoya.models.pretrained.checkpoint_errors import FROM_SOURCE, corrupt, incompatible
from terakoya.models.pretrained.hub_download import download

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
# As architectures name their number of layers; others that end so (Qwen's max_window_layers) are no such number.
_DEPTHS = ("num_hidden_layers", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers", "n_layer")
_FLOATS = ("F64", "F32", "F16", "BF16")
_LARGEST_JSON = 200_000_000  # bytes; the largest tokenizer.json in use has 33 million
_CONVERT = both(
    "Pickled weights can run code when they are opened, so they never are. Convert them once, where you trust them: "
    'python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('FOLDER').save_pretrained('NEW')\" (AutoModelForSeq2SeqLM for T5), "
    "copy the tokenizer files beside them, and use NEW.",
    "pickle 形式の重みは開くときにコードを実行できるので、決して開かない。信頼できる場所で一度変換すること："
    'python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('FOLDER').save_pretrained('NEW')\"（T5 なら AutoModelForSeq2SeqLM）。"
    "トークナイザのファイルを隣にコピーし、NEW を使うこと。",
)


@dataclass(frozen=True)
class PretrainedCheckpoint:
    """A checkpoint whose files have been checked.

    name      as the user gave it
    folder    where the files lie
    revision  the commit that a Hub name resolved to ("" for a folder)
    config    its config.json
    """

    name: str
    folder: Path
    revision: str
    config: dict[str, Any]


def find_checkpoint(name: str, revision: str = "") -> PretrainedCheckpoint:
    """The checkpoint of a Hub name or folder, downloaded where need be, and checked in any case.

    name      Hub name or folder
    revision  branch, tag or commit of a Hub name; "" for the default branch
    Raises ConfigError where there is none, CorruptError or IncompatibleError where it may not be opened.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        commit = ""
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigError(
            both("there is no such folder", "そのフォルダはない"),
            where=name,
            do=both("Check model.base.", "model.base を確かめること。"),
        )
    else:
        folder, commit = download(name, revision)
    return PretrainedCheckpoint(name, folder, commit, validate_checkpoint(folder, name))


def validate_checkpoint(folder: Path, name: str = "") -> dict[str, Any]:
    """Check a checkpoint's files and return its config.

    folder  where they lie
    name    for messages; the folder itself where it is ""
    Raises CorruptError or IncompatibleError where they may not be opened.
    """
    where = name or str(folder)
    config = read_json(folder / "config.json", where)
    if not isinstance(config.get("model_type"), str):
        raise incompatible(
            both("its config names no model type", "設定にモデルの種類がない"),
            where,
            both("This is no transformers checkpoint.", "transformers のチェックポイントではない。"),
        )
    _check_depth(config, _check_weights(folder, where), where)
    return config


def read_json(file: Path, where: str) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    file   its path
    where  the checkpoint's name or folder, for messages
    Raises CorruptError where it is missing, unreadable, too large or no object.
    """
    name = file.name
    try:
        if file.stat().st_size > _LARGEST_JSON:
            raise corrupt(
                both(f"{name} is far too large for such a file", f"{name} はその名前のファイルにしては大きすぎる"),
                where,
                FROM_SOURCE,
            )
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise corrupt(
            both(f"it has no {name}", f"{name} がない"),
            where,
            both(
                "A checkpoint holds config.json, tokenizer and safetensors.",
                "チェックポイントには config.json、トークナイザ、safetensors がある。",
            ),
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        kind = type(error).__name__
        raise corrupt(both(f"{name} cannot be read ({kind})", f"{name} を読めない（{kind}）"), where) from error
    if not isinstance(value, dict):
        raise corrupt(both(f"{name} is no JSON object", f"{name} は JSON オブジェクトではない"), where)
    return value


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint's `folder`, sorted by name."""
    return sorted(file for file in folder.glob("*.safetensors") if file.is_file())


def _check_depth(config: dict[str, Any], tensors: int, where: str) -> None:
    """A config can name a million layers, which would be built one by one before anybody misses their weights."""
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    layers = [part[name] for part in parts for name in _DEPTHS if name in part]
    deepest = max((value for value in layers if isinstance(value, int)), default=0)
    if deepest > tensors:
        raise corrupt(
            both(
                f"its config names {deepest} layers, and its files hold {tensors} weights",
                f"設定では{deepest}層だが、ファイルにある重みは{tensors}個である",
            ),
            where,
            FROM_SOURCE,
        )


def _check_weights(folder: Path, where: str) -> int:
    """How many weights the files hold; every file's header is sound."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        _check_index(index, folder, where)
    elif not (folder / "model.safetensors").is_file():
        pickled = next((name for name in sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLED)), None)
        if pickled:
            raise incompatible(
                both(f"its weights are pickled ({pickled})", f"重みが pickle 形式である（{pickled}）"), where, _CONVERT
            )
        raise corrupt(
            both("it has no model.safetensors", "model.safetensors がない"),
            where,
            both(
                f"Only safetensors are opened. {_CONVERT}", f"開けるのは safetensors だけである。{japanese(_CONVERT)}"
            ),
        )
    return sum(_check_header(file, where) for file in weight_files(folder))


def _check_index(index: Path, folder: Path, where: str) -> None:
    named = read_json(index, where).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise corrupt(both("its index of weights is empty", "重みの索引が空である"), where)
    for file in sorted({str(value) for value in named.values()}):
        if Path(file).name != file or not file.endswith(".safetensors"):
            shown = file[:80]
            raise corrupt(
                both(
                    f"its index of weights names a file elsewhere ({shown})",
                    f"重みの索引が別の場所のファイルを指している（{shown}）",
                ),
                where,
                FROM_SOURCE,
            )
        if not (folder / file).is_file():
            raise corrupt(both(f"part of its weights is missing ({file})", f"重みの一部がない（{file}）"), where)


def _check_header(file: Path, where: str) -> int:
    """Number of tensors of a safetensors file whose matrices are floating-point."""
    safetensors = need("safetensors", extra="hub")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            dtypes = {name: one.get_dtype() for name, one in slices.items() if len(one.get_shape()) > 1}
    except Exception as error:  # the library raises its own type, OSError, and for some torn files MemoryError
        name = file.name
        raise corrupt(
            both(
                f"{name} is torn or no safetensors file ({error})",
                f"{name} は壊れているか、safetensors ではない（{error}）",
            ),
            where,
        ) from error
    # Buffers may be integers (positions, masks); matrices that are would be read as weights without a word.
    whole = {name: dtype for name, dtype in dtypes.items() if name.endswith(".weight") and dtype not in _FLOATS}
    if whole:
        name, dtype = next(iter(whole.items()))
        raise incompatible(
            both(
                f"{name} is stored as {dtype}: quantised weights, or none at all",
                f"{name} が {dtype} で保存されている：量子化されているか、重みではない",
            ),
            where,
            both(
                "Take the checkpoint in float32, bfloat16 or float16.",
                "float32・bfloat16・float16 のチェックポイントを使うこと。",
            ),
        )
    return len(slices)
