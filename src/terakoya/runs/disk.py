"""Atomic, durable writing: a file is either the old one or the complete new one, whatever happens.

Order of durability: write a temporary file beside the target, fsync it, rename it, fsync the folder.
A failed fsync is never retried: the kernel may have dropped the data it could not write.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError, DiskError
from terakoya.errors.files import require_regular_file
from terakoya.i18n import _, joined, spread

TEMPORARY = ".tmp"
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", -1)}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")


@contextmanager
def disk_faults(path: Path, needed: int = 0, saved: str = "") -> Iterator[None]:
    """Translate OSError of the disk inside the block into DiskError.

    path    the file or folder that is written
    needed  bytes that are to be written, for the message; 0: not known
    saved   a sentence about what is safe already
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            free, required = _free_or_none(path), _bytes(needed)
            available = _bytes(free or 0)
            quota = error.errno == getattr(errno, "EDQUOT", -1)
            full = _("your quota on this disk is used up") if quota else _("no space left on the disk")
            need = _("; {required} are needed here", required=required) if needed else ""
            left = _(" and {available} are free", available=available) if needed and free is not None else ""
            what: str
            do: str
            what, do = (
                joined("", (full, need, left)),
                _("Free some space and run the same command again."),
            )
        elif error.errno in _CLOSED:
            reason = os.strerror(error.errno or 0)
            what, do = (
                _("cannot write here ({reason})", reason=reason),
                _("Choose another folder with --run-dir."),
            )
        elif error.errno == errno.EIO:
            what, do = (
                _("the disk reports an error"),
                _("Do not trust this disk: copy its files, and continue on another one."),
            )
        else:
            raise
        raise DiskError(what, where=str(path), do=do, saved=saved) from error


def free_bytes(path: Path) -> int:
    """Free bytes on the file system of `path`, which need not exist yet."""
    folder = path
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(path: Path, needed: int) -> None:
    """Raise DiskError unless `needed` bytes are free at `path`: better before the first byte than in the middle."""
    free = free_bytes(path)
    required, available = _bytes(needed), _bytes(free)
    if free < needed:
        raise DiskError(
            _("{required} are needed here and {available} are free", required=required, available=available),
            where=str(path),
            do=_("Free some space, or choose another folder with --run-dir."),
        )


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically. Raises DiskError; the old file is then unchanged."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with disk_faults(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` (see `to_jsonable`) to `path` atomically, as indented JSON."""
    write_text(path, json.dumps(to_jsonable(value), ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The value of the JSON file `path`. Raises CorruptError where it is not complete JSON."""
    require_regular_file(path, CorruptError)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptError(
            _("this file is incomplete or was edited by hand"),
            where=str(path),
        ) from error


def sync_folder(folder: Path) -> None:
    """Fsync `folder`, so that a rename in it is durable (a no-op on Windows, which offers no such call)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems do not support fsync of folders; their renames cannot be made more durable.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(handle)


def to_jsonable(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses, mappings, sequences, sets (sorted) and paths; a float that is not
    finite becomes its name, so that it stays visible."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_jsonable(spread((field.name, getattr(value, field.name)) for field in fields(value)))
    if isinstance(value, Mapping):
        return {key: to_jsonable(item) for key, item in spread((str(key), item) for key, item in value.items()).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_jsonable(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return _without_surrogates(value)
    return value.as_posix() if isinstance(value, Path) else value


def safe_name(name: str) -> str:
    """A file name that Linux, macOS and Windows all accept, as similar to `name` as possible."""
    text = unicodedata.normalize("NFC", _without_surrogates(name))
    text = "".join("-" if char in '<>:"/\\|?*' or char.isspace() else char for char in text)
    text = "".join(char for char in text if unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cn"})
    while len(text.encode("utf-8")) > 100:
        text = text[:-1]
    text = text.strip(" .-")
    return f"_{text}" if _RESERVED.match(text) else text or "run"


def _without_surrogates(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8; each becomes the replacement character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _free_or_none(path: Path) -> int | None:
    try:
        return free_bytes(path)
    except OSError:
        return None


def _bytes(count: int) -> str:
    if count < 10_000:
        return f"{count:,} bytes"
    return f"{count:,} bytes ({count / 1e9:.1f} GB)" if count >= 1e9 else f"{count:,} bytes ({count / 1e6:.1f} MB)"
