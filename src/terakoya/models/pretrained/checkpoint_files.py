"""The files of a checkpoint, by Hub name or folder, checked before any library opens them.

Only data is let in: safetensors, JSON, vocabularies, templates. Pickled weights are refused with a way to convert
them, code that comes with a checkpoint is never run, and an index of weights may name only files beside it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya.config.reading import is_path
from terakoya.errors import ConfigError, need
from terakoya.errors.files import require_plain_folder
from terakoya.i18n import _
from terakoya.models.pretrained.checkpoint_errors import FROM_SOURCE, corrupt, incompatible
from terakoya.models.pretrained.gguf_files import SUFFIX, dequantise, is_gguf
from terakoya.models.pretrained.hub_download import download
from terakoya.records import Finding

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
# As architectures name their number of layers; others that end so (Qwen's max_window_layers) are no such number.
_DEPTHS = ("num_hidden_layers", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers", "n_layer")
_FLOATS = ("F64", "F32", "F16", "BF16")
_INDEX = "model.safetensors.index.json"
_SAMPLES, _SAMPLE = 64, 1 << 16  # of a weight file, for its fingerprint: a few milliseconds, whatever its size
_LARGEST_JSON = 200_000_000  # bytes; the largest tokenizer.json in use has 33 million
_CONVERT = _(
    "Pickled weights can run code when they are opened, so they never are. Convert them once, where you trust them: "
    'python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('FOLDER').save_pretrained('NEW')\" (AutoModelForSeq2SeqLM for T5), "
    "copy the tokenizer files beside them, and use NEW."
)


@dataclass(frozen=True)
class PretrainedCheckpoint:
    """A checkpoint whose files have been checked.

    name      as the user gave it
    folder    where the files lie
    revision  the commit that a Hub name resolved to ("" for a folder)
    config    its config.json
    gguf      architecture, quantisation and sha256 of a GGUF file; {} for all else
    findings  about its opening
    """

    name: str
    folder: Path
    revision: str
    config: dict[str, Any]
    gguf: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def find_checkpoint(name: str, revision: str = "") -> PretrainedCheckpoint:
    """The checkpoint of a Hub name, folder or GGUF file, downloaded or dequantised where need be, and always checked.

    name      Hub name, folder or GGUF file
    revision  branch, tag or commit of a Hub name; "" for the default branch
    Raises ConfigError where there is none, CorruptError or IncompatibleError where it may not be opened.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        commit = ""
    elif is_gguf(folder):
        return _gguf_checkpoint(folder, name)
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigError(
            _("there is no such folder"),
            where=name,
            do=_("Check model.base."),
        )
    else:
        folder, commit = download(name, revision)
    return PretrainedCheckpoint(name, folder, commit, validate_checkpoint(folder, name))


def _gguf_checkpoint(file: Path, name: str) -> PretrainedCheckpoint:
    source = dequantise(file)
    config = validate_checkpoint(source.folder, name)
    return PretrainedCheckpoint(name, source.folder, "", config, source.record, source.findings)


def validate_checkpoint(folder: Path, name: str = "") -> dict[str, Any]:
    """Check a checkpoint's files and return its config.

    folder  where they lie
    name    for messages; the folder itself where it is ""
    Raises CorruptError or IncompatibleError where they may not be opened.
    """
    where = name or str(folder)
    require_plain_folder(folder, root=_hub_cache(folder))
    config = read_json(folder / "config.json", where)
    if not isinstance(config.get("model_type"), str):
        raise incompatible(
            _("its config names no model type"),
            where,
            _("This is no transformers checkpoint."),
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
                _("{name} is far too large for such a file", name=name),
                where,
                FROM_SOURCE,
            )
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise corrupt(
            _("it has no {name}", name=name),
            where,
            _("A checkpoint holds config.json, tokenizer and safetensors."),
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        kind = type(error).__name__
        raise corrupt(_("{name} cannot be read ({kind})", name=name, kind=kind), where) from error
    if not isinstance(value, dict):
        raise corrupt(_("{name} is no JSON object", name=name), where)
    return value


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint's `folder`, sorted by name."""
    return sorted(file for file in folder.glob("*.safetensors") if file.is_file())


def fingerprint_weights(folder: Path) -> str:
    """What a checkpoint is known by when it was moved or renamed: headers, sizes, and samples of every weight file.

    folder  of the checkpoint, or its GGUF file, whose own name does not count
    """
    digest = hashlib.sha256()
    single = is_gguf(folder) and folder.is_file()
    for file in [folder] if single else weight_files(folder):
        size = file.stat().st_size
        digest.update(f"{SUFFIX if single else file.name} {size}\n".encode())
        with file.open("rb") as opened:
            for block in range(_SAMPLES):
                opened.seek(size * block // _SAMPLES)
                digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()


def find_base(folder: Path, base: str, fingerprint: str, revision: str = "") -> PretrainedCheckpoint:
    """The base of an adapter, or of a model that uses its scores: where its folder says, else one of the same name and
    the same weights near by.

    folder       of the adapter or model
    base         Hub name, or a path that is relative to `folder`
    fingerprint  of the base's weights, "" where it is not known
    revision     of a Hub name
    Raises ConfigError, saying what to put where.
    """
    if not fingerprint and not is_path(base) and not (folder / base).is_dir():
        return find_checkpoint(base, revision)
    name = Path(base).name
    around = (folder, folder.parent, folder.parent.parent, folder.parent.parent.parent, Path.cwd())
    found = [place for place in (folder / base, Path(base), *(place / name for place in around)) if _is_there(place)]
    for place in found:
        if is_gguf(place):
            if not fingerprint or fingerprint_weights(place) == fingerprint:
                return _gguf_checkpoint(place, str(place))
            continue
        config = validate_checkpoint(place)
        if not fingerprint or fingerprint_weights(place) == fingerprint:
            return PretrainedCheckpoint(str(place), place.resolve(), "", config)
    raise ConfigError(
        _("the model '{name}' that lies there is not the base with which this one was trained", name=name)
        if found
        else _("the base '{name}' of this model is not where it was ({base})", name=name, base=base),
        where=str(folder),
        do=_(
            "Put '{name}', the base's folder or file, at {place} (fingerprint of its weights: {fingerprint}…).",
            name=name,
            place=str(folder.parent / name),
            fingerprint=fingerprint[:12],
        ),
    )


def _is_there(place: Path) -> bool:
    return place.is_dir() or (is_gguf(place) and place.is_file())


@contextmanager
def weights_only(folder: Path) -> Iterator[Path]:
    """Inside, a folder that shows config and weights of the checkpoint alone. An adapter that lies beside the weights
    would be loaded too, and make transformers look for its base elsewhere.

    folder  of a validated checkpoint
    """
    names = ("config.json", "generation_config.json", _INDEX)
    files = [*(folder / name for name in names), *weight_files(folder)]
    with tempfile.TemporaryDirectory(prefix="terakoya-") as shown:
        for file in files:
            if file.is_file():
                _link(file.resolve(), Path(shown) / file.name)
        yield Path(shown)


def _link(file: Path, link: Path) -> None:
    try:
        link.symlink_to(file)
    except OSError:  # Windows lets only some users make links
        shutil.copyfile(file, link)


def _hub_cache(folder: Path) -> Path | None:
    """The folder in which the Hub's client keeps a model: its snapshots are links to blobs beside them."""
    home = folder.resolve().parent.parent
    return home if folder.resolve().parent.name == "snapshots" and (home / "blobs").is_dir() else None


def _check_depth(config: dict[str, Any], tensors: int, where: str) -> None:
    """A config can name a million layers, which would be built one by one before anybody misses their weights."""
    parts = [config, *(value for value in config.values() if isinstance(value, dict))]
    layers = [part[name] for part in parts for name in _DEPTHS if name in part]
    deepest = max((value for value in layers if isinstance(value, int)), default=0)
    if deepest > tensors:
        raise corrupt(
            _(
                "its config names {deepest} layers, and its files hold {tensors} weights",
                deepest=deepest,
                tensors=tensors,
            ),
            where,
            FROM_SOURCE,
        )


def _check_weights(folder: Path, where: str) -> int:
    """How many weights the files hold; every file's header is sound."""
    index = folder / _INDEX
    if index.exists():
        _check_index(index, folder, where)
    elif not (folder / "model.safetensors").is_file():
        pickled = next((name for name in sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLED)), None)
        if pickled:
            raise incompatible(_("its weights are pickled ({pickled})", pickled=pickled), where, _CONVERT)
        raise corrupt(
            _("it has no model.safetensors"),
            where,
            _("Only safetensors are opened. {convert}", convert=_CONVERT),
        )
    return sum(_check_header(file, where) for file in weight_files(folder))


def _check_index(index: Path, folder: Path, where: str) -> None:
    named = read_json(index, where).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise corrupt(_("its index of weights is empty"), where)
    for file in sorted({str(value) for value in named.values()}):
        if Path(file).name != file or not file.endswith(".safetensors"):
            shown = file[:80]
            raise corrupt(
                _("its index of weights names a file elsewhere ({shown})", shown=shown),
                where,
                FROM_SOURCE,
            )
        if not (folder / file).is_file():
            raise corrupt(_("part of its weights is missing ({file})", file=file), where)


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
            _("{name} is torn or no safetensors file ({error})", name=name, error=error),
            where,
        ) from error
    # Buffers may be integers (positions, masks); matrices that are would be read as weights without a word.
    whole = {name: dtype for name, dtype in dtypes.items() if name.endswith(".weight") and dtype not in _FLOATS}
    if whole:
        name, dtype = next(iter(whole.items()))
        raise incompatible(
            _("{name} is stored as {dtype}: quantised weights, or none at all", name=name, dtype=dtype),
            where,
            _("Take the checkpoint in float32, bfloat16 or float16."),
        )
    return len(slices)
