"""Sealing a folder: a checksum manifest of all files (SHA-256), written last; any changed file is reported by name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError, IncompatibleError
from terakoya.errors.files import require_plain_folder
from terakoya.i18n import _
from terakoya.runs.disk import disk_faults, to_jsonable, write_text

SEAL = "seal.json"
SEAL_FORMAT = 1
# What file browsers leave behind; everything else that was not there when the folder was sealed is refused.
_HARMLESS = {"desktop.ini", "Thumbs.db"}


def seal(folder: Path, **facts: Any) -> None:
    """Fsync every file of `folder` and write its manifest; `facts` (step, owner …) are part of it. Raises DiskError."""
    files: dict[str, Any] = {}
    with disk_faults(folder):
        for path in _files(folder):
            digest, size = _digest(path, sync=True)
            files[path.relative_to(folder).as_posix()] = {"sha256": digest, "bytes": size}
    write_text(folder / SEAL, _text({"format": SEAL_FORMAT, "facts": to_jsonable(facts), "files": files}))


def seal_files(folder: Path, names: Sequence[str], **facts: Any) -> None:
    """Seal single files of a folder that holds others too; `verify_file` refuses each once it is changed.

    folder  the folder
    names   of the files; those that do not exist are left out
    facts   further values of the manifest
    Raises DiskError.
    """
    files: dict[str, Any] = {}
    with disk_faults(folder):
        for name in names:
            if (folder / name).is_file():
                digest, size = _digest(folder / name, sync=True)
                files[name] = {"sha256": digest, "bytes": size}
    write_text(folder / SEAL, _text({"format": SEAL_FORMAT, "facts": to_jsonable(facts), "files": files}))


def verify_file(path: Path) -> None:
    """Raise CorruptError where the seal beside the file `path` lists it, and it was changed or removed since."""
    if (path.parent / SEAL).is_file():
        try:
            entry = _read_seal(path.parent)["files"].get(path.name)
            if entry is not None:
                _require_unchanged(path, entry)
        except CorruptError:
            # The run is being written again at this moment: whoever does so removes the seal first.
            if (path.parent / SEAL).is_file():
                raise


def verify(folder: Path) -> dict[str, Any]:
    """The facts sealed with `folder`, if no file has changed. Raises CorruptError naming the first file that has."""
    require_plain_folder(folder)
    sealed = _read_seal(folder)
    listed = sealed["files"]
    for name, entry in listed.items():
        if ".." in Path(name).parts:
            raise _broken(folder / name, _("this file is missing"))
        _require_unchanged(folder / name, entry)
    for path in _files(folder):
        if path.relative_to(folder).as_posix() not in listed:
            raise _broken(
                path,
                _("this file did not exist when the folder was sealed"),
            )
    facts: dict[str, Any] = sealed["facts"]
    return facts


def is_sealed(folder: Path) -> bool:
    """Whether `folder` has a seal; it is not verified."""
    return (folder / SEAL).is_file()


def seal_of(folder: Path) -> str:
    """The digest that identifies the content of the sealed `folder`. Raises CorruptError where it has no seal."""
    return str(_read_seal(folder)["self"])


def _require_unchanged(path: Path, entry: Mapping[str, Any]) -> None:
    if path.is_symlink() or not path.is_file():
        raise _broken(path, _("this file is missing"))
    digest, size = _digest(path)
    written = entry["bytes"]
    if size != written:
        raise _broken(
            path,
            _("this file has {size:,} bytes where {written:,} were written", size=size, written=written),
        )
    if digest != entry["sha256"]:
        raise _broken(path, _("this file was changed after it was written"))


def _read_seal(folder: Path) -> dict[str, Any]:
    path = folder / SEAL
    if not path.is_file():
        raise _broken(
            folder,
            _("this folder is incomplete: its seal is missing"),
        )
    data = path.read_bytes()
    try:
        sealed = json.loads(data)
        # The seal is compared with itself written again, so that a bit flipped in it is detected as well.
        whole = _text({key: item for key, item in sealed.items() if key != "self"}).encode("utf-8") == data
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _broken(path, _("this file was changed after it was written"))
    version = sealed["format"]
    if version > SEAL_FORMAT:
        raise IncompatibleError(
            _(
                "sealed in format {version}; this version reads up to {seal_format}",
                version=version,
                seal_format=SEAL_FORMAT,
            ),
            where=str(path),
            do=_("Update with: pip install -U terakoya"),
        )
    return dict(sealed)


def _text(content: dict[str, Any]) -> str:
    """Canonical JSON that ends with its own digest."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()
    return json.dumps({**content, "self": digest}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _files(folder: Path) -> list[Path]:
    """Regular files and links below `folder`, without hidden ones and the seal."""
    found = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return sorted(
        path
        for path in found
        if path.relative_to(folder).as_posix() != SEAL and not path.name.startswith(".") and path.name not in _HARMLESS
    )


def _digest(path: Path, *, sync: bool = False) -> tuple[str, int]:
    # Windows fsyncs only what was opened for writing.
    with path.open("r+b") if sync and os.name == "nt" else path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
        return digest, os.fstat(file.fileno()).st_size


def _broken(path: Path, what: str) -> CorruptError:
    return CorruptError(
        what,
        where=str(path),
    )
