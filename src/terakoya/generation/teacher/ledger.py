"""Append-only ledger of paid requests: no response is lost or paid for twice, and the spending cap is never exceeded.

Order of durability: (1) disk space is reserved, (2) the intent with its maximum cost is written and fsynced, one fsync
for all that wait, (3) the request is sent, (4) the raw response is written as soon as it arrives, before anything
interprets it, (5) its cost is written, fsynced within a quarter of a second, (6) the SQLite index is updated later and
can be rebuilt. The journal is authoritative; an intent without an outcome counts as spent. A kill loses nothing that
was written; a power failure at most the responses of the last quarter of a second, whose intents are there.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from terakoya.errors import BudgetError, DiskError
from terakoya.generation.teacher.ledger_journal import read_journal
from terakoya.generation.teacher.protocol import NANO, NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.spending import (
    NO_CAP,
    RequestCost,
    Reservation,
    SpendingCap,
    TeacherAccount,
)
from terakoya.i18n import Message, _, joined
from terakoya.runs import Journal, disk_faults

JOURNAL = "journal.jsonl"
_RESERVE = ".reserve"
_fsync = getattr(os, "fdatasync", os.fsync)
_SYNC_EVERY = 0.25  # seconds
NO_CAPS: Mapping[str, SpendingCap] = MappingProxyType({})
_PER_RESPONSE = 64 * 1024  # bytes reserved for one pending response, besides 32 per token


class CapReached(BudgetError):
    """The cap of one teacher is exhausted, not that of the whole generation."""


class Ledger:
    """The ledger in `folder`. One writer (the generation's lock guarantees it); opening reads the whole journal.

    cap             what may be spent
    max_concurrent  requests that may be pending at once, and
    max_tokens      tokens per response: both determine the disk space reserved
    caps            name of a teacher → what may be spent on it, besides `cap`
    first_teacher   name of the teacher with which the ledger began, before it named any; "" where it has one only
    """

    def __init__(
        self,
        folder: Path,
        cap: SpendingCap = NO_CAP,
        *,
        max_concurrent: int = 64,
        max_tokens: int = 256,
        caps: Mapping[str, SpendingCap] = NO_CAPS,
        first_teacher: str = "",
    ) -> None:
        self.path, self._cap, self._caps = folder / JOURNAL, cap, caps
        self._state = read_journal(self.path)
        if first_teacher:
            self._state.adopt(first_teacher)
        self._overruns: Counter[str] = Counter()  # teacher → billionths that a response cost more than was reserved
        self._reserved: Counter[str] = Counter()  # teacher → billionths of its open reservations
        self._pending: Counter[str] = Counter()  # teacher → number of them
        self._open: dict[str, int] = {}  # own intents whose cost is not booked: id → maximum cost
        self._disk_error: DiskError | None = None
        self._fsync_failed = False
        self._freed = asyncio.Event()
        self._synced = 0.0
        self._syncing: asyncio.Task[None] | None = None
        self._written = self._flushed = 0  # lines written, and lines that are certainly on the disk
        self._reserve = folder / _RESERVE
        self._reserved_bytes = max_concurrent * (_PER_RESPONSE + 32 * max_tokens)
        _reserve_space(self._reserve, self._reserved_bytes)
        _private(self.path)
        # The journal's own fsyncs would block the event loop; these run beside it and are shared.
        self._journal = Journal(self.path, every=float("inf"))
        self._handle = os.open(self.path, os.O_RDWR)

    @property
    def spent(self) -> int:
        """Billionths charged, as reported or as estimated."""
        return self._state.spending.reported + self._state.spending.estimated

    @property
    def reported(self) -> int:
        """The part of `spent` that the provider reported."""
        return self._state.spending.reported

    @property
    def at_risk(self) -> int:
        """Billionths for requests that were sent and failed: possibly charged, and booked in full."""
        return self._state.spending.at_risk

    @property
    def requests(self) -> int:
        """Requests sent, or about to be."""
        return self._state.requests

    @property
    def flags(self) -> Mapping[str, int]:
        """Why a provider's own values were not taken → number of responses."""
        return self._state.flags

    @property
    def committed(self) -> int:
        """All that is or may be spent, in billionths: known costs, costs at risk, and reservations."""
        return self._state.spending.total + sum(self._open.values())

    @property
    def accounts(self) -> Mapping[str, TeacherAccount]:
        """Name of a teacher → what it was sent and has cost; "" where there is one only."""
        return self._state.accounts

    def overrun(self, teacher: str = "") -> int:
        """Billionths by which a response of `teacher` cost more than was reserved for it."""
        return self._overruns[teacher]

    def attempts(self, key: str) -> int:
        """How often the request `key` was sent, or was about to be."""
        return self._state.attempts.get(key, 0)

    @property
    def response_count(self) -> int:
        """Number of successful responses stored."""
        return len(self._state.responses)

    def response(self, key: str) -> RawResponse | None:
        """The stored raw response to the request `key` (the latest with HTTP 200); None if there is none."""
        return self._state.responses.get(key)

    def abandoned_reason(self, key: str) -> str:
        """Why the request `key` was abandoned, "" if it was not. A resumed generation does not send it either."""
        return self._state.abandoned.get(key, "")

    def record_abandoned(self, key: str, what: str) -> None:
        """Record that the request `key` will not be sent again, because of `what`."""
        self._state.abandoned[key] = what
        self._write({"event": "given up", "id": f"{key}.0", "what": what})

    async def reserve(self, request: TeacherRequest, max_cost: int) -> Reservation:
        """Reserve `max_cost` billionths for `request`; wait while pending ones may free money.

        Returns once the intent is on the disk: what is sent afterwards is known even after a power failure.

        Raises BudgetError where the cap is exhausted, DiskError where the disk is full.
        """
        while not self._fits(max_cost, request.teacher):
            if not self._may_free(max_cost, request.teacher):
                raise self._exhausted(max_cost, request.teacher)
            self._freed.clear()
            await self._freed.wait()
        if self._disk_error is not None:
            raise self._disk_error
        try:
            reservation = self._intend(request, max_cost)
        except DiskError as error:
            self._disk_error = error
            raise
        try:
            await self._durable()
        except (DiskError, asyncio.CancelledError):
            self.record_failure(reservation, NoResponse("not sent", sent=False))
            raise
        return reservation

    def _intend(self, request: TeacherRequest, max_cost: int, **more: str) -> Reservation:
        """Write the intent of `request`, with `more` fields, and reserve its money. Raises DiskError."""
        self._state.attempts[request.key] += 1
        attempt = f"{request.key}.{self._state.attempts[request.key]}"
        named = {"teacher": request.teacher} if request.teacher else {}
        intent = {"event": "intent", "id": attempt, "step": request.step, "source": request.source}
        self._write({**intent, "reserved": max_cost, **named, **more})
        self._state.requests += 1
        self._state.accounts[request.teacher].requests += 1
        self._hold(attempt, max_cost, request.teacher)
        return Reservation(attempt, request.key, max_cost, request.teacher)

    def _hold(self, attempt: str, max_cost: int, teacher: str) -> None:
        self._open[attempt] = max_cost
        self._reserved[teacher] += max_cost
        self._pending[teacher] += 1

    def record_response(self, reservation: Reservation, reply: RawResponse) -> None:
        """Store the raw response `reply` for `reservation` at once, before it is interpreted; `record_cost` follows.

        On a full disk the reserved space is used, and `disk_error` is set.
        """
        record = {
            "event": "reply",
            "id": reservation.id,
            "status": reply.status,
            "body": reply.body,
            "seconds": reply.seconds,
            "type": reply.content_type,
            "retry_after": reply.retry_after,
        }
        self._write_with_reserve(record)
        if reply.status == 200:
            self._state.responses[reservation.key] = reply

    def record_cost(self, reservation: Reservation, cost: RequestCost) -> None:
        """Book `cost` for the response to `reservation`."""
        record = {"event": "cost", "id": reservation.id, "cost": cost.amount, "by": cost.basis}
        flag = {"flag": cost.flag} if cost.flag else {}
        record |= {"in": cost.tokens_in, "out": cost.tokens_out, **flag}
        self._write_with_reserve(record)
        teacher = reservation.teacher
        self._state.book(teacher, record, cost.basis)
        if cost.flag:
            self._state.flags[cost.flag] += 1
        if self._cap.money is not None or self._caps.get(teacher, NO_CAP).money is not None:
            self._overruns[teacher] = max(self._overruns[teacher], cost.amount - reservation.max_cost)
        self._release(reservation)

    def record_failure(self, reservation: Reservation, lost: NoResponse) -> None:
        """Record for `reservation` that no response arrived. Where the request may have been sent (`lost.sent`), its
        maximum cost counts as spent; where it certainly was not, nothing does, and no cap counts it."""
        cost = reservation.max_cost if lost.sent else 0
        try:
            self._write({"event": "lost", "id": reservation.id, "fault": lost.fault, "cost": cost, "sent": lost.sent})
        except DiskError as error:
            # The intent stands; without an outcome it counts as spent, which is never too little.
            self._disk_error, cost = error, reservation.max_cost
        self._state.lose(reservation.teacher, cost, sent=bool(cost or lost.sent))
        self._release(reservation)

    @property
    def disk_error(self) -> DiskError | None:
        """The first disk error, after which nothing more is sent."""
        return self._disk_error

    async def close(self) -> None:
        """Flush everything to the disk and release the reserved space."""
        try:
            if self._syncing is not None:
                await self._syncing
            self._journal.close()
        finally:
            os.close(self._handle)
            self._reserve.unlink(missing_ok=True)

    def _fits(self, max_cost: int, teacher: str = "") -> bool:
        return self._fits_whole(max_cost) and self._fits_teacher(max_cost, teacher)

    def _fits_whole(self, max_cost: int) -> bool:
        return _fits(self._cap, max_cost, self.requests, self.committed)

    def _fits_teacher(self, max_cost: int, teacher: str) -> bool:
        cap = self._caps.get(teacher)
        if cap is None:
            return True
        account = self._state.accounts[teacher]
        return _fits(cap, max_cost, account.requests, account.spending.total + self._reserved[teacher])

    def _may_free(self, max_cost: int, teacher: str) -> bool:
        """Whether a pending request may free what is missing."""
        if not self._fits_teacher(max_cost, teacher):
            return self._pending[teacher] > 0
        return bool(self._open)

    def _exhausted(self, max_cost: int, teacher: str = "") -> BudgetError:
        # The cap of the whole decides where both are met: raising that of the teacher would not help.
        own = self._fits_whole(max_cost)
        cap = self._caps.get(teacher, NO_CAP) if own else self._cap
        requests = self._state.accounts[teacher].requests if own else self.requests
        spending = self._state.accounts[teacher].spending if own else self._state.spending
        if cap.requests and requests >= cap.requests:
            what = _("all {requests:,} requests are used", requests=cap.requests)
        else:
            left, next_cost = ((cap.money or 0) - spending.total) / NANO, max_cost / NANO
            what = _(
                "the next request may cost {next_cost:.6f}, and {left:.6f} is left", next_cost=next_cost, left=left
            )
        section = f"teacher.pool.{teacher}" if own and teacher else "teacher"
        error = CapReached if own and teacher else BudgetError
        return error(
            what,
            where=str(self.path),
            saved=joined(" ", (_("{kept:,} responses are kept.", kept=self.response_count), self.summary())),
            do=_(
                "Raise {section}.budget or {section}.requests and run the same command: no response is paid for twice.",
                section=section,
            ),
        )

    def summary(self, currency: str = "") -> Message:
        """What was spent, in one sentence: as reported, as estimated, at risk.

        currency  named behind the total
        """
        spending = self._state.spending
        shown_currency = f" {currency}" if currency else ""
        return _(
            "Spent {total:.6f}{currency}: {reported:.6f} charged as reported, {estimated:.6f} charged as estimated, "
            "{at_risk:.6f} at risk (sent without a usable outcome; counts as spent).",
            total=self.committed / NANO,
            currency=shown_currency,
            reported=spending.reported / NANO,
            estimated=spending.estimated / NANO,
            at_risk=(self.committed - self.spent) / NANO,
        )

    def _release(self, reservation: Reservation) -> None:
        if reservation.id in self._open:
            self._reserved[reservation.teacher] -= self._open.pop(reservation.id)
            self._pending[reservation.teacher] -= 1
        self._freed.set()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._journal.append(record)
        self._written += 1
        self._sync_soon()

    def _write_with_reserve(self, record: Mapping[str, Any]) -> None:
        """Write what was paid for: on a full disk into the space that was reserved for it."""
        try:
            self._write(record)
        except DiskError as error:
            self._disk_error = error
            self._reserve.unlink(missing_ok=True)
            self._write(record)

    async def _durable(self) -> None:
        """Wait for an fsync that began after the last line was written; all who wait share it. Raises DiskError."""
        wanted = self._written
        while self._flushed < wanted and self._disk_error is None:
            if self._syncing is None or self._syncing.done():
                self._syncing = asyncio.get_running_loop().create_task(self._sync())
            await asyncio.shield(self._syncing)
        if self._disk_error is not None:
            raise self._disk_error

    def _sync_soon(self) -> None:
        """Fsync outside the event loop at least every quarter of a second; only a power failure needs it."""
        if self._fsync_failed:
            return
        if self._syncing is None or (self._syncing.done() and time.monotonic() - self._synced >= _SYNC_EVERY):
            self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        """A failed fsync is never tried again: the kernel may have dropped what it could not write."""
        self._synced, written = time.monotonic(), self._written
        try:
            with disk_faults(self.path):
                await asyncio.get_running_loop().run_in_executor(None, _fsync, self._handle)
            self._flushed = max(self._flushed, written)
        except DiskError as error:
            self._disk_error, self._fsync_failed = error, True


def _fits(cap: SpendingCap, max_cost: int, requests: int, committed: int) -> bool:
    """Whether one more request of at most `max_cost` fits the `cap`, beside what is used."""
    if cap.requests and requests >= cap.requests:
        return False
    return cap.money is None or committed + max_cost <= cap.money


def _private(path: Path) -> None:
    """Raw traffic is readable by its owner only."""
    with disk_faults(path), suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _reserve_space(path: Path, size: int) -> None:
    """Reserve space for every pending response before the first request. Raises DiskError with the bytes needed."""
    with disk_faults(path, size):
        try:
            handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(handle, 0, size)
                else:  # macOS and Windows: only what is written is certainly there
                    os.write(handle, b"\0" * size)
            finally:
                os.close(handle)
        except OSError:
            path.unlink(missing_ok=True)
            raise
