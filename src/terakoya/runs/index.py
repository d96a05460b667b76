"""The log that the runs of one folder share: how often each exam was opened, and by which run.

A held-out set that was looked at twenty times is no longer held out: twenty choices were made with it. The count is in
every report. Events are appended to `.index.jsonl` under a lock, so that several processes count correctly. Its name is
hidden so that `terakoya compare runs/*` sees runs only.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from terakoya.runs.journal import Journal, read_lines
from terakoya.runs.lock import locked_journal


class Index:
    """The index of the runs in the folder `parent`."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self.path = parent / ".index.jsonl"

    def open_exam(
        self, fingerprint: str, who: str, now: datetime | None = None, *, once: bool = False, settings: str = ""
    ) -> int:
        """Record that an exam is opened; returns how often it has been, this time included.

        fingerprint  of the exam
        who          name of the run that opens it
        now          time of the event; default: the clock
        once         an interrupted evaluation resumes: add nothing where `who` has opened this exam already
        settings     fingerprint of all settings but the seed; "" is not known
        """
        with self._appending() as journal:
            before = self.openings(fingerprint)
            if once and any(opening["who"] == who for opening in before):
                return len(before)
            event = {"event": "exam opened", "exam": fingerprint, "who": who, "time": _iso(now)}
            journal.append(event | ({"settings": settings} if settings else {}), durable=True)
            return len(self.openings(fingerprint))

    def openings(self, fingerprint: str) -> list[dict[str, Any]]:
        """Every opening of the exam with this `fingerprint`, oldest first."""
        events = read_lines(self.path)
        return [event for event in events if event.get("event") == "exam opened" and event.get("exam") == fingerprint]

    def settings_tried(self, fingerprint: str, settings: str = "") -> int:
        """With how many different settings an exam was opened; those of older versions, not known, count as different.

        fingerprint  of the exam
        settings     fingerprint of those that it is about to be opened with; "" where that has been recorded
        """
        tried = {str(event.get("settings") or number) for number, event in enumerate(self.openings(fingerprint))}
        return len(tried | ({settings} if settings else set()))

    def add_run(self, name: str, now: datetime | None = None) -> None:
        """Record that the run `name` was created at `now` (default: the clock)."""
        with self._appending() as journal:
            journal.append({"event": "run made", "run": name, "time": _iso(now)}, durable=True)

    def _appending(self) -> AbstractContextManager[Journal]:
        return locked_journal(self.path, self.parent / ".index.lock")


def _iso(now: datetime | None) -> str:
    return (now or datetime.now().astimezone()).isoformat(timespec="seconds")
