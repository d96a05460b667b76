"""Exclusive locks: two processes never write one run.

The operating system's own lock is used (flock; msvcrt on Windows), so that a killed holder leaves nothing to clean up.
The file's content is for the message of whoever is refused: who holds it, where, since when.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terakoya.errors import LockedError
from terakoya.errors.files import require_plain_file
from terakoya.i18n import _
from terakoya.runs.disk import disk_faults
from terakoya.runs.journal import Journal

WAIT = 10.0  # seconds to wait for another process that appends to the same journal
_WOULD_BLOCK = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "lustre", "gpfs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs")
_held: set[Lock] = set()


class Lock:
    """An exclusive lock on the file `path`, released by `release` or by the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self, wait: float = 0.0) -> None:
        """Take the lock. Raises LockedError, naming the holder, where another process has it after `wait` seconds."""
        deadline = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= deadline:
                raise self._refusal()
            time.sleep(0.01)

    def release(self) -> None:
        """Give the lock up, if it is held."""
        if self._handle is None:
            return
        try:
            os.ftruncate(self._handle, 0)
            _unlock(self._handle)
        finally:
            os.close(self._handle)
            self._handle = None
            _held.remove(self)

    def holder(self) -> dict[str, Any]:
        """pid, host and since, as the last holder wrote them; {} where it released the lock."""
        try:
            written = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return written if isinstance(written, dict) else {}

    def disown(self, hosts: Collection[str]) -> None:
        """Forget a holder whose host is gone: on a network file system the name it left would refuse everybody.

        hosts  known to be dead, by whoever watches them
        """
        if hosts and self.holder().get("host") in hosts and not self.is_taken():
            self.path.write_bytes(b"")

    def is_taken(self) -> bool:
        """Whether another process holds it at this moment; leaves no trace."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            free = _lock(handle)
            if free:
                _unlock(handle)
            return not free
        finally:
            os.close(handle)

    def is_claimed(self) -> bool:
        """Whether a process says that it holds the lock and, if on this host, is alive. Only reads: `is_taken` tries
        the lock, and whoever wants it at that moment is refused."""
        holder = self.holder()
        # On Windows signal 0 is no query but a Ctrl-C.
        if not holder or holder.get("host") != socket.gethostname() or sys.platform == "win32":
            return bool(holder)
        try:
            os.kill(int(holder["pid"]), 0)
        except (OSError, ValueError, TypeError, KeyError) as error:
            return isinstance(error, PermissionError)  # somebody else's process is alive too
        return True

    def _try(self) -> bool:
        require_plain_file(self.path)
        with disk_faults(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                taken = _lock(handle)
                if taken:
                    self._refuse_other_host()
                    _write_holder(handle)
            except BaseException:
                os.close(handle)
                raise
        if not taken:
            os.close(handle)
            return False
        self._handle = handle
        _held.add(self)
        return True

    def _refuse_other_host(self) -> None:
        """On a network file system a lock may hold on one host only, so a name left by another host is trusted."""
        holder = self.holder()
        if holder and holder.get("host") != socket.gethostname() and _on_network(self.path):
            raise self._refusal()

    def _refusal(self) -> LockedError:
        holder = self.holder()
        pid, host, since, path = (*(holder.get(key) for key in ("pid", "host", "since")), self.path)
        who = (
            _("process {pid} on {host} has been writing here since {since}", pid=pid, host=host, since=since)
            if holder
            else _("another process is writing here")
        )
        do: str = _("Wait until it has ended, or end it.")
        if holder and holder.get("host") != socket.gethostname():
            do += _(" If that machine is gone, delete {path} and run the command again.", path=path)
        return LockedError(who, where=str(self.path.parent), do=do)


def _write_holder(handle: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(holder).encode("utf-8"))


def _on_network(path: Path) -> bool:
    """Whether `path` lies on a network file system, as far as Linux reports it; elsewhere the lock is trusted."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    resolved = path.resolve()
    mounts = [(Path(parts[1].replace("\\040", " ")), parts[2]) for parts in map(str.split, lines) if len(parts) > 2]
    around = [(len(point.parts), kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return bool(around) and max(around)[1].startswith(_NETWORK)


@contextmanager
def locked_journal(path: Path, lock: Path) -> Iterator[Journal]:
    """A journal that several processes append to, one after the other.

    path  the journal
    lock  the file that is locked meanwhile; each process holds it for milliseconds
    Raises LockedError where another process holds it for longer than WAIT.
    """
    held, journal = Lock(lock), Journal(path)
    held.acquire(wait=WAIT)
    try:
        yield journal
    finally:
        journal.close()
        held.release()


if sys.platform == "win32":
    import msvcrt

    # Windows locks are mandatory: a byte far behind the text is locked, so that others can read who holds it.
    _FAR = 1 << 30

    def _lock(handle: int) -> bool:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in _WOULD_BLOCK:
                return False
            raise
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _WOULD_BLOCK:
                return False
            raise
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)

    def _forget_in_child() -> None:
        """A forked worker shares the lock and would keep it after its parent's death: it closes its copy."""
        for lock in list(_held):
            if lock._handle is not None:
                os.close(lock._handle)
                lock._handle = None
        _held.clear()

    os.register_at_fork(after_in_child=_forget_in_child)
