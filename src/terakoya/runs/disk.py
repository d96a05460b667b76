"""The one way to write what must last: a file is either the old one or the whole new one, whatever happens.

Order of durability: write a temporary file beside the target, fsync it, rename it, fsync the folder.
An fsync that fails is never tried again: the kernel may have dropped the pages it could not write.
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
from terakoya.i18n import both, joined, spread

TEMPORARY = ".tmp"
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", -1)}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")


@contextmanager
def disk_faults(path: Path, needed: int = 0, saved: str = "") -> Iterator[None]:
    """Turn what the operating system says about `path` into words; `needed` is bytes."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            free = _free_or_none(path)
            quota = error.errno == getattr(errno, "EDQUOT", -1)
            full = (
                both("your quota on this disk is used up", "このディスクの割り当てを使い切った")
                if quota
                else both("no space left on the disk", "ディスクに空きがない")
            )
            need = both(f"; {_bytes(needed)} are needed here", f"。ここに {_bytes(needed)} 必要") if needed else ""
            left = (
                both(f" and {_bytes(free)} are free", f"で、空きは {_bytes(free)}")
                if needed and free is not None
                else ""
            )
            what, do = (
                joined("", (full, need, left)),
                both("Make room and give the same command again.", "空きを作り、同じコマンドをもう一度実行すること。"),
            )
        elif error.errno in _CLOSED:
            what, do = (
                both(
                    f"this place cannot be written ({os.strerror(error.errno or 0)})",
                    f"この場所には書き込めない（{os.strerror(error.errno or 0)}）",
                ),
                both("Choose another with --run-dir.", "--run-dir で別の場所を選ぶこと。"),
            )
        elif error.errno == errno.EIO:
            what, do = (
                both("the disk reports an error", "ディスクがエラーを報告している"),
                both(
                    "Do not trust this disk: copy what is there, and go on elsewhere.",
                    "このディスクを信頼しないこと：あるものをコピーし、別の所で続けること。",
                ),
            )
        else:
            raise
        raise DiskError(what, where=str(path), do=do, saved=saved) from error


def free_bytes(path: Path) -> int:
    """Bytes that may still be written where `path` lies or will lie."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def require_space(path: Path, needed: int) -> None:
    """Refuse before the first byte, instead of in the middle of the night."""
    free = free_bytes(path)
    if free < needed:
        raise DiskError(
            both(
                f"{_bytes(needed)} are needed here and {_bytes(free)} are free",
                f"ここに {_bytes(needed)} 必要で、空きは {_bytes(free)} である",
            ),
            where=str(path),
            do=both(
                "Make room, or choose another place with --run-dir.", "空きを作るか、--run-dir で別の場所を選ぶこと。"
            ),
        )


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of it or nothing of it. Raises DiskError; the old file then stands as it was."""
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
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Raises CorruptError, naming the file, when it is not whole."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptError(
            both("this file is torn or was changed by hand", "このファイルは壊れているか、手で書き換えられている"),
            where=str(path),
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename last. Windows keeps its folders itself and offers no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems know no fsync of folders; their rename is as lasting as it gets.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(handle)


def plain(value: Any) -> Any:
    """A value as JSON can hold it. A figure that is not finite becomes its name, so that it stays visible."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(spread((field.name, getattr(value, field.name)) for field in fields(value)))
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in spread((str(key), item) for key, item in value.items()).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return _whole_characters(value)
    return value.as_posix() if isinstance(value, Path) else value


def safe_name(name: str) -> str:
    """A folder or file name that Linux, macOS and Windows all take, as near to `name` as can be."""
    text = unicodedata.normalize("NFC", _whole_characters(name))
    text = "".join("-" if char in '<>:"/\\|?*' or char.isspace() else char for char in text)
    text = "".join(char for char in text if unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cn"})
    while len(text.encode("utf-8")) > 100:
        text = text[:-1]
    text = text.strip(" .-")
    return f"_{text}" if _RESERVED.match(text) else text or "run"


def _whole_characters(text: str) -> str:
    """Half surrogates cannot be written as UTF-8; each becomes the mark for an unknown character."""
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
