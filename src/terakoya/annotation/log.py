"""Append-only log of what people said about rows: every entry can be undone, and the logs of two people be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.records import fingerprint
from terakoya.runs import Journal, read_lines
from terakoya.runs.journal import Kind
from terakoya.runs.lock import locked_journal

UNDO = "undo"
_REQUIRED: Mapping[str, Kind] = {"action": str, "row": str, "when": str}


@dataclass(frozen=True, slots=True)
class Row:
    """A row that somebody looks at.

    source              its input text
    target              the target that it has, as the person sees it
    fingerprint         of source and target
    source_fingerprint  of the source, with all turns of a conversation
    """

    source: str
    target: str
    fingerprint: str
    source_fingerprint: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one person said about one row.

    action              what was said: "edit", "right", "undo" …
    row                 fingerprint of the row, source and given target; of "undo": the id of the entry that it undoes
    text                what the person wrote or accepted: a new target, a further right target
    given               the target that the person saw
    source              the row's source, for people
    source_fingerprint  of the source, by which the work of two people is merged
    who                 the name that the person gave; "" is none
    when                time in UTC, ISO 8601 with microseconds
    """

    action: str
    row: str
    text: str = ""
    given: str = ""
    source: str = ""
    source_fingerprint: str = ""
    who: str = ""
    when: str = ""

    @property
    def id(self) -> str:
        """The hash of the entry's content, by which it is known in every log that holds it."""
        return fingerprint(*(getattr(self, field.name) for field in fields(self)))


_NAMES = tuple(field.name for field in fields(Entry))


class AnnotationLog:
    """The log in the file `path`. Lines have checksums and are fsynced one by one; an incomplete last line is dropped.

    path  a JSON Lines file; it need not exist
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> tuple[Entry, ...]:
        """Every entry, oldest first. Raises CorruptError where a line was changed."""
        return read_entries(self.path)

    def active(self) -> tuple[Entry, ...]:
        """The entries that were not undone, oldest first."""
        return active_entries(self.entries())

    def append(self, action: str, row: Row, *, text: str = "", who: str = "", now: datetime | None = None) -> Entry:
        """Add an entry, which is on the disk when this returns.

        action  what is said
        row     about which
        text    what the person wrote or accepted
        who     the name that the person gave; "" is none
        now     time of the entry; default: the clock
        """
        entry = Entry(action, row.fingerprint, text, row.target, row.source, row.source_fingerprint, who)
        return self._append(entry, now)

    def undo(self, *, who: str = "", actions: frozenset[str] = frozenset(), now: datetime | None = None) -> Entry:
        """Take back the last entry of this person that still counts; returns it.

        who      the name under which it was made; "" is none
        actions  only entries of these actions; empty: of all
        now      time of the entry; default: the clock
        Raises ConfigError where there is none.
        """
        mine = [entry for entry in self.active() if entry.who == who and (not actions or entry.action in actions)]
        if not mine:
            raise ConfigError(
                _("there is nothing to undo of '{who}'", who=who) if who else _("there is nothing to undo"),
                where=str(self.path),
                do=_("Each person undoes entries of his own: give the name under which they were made."),
            )
        self._append(Entry(UNDO, mine[-1].id, who=who), now)
        return mine[-1]

    def merge(self, other: Path) -> int:
        """Add the entries of another person's log that this one lacks; returns how many. Merging again adds none.

        other  the log; entries without a name get that of the file, so that two people without names stay two
        Raises ConfigError where there is no such file, CorruptError where a line of it was changed.
        """
        if not other.is_file():
            raise ConfigError(_("there is no such file"), where=str(other), do=_("Name the log of the other person."))
        return self.adopt(_named(read_entries(other), other.name.split(".")[0]))

    def adopt(self, entries: Sequence[Entry]) -> int:
        """Add entries of another log as they are, those that this one lacks; returns how many.

        entries  of the other log
        """
        if not entries:
            return 0
        with self._appending() as journal:
            known = {entry.id for entry in self.entries()}
            added = [entry for entry in entries if entry.id not in known]
            for entry in added:
                journal.append(_line(entry), durable=entry is added[-1])
        return len(added)

    def take_back(self, entry: Entry, *, who: str = "", now: datetime | None = None) -> None:
        """Undo one entry, whoever made it.

        entry  of this log
        who    the name of the person who takes it back; "" is none
        now    time of the entry; default: the clock
        """
        self._append(Entry(UNDO, entry.id, who=who), now)

    def _append(self, entry: Entry, now: datetime | None) -> Entry:
        with self._appending() as journal:
            time = (now or datetime.now(UTC)).astimezone(UTC)
            last = max((old.when for old in self.entries()), default="")
            if last >= _iso(time):  # another machine's clock may be ahead: what is said later counts later
                time = datetime.fromisoformat(last) + timedelta(microseconds=1)
            made = replace(entry, when=_iso(time))
            journal.append(_line(made), durable=True)
        return made

    def _appending(self) -> AbstractContextManager[Journal]:
        return locked_journal(self.path, self.path.with_name(f".{self.path.name}.lock"))


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Every entry of a log, oldest first, each once; () where the file does not exist.

    path  of the log
    Raises CorruptError where a line was changed or is no entry.
    """
    lines = read_lines(path, _REQUIRED)
    found = (Entry(**{name: str(line[name]) for name in _NAMES if name in line}) for line in lines)
    unique = {entry.id: entry for entry in found}
    return tuple(sorted(unique.values(), key=lambda entry: (entry.when, entry.id)))


def active_entries(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The entries that were not undone; undoing an undo brings the entry back.

    entries  oldest first
    """
    undone: set[str] = set()
    kept = []
    for entry in reversed(entries):
        if entry.id in undone:
            continue
        if entry.action == UNDO:
            undone.add(entry.row)
        else:
            kept.append(entry)
    return tuple(reversed(kept))


def _named(entries: tuple[Entry, ...], name: str) -> list[Entry]:
    """The entries with a name each; what an undo of a renamed entry points to is renamed as well."""
    renamed = {entry.id: entry if entry.who else replace(entry, who=name) for entry in entries if entry.action != UNDO}
    ids = {old: entry.id for old, entry in renamed.items()}
    undos = [
        replace(entry, row=ids.get(entry.row, entry.row), who=entry.who or name)
        for entry in entries
        if entry.action == UNDO
    ]
    return sorted([*renamed.values(), *undos], key=lambda entry: (entry.when, entry.id))


def _line(entry: Entry) -> dict[str, str]:
    return {name: value for name, value in asdict(entry).items() if value}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
