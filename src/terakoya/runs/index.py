"""What the runs of one folder share: how often each exam was opened, and by whom.

An exam that was opened twenty times is no longer an exam: twenty choices were made by it. The count stands in
every record. Events are appended to `.index.jsonl` under a lock, so that several processes count right. Its name is
hidden so that `terakoya compare runs/*` meets runs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from terakoya.runs.journal import Journal, read_lines
from terakoya.runs.lock import Lock


class Index:
    """The index of the runs in `parent`."""

    WAIT = 10.0  # seconds for others who count at the same moment; each holds the lock for milliseconds

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self.path = parent / ".index.jsonl"

    def open_exam(self, fingerprint: str, who: str, now: datetime | None = None, *, once: bool = False) -> int:
        """Write down that `who` looks at the exam now; how often it has been opened, this time included.

        once  a sitting that was cut off goes on: where `who` has opened this exam already, nothing is added
        """
        with self._appending() as journal:
            before = self.openings(fingerprint)
            if once and any(opening["who"] == who for opening in before):
                return len(before)
            journal.append({"event": "exam opened", "exam": fingerprint, "who": who, "time": _iso(now)}, durable=True)
            return len(self.openings(fingerprint))

    def openings(self, fingerprint: str) -> list[dict[str, Any]]:
        """Every opening of this exam, oldest first."""
        events = read_lines(self.path)
        return [event for event in events if event.get("event") == "exam opened" and event.get("exam") == fingerprint]

    def add_run(self, name: str, now: datetime | None = None) -> None:
        with self._appending() as journal:
            journal.append({"event": "run made", "run": name, "time": _iso(now)}, durable=True)

    @contextmanager
    def _appending(self) -> Iterator[Journal]:
        lock, journal = Lock(self.parent / ".index.lock"), Journal(self.path)
        lock.acquire(wait=self.WAIT)
        try:
            yield journal
        finally:
            journal.close()
            lock.release()


def _iso(now: datetime | None) -> str:
    return (now or datetime.now().astimezone()).isoformat(timespec="seconds")
