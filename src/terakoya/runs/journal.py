"""Files that only grow: one JSON object a line. What was appended survives a kill; a torn last line hurts nobody."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import both
from terakoya.runs.disk import disk_faults, plain


class Journal:
    """Appends records to one file.

    Every record has left the process when `append` returns (a kill cannot take it); it is fsynced at once
    when `durable`, else at the latest with the first append after `every` seconds, with `sync` and `close`
    (a power cut can take that much). A line that an earlier kill left torn is dropped by the first append.
    """

    def __init__(self, path: Path, *, every: float = 1.0, tick: Callable[[], float] = time.monotonic) -> None:
        self.path, self._every, self._tick = path, every, tick
        self._handle: int | None = None
        self._synced = tick()
        self._dirty = False

    def append(self, record: Any, *, durable: bool = False) -> None:
        """Raises DiskError when the disk is full; the file then ends with the record before."""
        line = record_line(record)
        with disk_faults(self.path, len(line)):
            if self._handle is None:
                self._handle = self._open()
            before = os.lseek(self._handle, 0, os.SEEK_END)
            try:
                _write_all(self._handle, line)
            except BaseException:
                os.ftruncate(self._handle, before)
                raise
            self._dirty = True
            if durable or self._tick() - self._synced >= self._every:
                self._sync()

    def sync(self) -> None:
        with disk_faults(self.path):
            if self._dirty:
                self._sync()

    def close(self) -> None:
        try:
            self.sync()
        finally:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _sync(self) -> None:
        assert self._handle is not None
        os.fsync(self._handle)
        self._dirty, self._synced = False, self._tick()

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        handle = os.open(self.path, flags, 0o666)
        _mend(handle, self.path)
        return handle


def record_line(record: Any) -> bytes:
    """One record as one line of UTF-8."""
    return json.dumps(plain(record), ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole record; a torn last line is passed over. No file, no records.

    Raises CorruptError with file and line when a line before the last cannot be read.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            record = _record(line)
            if record is not None:
                yield record
            elif line.endswith(b"\n"):
                raise CorruptError(
                    both(f"line {number} is no record", f"{number}行目が記録になっていない"),
                    where=str(path),
                    do=both(
                        "The file was changed or the disk lost a part of it: restore it from a copy.",
                        "ファイルが書き換えられたか、ディスクが一部を失った：バックアップから戻すこと。",
                    ),
                )


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _mend(handle: int, path: Path) -> None:
    """End the file with a whole line: finish one that only lost its line break, drop one that was cut."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) in {b"", b"\n"}:
            return
    data = path.read_bytes()
    start = data.rfind(b"\n") + 1
    if _record(data[start:]) is not None:
        _write_all(handle, b"\n")
    else:
        os.ftruncate(handle, start)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
