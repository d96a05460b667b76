"""Corrected targets: what people decided about rows of a table, and the split that follows from it.

The table itself is never changed. A corrected row goes to the training split with origin "corrected", and with it all
rows of its group: an exam that held one of them would measure what was trained. Everything else stays where the table's
own split puts it, so that the exam before and the exam after share all their other items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from terakoya.annotation.log import AnnotationLog, Entry, Row, active_entries, read_entries
from terakoya.data.split import group_of
from terakoya.errors import ConfigError, CorruptError, DataError
from terakoya.i18n import _
from terakoya.records import Example, Finding, Split, fingerprint
from terakoya.runs.disk import write_bytes
from terakoya.runs.journal import journal_bytes

CORRECTED = "corrected"  # the origin of a corrected training row
Action = Literal["edit", "accept", "reject"]
ACTIONS: tuple[Action, ...] = ("edit", "accept", "reject")


@dataclass(frozen=True, slots=True)
class Decision:
    """What counts for one row.

    source    the row's source
    given     the target that it had
    target    the right target; `given` where it was confirmed or only a further right target accepted
    accepted  further right targets
    who       whose decisions they are
    when      time of the last of them
    """

    source: str
    given: str
    target: str
    accepted: tuple[str, ...]
    who: tuple[str, ...]
    when: str

    @property
    def changes(self) -> bool:
        """Whether the row is changed; where the given target was found right, it is not."""
        return self.target != self.given or bool(self.accepted)


@dataclass(frozen=True, slots=True)
class Conflict:
    """People gave different targets for one source: none of them counts until they agree.

    source   the source
    given    the target that the row has
    targets  name of each person → the target that he or she gave
    """

    source: str
    given: str
    targets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Corrections:
    """What the entries of a log come to.

    decisions  (fingerprint of the source, given target) → what counts
    conflicts  left to be decided
    """

    decisions: Mapping[tuple[str, str], Decision]
    conflicts: tuple[Conflict, ...] = ()

    @property
    def changed(self) -> int:
        """How many rows get another target or a further right target."""
        return sum(decision.changes for decision in self.decisions.values())


def corrections_path(table: Path) -> Path:
    """Where the corrections of a table are logged: beside it.

    table  the file
    """
    return table.with_name(f"{table.name}.corrections.jsonl")


def row_of(example: Example) -> Row:
    """The row that a correction is about.

    example  as the person sees it
    """
    return Row(example.source, example.target, example.fingerprint, example.source_fingerprint)


def correct_row(log: AnnotationLog, row: Row, action: Action, text: str = "", *, who: str = "") -> Entry:
    """Log a correction: "edit" gives a row another target, "accept" a further right target, "reject" confirms its own.

    log     of the table
    row     as the person sees it
    action  one of the three
    text    the new target, or the further right target
    who     the name that the person gave; "" is none
    Raises DataError for an edit or a further right target without text.
    """
    if action != "reject" and not text.strip():
        raise DataError(
            _("a target must not be empty"),
            where=row.source[:80],
            do=_("Write the right target, or reject the prediction: the row keeps its own."),
        )
    if action != "reject" and text == row.target:
        action, text = "reject", ""
    return log.append(action, row, text="" if action == "reject" else text, who=who)


def read_corrections(path: Path) -> Corrections:
    """What the log in the file `path` comes to. Raises ConfigError where there is no such file.

    path  of a log, or of what `freeze` wrote
    """
    if not path.is_file():
        raise ConfigError(
            _("there is no such file"),
            where=str(path),
            do=_("Name a file of corrections in task.corrections, or leave it out."),
        )
    return resolve(read_entries(path))


def resolve(entries: Iterable[Entry]) -> Corrections:
    """Each person's last word on each row; where the words of two people differ, a conflict.

    entries  of one or several logs
    """
    last: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in active_entries(tuple(sorted(entries, key=lambda one: (one.when, one.id)))):
        if entry.action in ACTIONS:
            said = last.setdefault((entry.source_fingerprint, entry.given), {})
            said[entry.who] = entry
    decisions, conflicts = {}, []
    for key, said in last.items():
        targets = {who: _target(entry) for who, entry in said.items()}
        first = next(iter(said.values()))
        if len(set(targets.values())) > 1:
            conflicts.append(Conflict(first.source, first.given, targets))
            continue
        accepted = tuple(dict.fromkeys(entry.text for entry in said.values() if entry.action == "accept"))
        when = max(entry.when for entry in said.values())
        decisions[key] = Decision(first.source, first.given, _target(first), accepted, tuple(said), when)
    return Corrections(decisions, tuple(conflicts))


def _target(entry: Entry) -> str:
    return entry.text if entry.action == "edit" else entry.given


def corrected(example: Example, corrections: Corrections) -> Example:
    """The example with its right target and further right targets; itself where nothing was said about it.

    example      of a table
    corrections  of that table
    """
    target, accepted, when = example.target, dict.fromkeys(example.accepted), ""
    # A row corrected before one training may be corrected again before the next: the person then saw the new target.
    while (found := corrections.decisions.get((example.source_fingerprint, target))) and found.when > when:
        accepted |= dict.fromkeys(found.accepted)
        when = found.when
        if found.target == target:
            break
        target = found.target
    accepted.pop(target, None)
    if target == example.target and tuple(accepted) == example.accepted:
        return example
    return replace(example, target=target, accepted=tuple(accepted), origin=CORRECTED, subset="")


def correct_split(split: Split, corrections: Corrections) -> Split:
    """The split with corrected rows in train; nothing of their groups stays in dev or exam, and all others stay there.

    split        of the table as it is
    corrections  of the table
    """
    parts = {name: [corrected(row, corrections) for row in getattr(split, name)] for name in ("train", "dev", "exam")}
    groups = {
        group_of(old)
        for name, rows in parts.items()
        for old, new in zip(getattr(split, name), rows, strict=True)
        if new is not old
    }
    known = {row.fingerprint for row in parts["train"]}
    moved = []
    for name in ("dev", "exam"):
        for row in parts[name]:
            # What the exam holds of the training rows on purpose is there already.
            if group_of(row) in groups and row.fingerprint not in known:
                moved.append(replace(row, subset=""))
                known.add(row.fingerprint)
        parts[name] = [row for row in parts[name] if group_of(row) not in groups]
    return replace(split, train=(*parts["train"], *moved), dev=tuple(parts["dev"]), exam=tuple(parts["exam"]))


def corrections_finding(before: Split, corrections: Corrections, file: str) -> Finding | None:
    """What was corrected, and what could not be; None where the file holds nothing.

    before       the split of the table as it is
    corrections  of the table
    file         that they are read from
    """
    rows = [*before.train, *before.dev, *before.exam]
    moved = len(before.dev) + len(before.exam)
    after = correct_split(before, corrections)
    moved -= len(after.dev) + len(after.exam)
    count = sum(corrected(row, corrections) is not row for row in rows)
    sources = {row.source_fingerprint for row in rows}
    lost = sum(decision.changes and key[0] not in sources for key, decision in corrections.decisions.items())
    open_count = len(corrections.conflicts)
    if not (count or lost or open_count):
        return None
    level: Literal["note", "warn"] = "warn" if lost or open_count else "note"
    return Finding(
        "corrections",
        level,
        _(
            "{count} rows are corrected and in train, {moved} of them from dev and exam or of the group of such a "
            "row; {lost} corrections are of no row of this data, {open_count} are not decided and not used",
            count=count,
            moved=moved,
            lost=lost,
            open_count=open_count,
        ),
        where=file,
        do=_("Let those who disagree agree on one target.") if open_count else "",
        values={"rows": float(count), "moved": float(moved), "lost": float(lost), "undecided": float(open_count)},
    )


def freeze(log: AnnotationLog) -> Path:
    """Write the corrections that count now into a file of their own, for a run to be trained with.

    log  of a table
    The log goes on growing; this file does not, so that a run finds again what it was trained with. Its name holds a
    hash of its content. Returns it, read back and verified. Raises ConfigError where nothing is corrected.
    """
    entries = log.active()
    now = resolve(entries)
    kept = [entry for entry in entries if (entry.source_fingerprint, entry.given) in now.decisions]
    if not now.changed:
        raise ConfigError(
            _("no correction is to be used yet"),
            where=str(log.path),
            do=_("Correct a row first; where people gave different targets, let them agree."),
        )
    digest = fingerprint(*(entry.id for entry in kept))[:8]
    path = log.path.with_name(f"{log.path.name.removesuffix('.jsonl')}-{digest}.jsonl")
    lines: Sequence[Mapping[str, str]] = [_plain(entry) for entry in kept]
    write_bytes(path, journal_bytes(lines))
    if read_corrections(path).decisions != now.decisions:
        raise CorruptError(_("this file does not hold what was written"), where=str(path), do=_("Check the disk."))
    return path


def _plain(entry: Entry) -> dict[str, str]:
    values = {name: getattr(entry, name) for name in entry.__slots__}
    return {name: value for name, value in values.items() if value}
