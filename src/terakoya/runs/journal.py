"""Append-only JSON Lines files. What was appended survives a kill; an incomplete last line is ignored.

Every line ends with a checksum (line_checksums.py): a line that was changed later is refused with its number.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.errors.files import require_plain_file, require_regular_file
from terakoya.i18n import _
from terakoya.runs.disk import disk_faults, to_jsonable
from terakoya.runs.line_checksums import KEY, LineState, add_checksum, chain_of, check_line

Kind = type | tuple[type, ...]


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
        self._chain = 0

    def append(self, record: Any, *, durable: bool = False) -> None:
        """Append `record`, fsynced at once if `durable`. Raises DiskError; the file then ends with the last record."""
        text = _json(record)
        with disk_faults(self.path, len(text)):
            if self._handle is None:
                self._handle = self._open()
            line, chain = add_checksum(text, self._chain)
            before = os.lseek(self._handle, 0, os.SEEK_END)
            try:
                _write_all(self._handle, line)
            except BaseException:
                os.ftruncate(self._handle, before)
                raise
            self._dirty, self._chain = True, chain
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
        require_plain_file(self.path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        handle = os.open(self.path, flags, 0o666)
        try:
            self._chain = _repair_end(handle, self.path)
        except BaseException:
            os.close(handle)
            raise
        return handle


def journal_bytes(records: Iterable[Any]) -> bytes:
    """A whole journal that holds `records`, one line of UTF-8 JSON each."""
    lines, chain = [], 0
    for record in records:
        line, chain = add_checksum(_json(record), chain)
        lines.append(line)
    return b"".join(lines)


def read_lines(path: Path, require: Mapping[str, Kind] | None = None) -> Iterator[dict[str, Any]]:
    """Every complete record of the file `path`, none where it does not exist; an incomplete last line is ignored.

    require  name → type of values that every record must have
    Raises CorruptError with file and line where a line was changed, is no JSON object, or lacks a value.
    """
    if not path.exists():
        return
    require_regular_file(path, CorruptError)
    chain, chained = 0, False
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            checked = check_line(line, chain, chained=chained)
            record = _record(line)
            if checked.state is LineState.DAMAGED or (record is None and _goes_on(line)):
                raise _damaged(path, number, chained)
            if checked.state is LineState.TORN or (record is None and not line.endswith(b"\n")):
                return
            if record is None:
                raise _refused(path, _("line {number} is not a JSON object", number=number))
            chain, chained = checked.chain, checked.state is LineState.VALID
            if require:
                require_values(record, require, path, number)
            yield record


def require_values(record: Mapping[str, Any], require: Mapping[str, Kind], path: Path, number: int) -> None:
    """Refuse a line that is JSON but not what this journal holds.

    record   the line's values
    require  name → type of values that must be there; True and False are no numbers
    path     the journal
    number   of the line, from 1
    Raises CorruptError.
    """
    for name, kind in require.items():
        value = record.get(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if name not in record or not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _refused(
                path,
                _("line {number} has no valid '{name}'", number=number, name=name)
                if name in record
                else _("line {number} has no '{name}'", number=number, name=name),
            )


def _refused(path: Path, what: str) -> CorruptError:
    return CorruptError(
        what,
        where=str(path),
        do=_("The file was edited, or the disk lost a part of it: restore it from a copy."),
    )


def _damaged(path: Path, number: int, chained: bool) -> CorruptError:
    if chained or number == 1:
        return _refused(path, _("line {number} was changed after it was written", number=number))
    # The first checksum also covers the lines above it, which have none of their own.
    return _refused(path, _("line {number}, or a line above it, was changed after it was written", number=number))


def _json(record: Any) -> str:
    return json.dumps(to_jsonable(record), ensure_ascii=False, allow_nan=False)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    value.pop(KEY, None)
    return value


def _goes_on(line: bytes) -> bool:
    """Whether a last line without a line break goes on behind a complete record: a kill leaves no such line."""
    return not line.endswith(b"\n") and _record(line[:-1]) is not None


def _repair_end(handle: int, path: Path) -> int:
    """Let the file end with a complete line: finish one that only lacks its line break, drop one that is cut.

    Returns the checksum that the next line starts from. Raises CorruptError where the last line was changed.
    """
    data = path.read_bytes()
    start = data.rfind(b"\n") + 1
    piece, data = data[start:], data[:start]
    chain = chain_of(data) if data else 0
    if not piece:
        return chain
    state = check_line(piece, chain, chained=_ends_checked(data)).state
    if state is LineState.DAMAGED or _goes_on(piece):
        raise _damaged(path, data.count(b"\n") + 1, chained=True)
    if state is LineState.TORN or _record(piece) is None:
        os.ftruncate(handle, start)
        return chain
    _write_all(handle, b"\n")
    return chain_of(data + piece + b"\n")


def _ends_checked(data: bytes) -> bool:
    last = data[data.rfind(b"\n", 0, -1) + 1 :]
    return f'"{KEY}": "'.encode() in last[-24:]


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
