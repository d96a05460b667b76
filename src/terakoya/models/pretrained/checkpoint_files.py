"""The files of a checkpoint, by hub name or folder, looked at before any library opens them.

Only data is let in: safetensors, JSON, vocabularies, templates. Pickled weights are refused with a way to convert
them, code that comes with a checkpoint is never run, and an index of weights may name only files beside it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, CorruptError, IncompatibleError, TerakoyaError, need
from terakoya.i18n import both, japanese

_WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken"]
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_COMMIT = re.compile(r"[0-9a-f]{40}")
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
class Checkpoint:
    """A vetted folder. `name` as the user gave it; `revision` the commit it resolved to ("" for a folder)."""

    name: str
    folder: Path
    revision: str
    config: dict[str, Any]


def find_checkpoint(name: str, revision: str = "") -> Checkpoint:
    """The checkpoint of that hub name or folder, downloaded where need be, looked at in any case."""
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
        folder, commit = _from_hub(name, revision)
    return Checkpoint(name, folder, commit, vetted(folder, name))


def vetted(folder: Path, name: str = "") -> dict[str, Any]:
    """The config of a folder that may be opened; a TerakoyaError says why another may not."""
    where = name or str(folder)
    config = read_json(folder / "config.json", where)
    if not isinstance(config.get("model_type"), str):
        raise IncompatibleError(
            both("its config names no model type", "設定にモデルの種類がない"),
            where=where,
            do=both("This is no transformers checkpoint.", "transformers のチェックポイントではない。"),
        )
    _check_depth(config, _check_weights(folder, where), where)
    return config


def read_json(file: Path, where: str) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LARGEST_JSON:
            raise CorruptError(
                both(
                    f"{file.name} is too large to be what it says",
                    f"{file.name} はその名前のファイルにしては大きすぎる",
                ),
                where=where,
                do=both("Take the checkpoint from its source.", "元の配布元のチェックポイントを使うこと。"),
            )
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorruptError(
            both(f"it has no {file.name}", f"{file.name} がない"),
            where=where,
            do=both(
                "A checkpoint holds config.json, tokenizer and safetensors.",
                "チェックポイントには config.json、トークナイザ、safetensors がある。",
            ),
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptError(
            both(
                f"{file.name} cannot be read ({type(error).__name__})",
                f"{file.name} を読めない（{type(error).__name__}）",
            ),
            where=where,
            do=both("Download it again.", "ダウンロードし直すこと。"),
        ) from error
    if not isinstance(value, dict):
        raise CorruptError(
            both(f"{file.name} is no table of settings", f"{file.name} は設定の表になっていない"),
            where=where,
            do=both("Download it again.", "ダウンロードし直すこと。"),
        )
    return value


def weight_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.safetensors") if file.is_file())


def _check_depth(config: dict[str, Any], tensors: int, where: str) -> None:
    """A config can ask for a million layers, which would be built one by one before anybody misses their weights."""
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    layers = [part[name] for part in parts for name in _DEPTHS if name in part]
    deepest = max((value for value in layers if isinstance(value, int)), default=0)
    if deepest > tensors:
        raise CorruptError(
            both(
                f"its config speaks of {deepest} layers, and its files hold {tensors} weights",
                f"設定では{deepest}層だが、ファイルにある重みは{tensors}個である",
            ),
            where=where,
            do=both("Take the checkpoint from its source.", "元の配布元のチェックポイントを使うこと。"),
        )


def _check_weights(folder: Path, where: str) -> int:
    """How many weights the files hold; every file's header is sound."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        _check_index(index, folder, where)
    elif not (folder / "model.safetensors").is_file():
        pickled = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLED)
        if pickled:
            raise IncompatibleError(
                both(f"its weights are pickled ({pickled[0]})", f"重みが pickle 形式である（{pickled[0]}）"),
                where=where,
                do=_CONVERT,
            )
        raise CorruptError(
            both("it has no model.safetensors", "model.safetensors がない"),
            where=where,
            do=both(
                f"Only safetensors are opened. {_CONVERT}", f"開けるのは safetensors だけである。{japanese(_CONVERT)}"
            ),
        )
    return sum(_check_header(file, where) for file in weight_files(folder))


def _check_index(index: Path, folder: Path, where: str) -> None:
    named = read_json(index, where).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise CorruptError(
            both("its index of weights is empty", "重みの索引が空である"),
            where=where,
            do=both("Download it again.", "ダウンロードし直すこと。"),
        )
    for file in sorted({str(value) for value in named.values()}):
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise CorruptError(
                both(
                    f"its index of weights names a file elsewhere ({file[:80]})",
                    f"重みの索引が別の場所のファイルを指している（{file[:80]}）",
                ),
                where=where,
                do=both("Take the checkpoint from its source.", "元の配布元のチェックポイントを使うこと。"),
            )
        if not (folder / file).is_file():
            raise CorruptError(
                both(f"part of its weights is missing ({file})", f"重みの一部がない（{file}）"),
                where=where,
                do=both("Download it again.", "ダウンロードし直すこと。"),
            )


def _check_header(file: Path, where: str) -> int:
    safetensors = need("safetensors", extra="hub")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            kinds = {name: one.get_dtype() for name, one in slices.items() if len(one.get_shape()) > 1}
    except Exception as error:  # the library raises its own type, OSError, and for some torn files MemoryError
        raise CorruptError(
            both(
                f"{file.name} is torn or no safetensors file ({error})",
                f"{file.name} は壊れているか、safetensors ではない（{error}）",
            ),
            where=where,
            do=both("Download it again.", "ダウンロードし直すこと。"),
        ) from error
    # Buffers may be whole numbers (positions, masks); matrices that are would be read as weights without a word.
    whole = {name: kind for name, kind in kinds.items() if name.endswith(".weight") and kind not in _FLOATS}
    if whole:
        name, kind = next(iter(whole.items()))
        raise IncompatibleError(
            both(
                f"{name} is stored as {kind}: quantised weights, or none at all",
                f"{name} が {kind} で保存されている：量子化されているか、重みではない",
            ),
            where=where,
            do=both(
                "Take the checkpoint in float32, bfloat16 or float16.",
                "float32・bfloat16・float16 のチェックポイントを使うこと。",
            ),
        )
    return len(slices)


def _from_hub(name: str, revision: str) -> tuple[Path, str]:
    """Through the hub's own loading call. The commit is read from the snapshot, so that a run can be repeated."""
    hub = need("huggingface_hub", extra="hub")
    try:
        folder = Path(hub.snapshot_download(name, revision=revision or None, allow_patterns=_WANTED))
    except Exception as error:
        raise _explained(error, name, revision) from error
    commit = folder.name if _COMMIT.fullmatch(folder.name) else revision
    return folder, commit


def _explained(error: Exception, name: str, revision: str) -> TerakoyaError:
    """The hub's errors in words that say what to do. Types by name: they moved between versions of the library."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GatedRepoError" in kinds:
        return ConfigError(
            both(
                "this model is gated: its owner asks you to accept terms first",
                "このモデルには制限がある：先に規約への同意が求められている",
            ),
            where=name,
            do=both(
                f"Accept them at https://huggingface.co/{name}, then log in with `hf auth login`.",
                f"https://huggingface.co/{name} で同意し、`hf auth login` でログインすること。",
            ),
        )
    if "RevisionNotFoundError" in kinds:
        return ConfigError(
            both(f"there is no revision '{revision}'", f"リビジョン '{revision}' はない"),
            where=name,
            do=both("Check model.revision.", "model.revision を確かめること。"),
        )
    if "RepositoryNotFoundError" in kinds:
        return ConfigError(
            both("the hub knows no such model, or it is private", "そのモデルはハブにないか、非公開である"),
            where=name,
            do=both(
                "Check model.base; for a private one log in with `hf auth login`.",
                "model.base を確かめること。非公開のモデルなら `hf auth login` でログインすること。",
            ),
        )
    if "HFValidationError" in kinds:
        return ConfigError(
            both("this is no hub name and no folder", "ハブの名前でもフォルダでもない"),
            where=name,
            do=both("Check model.base.", "model.base を確かめること。"),
        )
    if kinds & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"}:
        return ConfigError(
            both(
                "the hub cannot be reached and the model is not in the cache",
                "ハブに接続できず、モデルは手元のキャッシュにもない",
            ),
            where=name,
            do=both(
                "Connect once, or name a folder that holds the checkpoint.",
                "一度接続するか、チェックポイントのあるフォルダを指定すること。",
            ),
        )
    return ConfigError(
        both(
            f"the model cannot be fetched ({type(error).__name__}: {str(error)[:200]})",
            f"モデルを取得できない（{type(error).__name__}: {str(error)[:200]}）",
        ),
        where=name,
        do=both(
            "Check model.base and the connection; or name a folder that holds the checkpoint.",
            "model.base と接続を確かめるか、チェックポイントのあるフォルダを指定すること。",
        ),
    )
