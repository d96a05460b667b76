"""Exclusive locks: two processes never write one run.

The operating system's own lock is used (filelock: flock, on Windows LockFileEx), so that a killed holder leaves nothing
to clean up. The file's content is for the message of whoever is refused: who holds it, where, since when.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import lock_descriptor, unlock_descriptor

from terakoya.errors import LockedError
from terakoya.errors.files import require_plain_file
from terakoya.i18n import _
from terakoya.runs.disk import disk_faults
from terakoya.runs.journal import Journal

WAIT = 10.0  # seconds to wait for another process that appends to the same journal
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "lustre", "gpfs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs")
_held: dict[Lock, int] = {}  # with their file descriptors


class Lock:
    """An exclusive lock on the file `path`, released by `release` or by the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self in _held

    def acquire(self, wait: float = 0.0) -> None:
        """Take the lock. Raises LockedError, naming the holder, where another process has it after `wait` seconds."""
        deadline = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= deadline:
                raise self._refusal()
            time.sleep(0.01)

    def release(self) -> None:
        """Give the lock up, if it is held."""
        if (handle := _held.pop(self, None)) is None:
            return
        try:
            os.ftruncate(handle, 0)
            unlock_descriptor(handle)
        finally:
            os.close(handle)

    def holder(self) -> dict[str, Any]:
        """pid, host and since, as the last holder wrote them; {} where it released the lock."""
        try:
            with self.path.open("rb") as file:
                file.seek(1)  # the first byte is the one that Windows locks, for readers as well
                written = json.loads(b"{" + file.read())
        except (OSError, ValueError):
            return {}
        return dict(written)

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
            return not lock_descriptor(handle, blocking=False)
        finally:
            os.close(handle)  # which gives up what was locked

    def is_claimed(self) -> bool:
        """Whether a process says that it holds the lock and, if on this host, is alive. Only reads: `is_taken` tries
        the lock, and whoever wants it at that moment is refused."""
        holder = self.holder()
        if not holder or holder.get("host") != socket.gethostname():
            return bool(holder)
        import psutil  # type: ignore[import-untyped]

        return isinstance(holder.get("pid"), int) and psutil.pid_exists(holder["pid"])

    def _try(self) -> bool:
        require_plain_file(self.path)
        with disk_faults(self.path), ExitStack() as undo:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            undo.callback(os.close, handle)
            if not lock_descriptor(handle, blocking=False):
                return False
            self._refuse_other_host()
            _write_holder(handle)
            undo.pop_all()
        _held[self] = handle
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
    """Whether `path` lies on a network file system, as far as the system reports it; elsewhere the lock is trusted."""
    import psutil

    resolved, mounts = path.resolve(), psutil.disk_partitions(all=True)
    around = [(len(one.mountpoint), one.fstype) for one in mounts if resolved.is_relative_to(one.mountpoint)]
    return bool(around) and max(around)[1].startswith(_NETWORK)


@contextmanager
def locked_journal(path: Path, lock: Path) -> Iterator[Journal]:
    """A journal that several processes append to, one after the other.

    path  the journal
    lock  the file that is locked meanwhile; each process holds it for milliseconds
    Raises LockedError where another process holds it for longer than WAIT.
    """
    held = Lock(lock)
    held.acquire(wait=WAIT)
    with ExitStack() as after:
        after.callback(held.release)
        yield after.enter_context(closing(Journal(path)))


def _forget_in_child() -> None:
    """A forked worker shares the lock and would keep it after its parent's death: it closes its copy."""
    for handle in _held.values():
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
