"""A folder sealed: every file's SHA-256 in one list, written last. One flipped bit and it is refused by name."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError, IncompatibleError
from terakoya.i18n import both
from terakoya.runs.disk import disk_faults, plain, write_text

SEAL = "seal.json"
SEAL_FORMAT = 1
# What file browsers leave behind; everything else that was not there when the folder was sealed is refused.
_HARMLESS = {"desktop.ini", "Thumbs.db"}


def seal(folder: Path, **facts: Any) -> None:
    """Fsync and list every file of `folder`; `facts` (step, owner …) are sealed with them. Raises DiskError."""
    files: dict[str, Any] = {}
    with disk_faults(folder):
        for path in _files(folder):
            digest, size = _digest(path, sync=True)
            files[path.relative_to(folder).as_posix()] = {"sha256": digest, "bytes": size}
    write_text(folder / SEAL, _text({"format": SEAL_FORMAT, "facts": plain(facts), "files": files}))


def verify(folder: Path) -> dict[str, Any]:
    """The sealed facts, if every file is what it was. Raises CorruptError naming the first file that is not."""
    sealed = _read_seal(folder)
    listed = sealed["files"]
    for name, told in listed.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise _broken(path, both("this file is missing", "このファイルがない"))
        digest, size = _digest(path)
        if size != told["bytes"]:
            raise _broken(
                path,
                both(
                    f"this file has {size:,} bytes where {told['bytes']:,} were written",
                    f"{told['bytes']:,}バイト書かれたはずのファイルが{size:,}バイトである",
                ),
            )
        if digest != told["sha256"]:
            raise _broken(
                path, both("this file was changed after it was written", "このファイルは書かれた後で変えられている")
            )
    for path in _files(folder):
        if path.relative_to(folder).as_posix() not in listed:
            raise _broken(
                path,
                both(
                    "this file was not there when the folder was sealed",
                    "このファイルは、フォルダを封じたときにはなかった",
                ),
            )
    facts: dict[str, Any] = sealed["facts"]
    return facts


def is_sealed(folder: Path) -> bool:
    return (folder / SEAL).is_file()


def seal_of(folder: Path) -> str:
    """The digest that stands for every file of a sealed folder. Raises CorruptError where there is none."""
    return str(_read_seal(folder)["self"])


def _read_seal(folder: Path) -> dict[str, Any]:
    path = folder / SEAL
    if not path.is_file():
        raise _broken(
            folder,
            both("this folder was never finished: its seal is missing", "このフォルダは作りかけである：封がない"),
        )
    data = path.read_bytes()
    try:
        sealed = json.loads(data)
        # The seal is compared with itself written again, so that a bit flipped in it is noticed as well.
        whole = _text({key: item for key, item in sealed.items() if key != "self"}).encode("utf-8") == data
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _broken(
            path, both("this file was changed after it was written", "このファイルは書かれた後で変えられている")
        )
    if sealed["format"] > SEAL_FORMAT:
        raise IncompatibleError(
            both(
                f"sealed in format {sealed['format']}, and this version knows {SEAL_FORMAT}",
                f"形式 {sealed['format']} で封じられており、この版が知るのは {SEAL_FORMAT} までである",
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
    """Regular files and links below `folder`, hidden ones and our seal left out."""
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
