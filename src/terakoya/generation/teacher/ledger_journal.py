"""The events in a ledger's journal, read and checked. One that is JSON but not a ledger's is refused, with its line.

intent    a request is about to be sent, to `teacher` where there are several; its maximum cost counts until an
          outcome follows
reply     the raw response, written before anything interprets it
cost      what was booked for that response (in older journals part of the reply)
lost      no response came; `sent` says whether the request may have left
given up  the request will not be sent again
batch     what is known of a batch of requests: planned, uploaded (its file), created (its id), ended (how)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.generation.teacher.protocol import RawResponse
from terakoya.generation.teacher.spending import Basis, Spending, TeacherAccount
from terakoya.i18n import _
from terakoya.runs import read_lines, require_values

_NUMBER, _COUNT = (int, float), (int, type(None))
_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "intent": {"step": str, "source": str, "reserved": int},
    "reply": {"status": int, "body": str, "seconds": _NUMBER, "type": str, "retry_after": str},
    "cost": {"cost": int, "by": str, "in": _COUNT, "out": _COUNT},
    "lost": {"fault": str, "cost": int},
    "given up": {"what": str},
    "batch": {"state": str, "value": str},
}
_BATCH_STATES = ("planned", "uploaded", "created", "ended")
_BASES = ("provider", "prices", "reserved", "at risk", "free")


@dataclass(slots=True)
class BatchState:
    """What a journal says about one batch of requests at the provider.

    state   "planned", "uploaded", "created" or "ended"
    file    id of its input file at the provider; "" before it is uploaded
    id      its id at the provider; "" before that is known
    open    attempts without an outcome → money reserved for each
    known   all of its attempts
    teacher name of the teacher in `teacher.pool`; "" for the only one
    """

    state: str = "planned"
    file: str = ""
    id: str = ""
    open: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    teacher: str = ""

    def record(self, state: str, value: str) -> None:
        """Take one event into account.

        state  what has happened
        value  what it names: a file, a batch
        """
        self.state = state
        if state == "uploaded":
            self.file = value
        elif state == "created":
            self.id = value


@dataclass(slots=True)
class LedgerState:
    """What a journal says was sent, received and booked.

    spending   money booked
    requests   requests sent, without those that certainly never left
    attempts   request key → attempts
    responses  request key → the latest response with HTTP 200
    abandoned  request key → why it will not be sent again
    flags      why a provider's values were not taken → number of responses
    batches    key of a batch → what is known of it
    accounts   name of a teacher ("" where the ledger names none) → what it was sent and has cost
    """

    spending: Spending = field(default_factory=Spending)
    requests: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    responses: dict[str, RawResponse] = field(default_factory=dict)
    abandoned: dict[str, str] = field(default_factory=dict)
    flags: Counter[str] = field(default_factory=Counter)
    batches: dict[str, BatchState] = field(default_factory=dict)
    accounts: defaultdict[str, TeacherAccount] = field(default_factory=lambda: defaultdict(TeacherAccount))

    def book(self, teacher: str, record: Mapping[str, Any], basis: Basis) -> None:
        """Book the cost of one response.

        teacher  who gave it
        record   its event
        basis    how well the amount is known
        """
        self.spending.book(record["cost"], basis)
        self.accounts[teacher].book(record["cost"], basis, record.get("in"), record.get("out"))

    def lose(self, teacher: str, amount: int, *, sent: bool) -> None:
        """Book a request without a response.

        teacher  to whom it was sent
        amount   billionths at risk
        sent     whether it may have left
        """
        self.spending.at_risk += amount
        self.accounts[teacher].spending.at_risk += amount
        self.requests -= not sent
        self.accounts[teacher].requests -= not sent

    def adopt(self, name: str) -> None:
        """Say who the teacher was of whom the ledger names none: it began with one, and has several now.

        name  of the teacher; "" changes nothing
        """
        if name and "" in self.accounts:
            self.accounts[name].add(self.accounts.pop(""))
        for batch in self.batches.values():
            batch.teacher = batch.teacher or name


def read_journal(path: Path) -> LedgerState:
    """The state after every event of the journal `path`; a request without an outcome counts as spent.

    Raises CorruptError with the line.
    """
    state = LedgerState()
    waiting: dict[str, int] = {}  # intents without an outcome
    teachers: dict[str, str] = {}  # to whom these were sent, where there are several
    uncosted: dict[str, tuple[int, int]] = {}  # replies whose cost is not booked: (reserved, status)
    for number, record in enumerate(read_lines(path, {"event": str, "id": str}), 1):
        event, attempt = record["event"], record["id"]
        if event not in _FIELDS:
            raise _wrong(path, number, _("line {number} has the unknown event '{event}'", number=number, event=event))
        require_values(record, _FIELDS[event], path, number)
        _require_amounts(record, path, number)
        key = attempt.rpartition(".")[0]
        if event == "batch":
            if record["state"] not in _BATCH_STATES:
                raise _wrong(path, number, _("line {number} has no valid '{name}'", number=number, name="state"))
            state.batches.setdefault(attempt, BatchState()).record(record["state"], record["value"])
        elif event == "given up":
            state.abandoned[key] = record["what"]
        elif event == "intent":
            if attempt in waiting:
                raise _wrong(path, number, _("line {number} repeats the intent of a request", number=number))
            teacher = record.get("teacher", "")
            if not isinstance(teacher, str):
                raise _wrong(path, number, _("line {number} has no valid '{name}'", number=number, name="teacher"))
            state.attempts[key] += 1
            state.requests += 1
            state.accounts[teacher].requests += 1
            waiting[attempt], teachers[attempt] = record["reserved"], teacher
            if isinstance(batch := record.get("batch"), str):
                known = state.batches.setdefault(batch, BatchState())
                known.known.add(attempt)
                known.teacher = teacher
        elif event == "cost":
            if uncosted.pop(attempt, None) is None:
                raise _wrong(path, number, _("line {number} books a cost without a response", number=number))
            _book(state, record, teachers.pop(attempt, ""))
        else:
            reserved = waiting.pop(attempt, None)
            if reserved is None:
                raise _wrong(path, number, _("line {number} is the outcome of no request", number=number))
            if event == "lost":
                _take_lost(state, record, reserved, teachers.pop(attempt, ""))
            else:
                _take_reply(state, record, key, reserved, uncosted, teachers)
    for attempt, reserved in waiting.items():
        state.lose(teachers[attempt], reserved, sent=True)
    for batch in state.batches.values():
        batch.open = {attempt: waiting[attempt] for attempt in waiting if attempt in batch.known}
    for attempt, (reserved, status) in uncosted.items():
        state.book(teachers.get(attempt, ""), {"cost": reserved}, "reserved" if status == 200 else "at risk")
    return state


def _take_lost(state: LedgerState, record: Mapping[str, Any], reserved: int, teacher: str) -> None:
    # Older journals do not say whether it was sent; they booked 0 for a request that was not.
    sent = bool(record.get("sent", bool(record["cost"] or not reserved)))
    state.lose(teacher, record["cost"], sent=sent)


def _take_reply(
    state: LedgerState,
    record: Mapping[str, Any],
    key: str,
    reserved: int,
    uncosted: dict[str, tuple[int, int]],
    teachers: dict[str, str],
) -> None:
    status = record["status"]
    if status == 200:
        state.responses[key] = RawResponse(
            200, record["body"], record["seconds"], record["type"], record["retry_after"]
        )
    if "cost" in record:
        _book(state, record, teachers.pop(record["id"], ""))
    else:
        uncosted[record["id"]] = (reserved, status)


def _book(state: LedgerState, record: Mapping[str, Any], teacher: str) -> None:
    basis: Basis = record["by"]
    if record.get("status", 200) != 200 and basis == "reserved":
        basis = "at risk"  # as older journals wrote it
    state.book(teacher, record, basis)
    if flag := record.get("flag"):
        state.flags[flag] += 1


def _require_amounts(record: Mapping[str, Any], path: Path, number: int) -> None:
    """Money and counts are whole and not negative; a cost says how it is known."""
    for name in ("cost", "reserved", "in", "out", "status"):
        value = record.get(name, 0)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise _wrong(path, number, _("line {number} has no valid '{name}'", number=number, name=name))
    if record["event"] in {"cost", "reply"} and record.get("by", "free") not in _BASES:
        raise _wrong(path, number, _("line {number} has no valid '{name}'", number=number, name="by"))
    if record["event"] == "reply" and ("cost" in record) != ("by" in record):
        raise _wrong(path, number, _("line {number} has no valid '{name}'", number=number, name="cost"))


def _wrong(path: Path, number: int, what: str) -> CorruptError:
    return CorruptError(
        what,
        where=f"{path}:{number}",
        do=_("The file was edited, or is not a ledger: restore it from a copy."),
    )
