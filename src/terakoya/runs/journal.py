"""Append-only JSON Lines files. What was appended survives a kill; an incomplete last line is ignored."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.i18n import both
from terakoya.runs.disk import disk_faults, to_jsonable


class Journal:
    """Appends records to one file.

    Every record has left the process when `append` returns, so that a kill cannot lose it. It is fsynced at once when
    `durable`, else with the first append after `every` seconds, with `sync` or with `close`, so that a power failure
    can lose that much. An incomplete line left by an earlier kill is dropped by the first append.

    path   the file
    every  seconds between fsyncs
    tick   clock in seconds
    """

    def __init__(self, path: Path, *, every: float = 1.0, tick: Callable[[], float] = time.monotonic) -> None:
        self.path, self._every, self._tick = path, every, tick
        self._handle: int | None = None
        self._synced = tick()
        self._dirty = False

    def append(self, record: Any, *, durable: bool = False) -> None:
        """Append `record`, fsynced at once if `durable`. Raises DiskError; the file then ends with the last record."""
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
        """Fsync what was appended. Raises DiskError."""
        with disk_faults(self.path):
            if self._dirty:
                self._sync()

    def close(self) -> None:
        """Fsync and close the file."""
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
        _repair_end(handle, self.path)
        return handle


def record_line(record: Any) -> bytes:
    """`record` as one line of UTF-8 JSON."""
    return json.dumps(to_jsonable(record), ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every complete record of the file `path`, none where it does not exist; an incomplete last line is ignored.

    Raises CorruptError with file and line where an earlier line cannot be parsed.
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
                    both(f"line {number} is not a JSON object", f"{number}行目が JSON オブジェクトではない"),
                    where=str(path),
                    do=both(
                        "The file was edited, or the disk lost a part of it: restore it from a copy.",
                        "ファイルが書き換えられたか、ディスク上で一部が失われた：バックアップから戻すこと。",
                    ),
                )


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _repair_end(handle: int, path: Path) -> None:
    """Let the file end with a complete line: finish one that only lacks its line break, drop one that is cut."""
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
