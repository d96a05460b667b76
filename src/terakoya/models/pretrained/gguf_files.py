"""A GGUF file (llama.cpp, Ollama, LM Studio) as a checkpoint: dequantised once by transformers, and kept.

    folder, source = dequantise(file)       # a folder as the Hub would give it: config, float32 safetensors, tokenizer

The file is third-party data, so a child process with limits reads it. Dequantising takes a minute for each quarter of a
gigabyte; the result lies in the user's cache, known by the file's sha256, and the least recently used ones are evicted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from terakoya.errors import ConfigError, DiskError, need
from terakoya.errors.files import file_read_errors
from terakoya.i18n import _
from terakoya.models.memory import format_bytes
from terakoya.models.pretrained.checkpoint_errors import DOWNLOAD_AGAIN, corrupt, incompatible
from terakoya.models.pretrained.gguf_child import PROGRAM
from terakoya.models.pretrained.limited_child import ChildFailed, run_limited
from terakoya.models.user_cache import cache_folder
from terakoya.records import Finding
from terakoya.runs.disk import disk_faults, free_bytes, sync_folder

SUFFIX = ".gguf"
KEPT_BYTES = 20_000_000_000  # of dequantised copies; the one in use is never removed
_MAGIC = b"GGUF"
_SOURCE = "gguf.json"
# What a child may take for each byte of the file: two-bit weights become 16 times as large, and are held twice.
_GROWTH = 32
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model", "vocab.json", "merges.txt",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
)  # fmt: skip
_SAFETENSORS = _("Take the same model as a folder with safetensors from its source.")


@dataclass(frozen=True)
class DequantisedFile:
    """A GGUF file as a checkpoint folder.

    folder        config, weights in float32 and tokenizer, in the user's cache
    architecture  by the file, such as "gemma3"
    quantisation  by the file, such as "Q4_K_M"
    sha256        of the file
    findings      that a copy was made, where this call made it
    """

    folder: Path
    architecture: str
    quantisation: str
    sha256: str
    findings: tuple[Finding, ...] = ()

    @property
    def record(self) -> dict[str, str]:
        """What a run's manifest says of the file."""
        return {"architecture": self.architecture, "quantisation": self.quantisation, "sha256": self.sha256}


def is_gguf(path: Path) -> bool:
    """Whether a model base names a GGUF file.

    path  that need not exist
    """
    return path.suffix.lower() == SUFFIX


def dequantise(file: Path) -> DequantisedFile:
    """The checkpoint folder of a GGUF file, made at the first call.

    file  its path
    Raises ConfigError where there is no such file or the package `gguf` is missing, CorruptError where it is damaged or
    no GGUF file, IncompatibleError where transformers does not know its architecture, DiskError.
    """
    name = str(file)
    with file_read_errors(file, ConfigError, do=_("Check model.base.")):
        state = file.stat()
        with file.open("rb") as opened:
            magic = opened.read(len(_MAGIC))
    if magic != _MAGIC:
        do = _("Name a file in llama.cpp's GGUF format, or a folder with safetensors.")
        raise corrupt(_("this is no GGUF file"), name, do)
    transformers = need("transformers", extra="hub")
    need("gguf", extra="hub")
    sha256 = _sha256(str(file.resolve()), state.st_mtime_ns, state.st_size)
    # What transformers makes of a file may change with its version.
    folder = cache_folder("gguf") / f"{sha256}-{transformers.__version__}"
    findings: tuple[Finding, ...] = ()
    if not (folder / _SOURCE).is_file():
        findings = (_fill(file, folder, sha256),)
    values = _read_source(folder)
    with disk_faults(folder):
        os.utime(folder / _SOURCE)
    _evict(folder)
    return DequantisedFile(folder, values["architecture"], values["quantisation"], sha256, findings)


@lru_cache(maxsize=16)
def _sha256(file: str, _modified: int, _size: int) -> str:
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _read_source(folder: Path) -> Mapping[str, str]:
    try:
        values = json.loads((folder / _SOURCE).read_text(encoding="utf-8"))
        return {key: str(values[key]) for key in ("architecture", "quantisation")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise corrupt(
            _("this dequantised copy is damaged"), str(folder), _("Delete this folder: it is made again.")
        ) from error


def _fill(file: Path, folder: Path, sha256: str) -> Finding:
    """Make the copy; in a folder of its own that is renamed when it is complete, so that a kill leaves none half."""
    started, size = time.monotonic(), file.stat().st_size
    with disk_faults(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent)
        _require_space(folder.parent, 8 * size)  # four bits a weight become thirty-two
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        _convert(file, temporary, sha256)
        with disk_faults(folder):
            _sync(temporary)
            _rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Finding(
        "gguf",
        "note",
        _(
            "dequantised to float32 in {seconds:.0f} s; this copy of {size} is used from now on",
            seconds=time.monotonic() - started,
            size=format_bytes(_bytes(folder)),
        ),
        str(folder),
        _("Nothing: it may be deleted at any time, and is made again where it is needed."),
    )


def _convert(file: Path, folder: Path, sha256: str) -> None:
    name, size = str(file), file.stat().st_size
    try:
        result = run_limited(
            PROGRAM,
            {"file": str(file.resolve()), "folder": str(folder), "sha256": sha256, "record": _SOURCE},
            seconds=600 + size // 500_000,
            memory=(16 << 30) + _GROWTH * size,
            largest_file=(1 << 30) + _GROWTH * size,
        )
    except ChildFailed as error:
        raise corrupt(_("it cannot be dequantised: {reason}", reason=str(error.args[0])), name) from error
    if fault := result.get("fault"):
        raise _refusal(fault, result, name)
    if reason := result["tokenizer"]:
        beside = [file.parent / one for one in _TOKENIZER_FILES if (file.parent / one).is_file()]
        if not beside:
            raise corrupt(
                _("transformers cannot make its tokenizer from the file ({reason})", reason=reason),
                name,
                _("Put tokenizer.json of its base model into the folder of the file."),
            )
        for one in beside:
            shutil.copyfile(one, folder / one.name)


def _refusal(fault: str, result: Mapping[str, Any], name: str) -> Exception:
    reason, architecture = str(result.get("reason", "")), str(result.get("architecture", ""))
    if fault == "architecture":
        version = need("transformers", extra="hub").__version__
        what = _(
            "a GGUF file of architecture '{architecture}' is not known to transformers {version}",
            architecture=architecture,
            version=version,
        )
        return incompatible(what, name, _SAFETENSORS)
    if fault == "part":
        what = _("this file is one of {count} parts", count=reason)
        return incompatible(what, name, _("Merge them first: llama-gguf-split --merge FIRST_PART MERGED.gguf"))
    if fault == "missing":
        count, first = int(result["count"]), reason
        return corrupt(_("{count} of its weights are missing ({first})", count=count, first=first), name)
    if fault == "weights":
        what = _("transformers cannot make a model of it ({reason})", reason=reason)
        return incompatible(what, name, _SAFETENSORS)
    return corrupt(_("it is truncated or damaged ({reason})", reason=reason), name, DOWNLOAD_AGAIN)


def _require_space(cache: Path, needed: int) -> None:
    free = free_bytes(cache)
    if free < needed:
        raise DiskError(
            _("{size} are needed here and {left} are free", size=format_bytes(needed), left=format_bytes(free)),
            where=str(cache),
            do=_("Free some space, or name another folder with the environment variable XDG_CACHE_HOME."),
        )


def _sync(folder: Path) -> None:
    for file in folder.iterdir():
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    sync_folder(folder)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not (folder / _SOURCE).is_file():
            raise
        # Another process made the same copy meanwhile.


def _remove_leftovers(cache: Path, older: float = 86_400.0) -> None:
    """Remove what a kill left; a copy that another process makes right now is younger."""
    for path in cache.glob(".tmp-*"):
        if time.time() - path.stat().st_mtime > older:
            shutil.rmtree(path, ignore_errors=True)


def _evict(used: Path) -> None:
    """Remove the least recently used copies beyond `KEPT_BYTES`. A process that has one open is not disturbed."""
    copies = [path.parent for path in used.parent.glob(f"*/{_SOURCE}")]
    newest_first = sorted(copies, key=lambda copy: (copy == used, (copy / _SOURCE).stat().st_mtime), reverse=True)
    total = 0
    for copy in newest_first:
        total += _bytes(copy)
        if total > KEPT_BYTES and copy != used:
            shutil.rmtree(copy, ignore_errors=True)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
