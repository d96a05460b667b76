"""Sealing a folder: a checksum manifest of all files (SHA-256), written last; any changed file is reported by name."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError, IncompatibleError
from terakoya.i18n import both
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


def verify(folder: Path) -> dict[str, Any]:
    """The facts sealed with `folder`, if no file has changed. Raises CorruptError naming the first file that has."""
    sealed = _read_seal(folder)
    listed = sealed["files"]
    for name, entry in listed.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise _broken(path, both("this file is missing", "このファイルがない"))
        digest, size = _digest(path)
        written = entry["bytes"]
        if size != written:
            raise _broken(
                path,
                both(
                    f"this file has {size:,} bytes where {written:,} were written",
                    f"{written:,}バイト書かれたはずのファイルが{size:,}バイトである",
                ),
            )
        if digest != entry["sha256"]:
            raise _broken(
                path, both("this file was changed after it was written", "このファイルは書かれた後で変えられている")
            )
    for path in _files(folder):
        if path.relative_to(folder).as_posix() not in listed:
            raise _broken(
                path,
                both(
                    "this file did not exist when the folder was sealed",
                    "このファイルは、フォルダの封印時にはなかった",
                ),
            )
    facts: dict[str, Any] = sealed["facts"]
    return facts


def is_sealed(folder: Path) -> bool:
    """Whether `folder` has a seal; it is not verified."""
    return (folder / SEAL).is_file()


def seal_of(folder: Path) -> str:
    """The digest that identifies the content of the sealed `folder`. Raises CorruptError where it has no seal."""
    return str(_read_seal(folder)["self"])


def _read_seal(folder: Path) -> dict[str, Any]:
    path = folder / SEAL
    if not path.is_file():
        raise _broken(
            folder,
            both("this folder is incomplete: its seal is missing", "このフォルダは不完全である：seal.json がない"),
        )
    data = path.read_bytes()
    try:
        sealed = json.loads(data)
        # The seal is compared with itself written again, so that a bit flipped in it is detected as well.
        whole = _text({key: item for key, item in sealed.items() if key != "self"}).encode("utf-8") == data
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _broken(
            path, both("this file was changed after it was written", "このファイルは書かれた後で変えられている")
        )
    version = sealed["format"]
    if version > SEAL_FORMAT:
        raise IncompatibleError(
            both(
                f"sealed in format {version}; this version reads up to {SEAL_FORMAT}",
                f"封印の形式は {version} で、この版が読めるのは {SEAL_FORMAT} までである",
            ),
            where=str(path),
            do=both("Update with: pip install -U terakoya", "次のコマンドで更新すること：pip install -U terakoya"),
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
