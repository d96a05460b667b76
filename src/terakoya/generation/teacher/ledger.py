"""Append-only ledger of paid requests: no response is lost or paid for twice, and the spending cap is never exceeded.

Order of durability: (1) disk space is reserved, (2) the intent with its maximum cost is written, (3) the request is
sent, (4) the raw response is written as soon as it arrives, (5) fsyncs are shared, four per second, (6) the SQLite
index is updated later and can be rebuilt. The journal is authoritative; an intent without an outcome counts as spent. A
kill loses nothing that was written; a power failure at most the last quarter of a second.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import BudgetError, DiskError
from terakoya.generation.teacher.protocol import NANO, NoResponse, RawResponse, TeacherRequest
from terakoya.i18n import both, japanese
from terakoya.runs import Journal, disk_faults, read_lines

JOURNAL = "journal.jsonl"
_RESERVE = ".reserve"
_fsync = getattr(os, "fdatasync", os.fsync)
_SYNC_EVERY = 0.25  # seconds
_PER_RESPONSE = 64 * 1024  # bytes reserved for one pending response, besides 32 per token


@dataclass(frozen=True, slots=True)
class SpendingCap:
    """What may be spent.

    money     in billionths of the currency; None: no limit
    requests  number of requests; 0: no limit
    """

    money: int | None = None
    requests: int = 0


NO_CAP = SpendingCap()


@dataclass(frozen=True, slots=True)
class Reservation:
    """Permission to send one request once; its intent has been written.

    id        the request's key and the number of the attempt
    key       the request's key
    max_cost  money reserved, in billionths
    """

    id: str
    key: str
    max_cost: int


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What one attempt cost.

    amount      in billionths of the currency
    basis       "provider" (as reported), "prices" (from token counts), "reserved" (charged, amount unknown) or "free"
    tokens_in   prompt tokens, None where not reported
    tokens_out  response tokens, None where not reported
    """

    amount: int
    basis: str  # "provider" | "prices" | "reserved" (charged, amount unknown) | "free"
    tokens_in: int | None = None
    tokens_out: int | None = None


class Ledger:
    """The ledger in `folder`. One writer (the generation's lock guarantees it); opening reads the whole journal.

    cap             what may be spent
    max_concurrent  requests that may be pending at once, and
    max_tokens      tokens per response: both determine the disk space reserved
    """

    def __init__(
        self, folder: Path, cap: SpendingCap = NO_CAP, *, max_concurrent: int = 64, max_tokens: int = 256
    ) -> None:
        self.path, self._cap = folder / JOURNAL, cap
        self.spent = self.lost = self.requests = 0  # billionths; lost: possibly charged, without an outcome
        self.overrun = 0  # billionths by which a response cost more than was reserved for it
        self._open: dict[str, int] = {}  # own intents without an outcome: id → maximum cost
        self._responses: dict[str, RawResponse] = {}
        self._abandoned: dict[str, str] = {}
        self._attempts: Counter[str] = Counter()
        self._disk_error: DiskError | None = None
        self._freed = asyncio.Event()
        self._synced = 0.0
        self._syncing: asyncio.Task[None] | None = None
        self._read()
        self._reserve = folder / _RESERVE
        self._reserved_bytes = max_concurrent * (_PER_RESPONSE + 32 * max_tokens)
        _reserve_space(self._reserve, self._reserved_bytes)
        _private(self.path)
        # The journal's own fsyncs would block the event loop; these run beside it and are shared.
        self._journal = Journal(self.path, every=float("inf"))
        self._handle = os.open(self.path, os.O_RDWR)

    @property
    def committed(self) -> int:
        """All that is or may be spent, in billionths: known costs, unknown ones, and reservations."""
        return self.spent + self.lost + sum(self._open.values())

    @property
    def response_count(self) -> int:
        """Number of successful responses stored."""
        return len(self._responses)

    def response(self, key: str) -> RawResponse | None:
        """The stored raw response to the request `key` (the latest with HTTP 200); None if there is none."""
        return self._responses.get(key)

    def abandoned_reason(self, key: str) -> str:
        """Why the request `key` was abandoned, "" if it was not. A resumed generation does not send it either."""
        return self._abandoned.get(key, "")

    def record_abandoned(self, key: str, what: str) -> None:
        """Record that the request `key` will not be sent again, because of `what`."""
        self._abandoned[key] = what
        self._write({"event": "given up", "id": f"{key}.0", "what": what})

    async def reserve(self, request: TeacherRequest, max_cost: int) -> Reservation:
        """Reserve `max_cost` billionths for `request` and write the intent; wait while pending ones may free money.

        Raises BudgetError where the cap is exhausted, DiskError where the disk is full.
        """
        while not self._fits(max_cost):
            if not self._open:
                raise self._exhausted(max_cost)
            self._freed.clear()
            await self._freed.wait()
        if self._disk_error is not None:
            raise self._disk_error
        self._attempts[request.key] += 1
        reservation = Reservation(f"{request.key}.{self._attempts[request.key]}", request.key, max_cost)
        self._open[reservation.id] = max_cost
        self.requests += 1
        try:
            self._write(
                {
                    "event": "intent",
                    "id": reservation.id,
                    "step": request.step,
                    "source": request.source,
                    "reserved": max_cost,
                }
            )
        except DiskError as error:
            self._disk_error = error
            self._release(reservation)
            raise
        return reservation

    def record_response(self, reservation: Reservation, reply: RawResponse, cost: RequestCost) -> None:
        """Store the raw response `reply` and its `cost` for `reservation` at once.

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
            "cost": cost.amount,
            "by": cost.basis,
            "in": cost.tokens_in,
            "out": cost.tokens_out,
        }
        try:
            self._write(record)
        except DiskError as error:
            self._disk_error = error
            self._reserve.unlink(missing_ok=True)
            self._write(record)
        self.spent += cost.amount
        if self._cap.money is not None:
            self.overrun = max(self.overrun, cost.amount - reservation.max_cost)
        if reply.status == 200:
            self._responses[reservation.key] = reply
        self._release(reservation)

    def record_failure(self, reservation: Reservation, lost: NoResponse) -> None:
        """Record for `reservation` that no response arrived. Where the request may have been sent (`lost.sent`), its
        maximum cost counts as spent."""
        cost = reservation.max_cost if lost.sent else 0
        try:
            self._write({"event": "lost", "id": reservation.id, "fault": lost.fault, "cost": cost})
        except DiskError as error:
            # The intent stands; without an outcome it counts as spent, which is never too little.
            self._disk_error, cost = error, reservation.max_cost
        self.lost += cost
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

    def _fits(self, max_cost: int) -> bool:
        if self._cap.requests and self.requests >= self._cap.requests:
            return False
        return self._cap.money is None or self.committed + max_cost <= self._cap.money

    def _exhausted(self, max_cost: int) -> BudgetError:
        spent, lost, requests = (self.spent + self.lost) / NANO, self.lost / NANO, self._cap.requests
        if requests and self.requests >= requests:
            what = both(f"all {requests:,} requests are used", f"要求{requests:,}回をすべて使った")
        else:
            left, next_cost = (self._cap.money or 0) / NANO - spent, max_cost / NANO
            what = both(
                f"the next request may cost {next_cost:.6f}, and {left:.6f} is left",
                f"次の要求の費用は最大 {next_cost:.6f} で、残りは {left:.6f} である",
            )
        kept = self.response_count
        unknown = (
            both(
                f" (of which {lost:.6f} has no recorded outcome and counts as spent)",
                f"（うち {lost:.6f} は結果が不明で、支出として数える）",
            )
            if lost
            else ""
        )
        return BudgetError(
            what,
            where=str(self.path),
            saved=both(
                f"{kept:,} responses are kept; spent {spent:.6f}{unknown}.",
                f"応答{kept:,}件は保存済み。支出は {spent:.6f}{japanese(unknown)}。",
            ),
            do=both(
                "Raise teacher.budget or teacher.requests and run the same command: no response is paid for twice.",
                "teacher.budget か teacher.requests を上げて、同じコマンドを実行すること。"
                "同じ応答に二度支払うことはない。",
            ),
        )

    def _release(self, reservation: Reservation) -> None:
        self._open.pop(reservation.id, None)
        self._freed.set()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._journal.append(record)
        self._sync_soon()

    def _sync_soon(self) -> None:
        """Fsync outside the event loop at most every quarter of a second; only a power failure needs it."""
        if self._syncing is None or (self._syncing.done() and time.monotonic() - self._synced >= _SYNC_EVERY):
            self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        """A failed fsync is never tried again: the kernel may have dropped what it could not write."""
        self._synced = time.monotonic()
        try:
            with disk_faults(self.path):
                await asyncio.get_running_loop().run_in_executor(None, _fsync, self._handle)
        except DiskError as error:
            self._disk_error = error

    def _read(self) -> None:
        waiting: dict[str, int] = {}
        for record in read_lines(self.path):
            attempt = record["id"]
            key = attempt.rpartition(".")[0]
            if record["event"] == "intent":
                self._attempts[key] += 1
                self.requests += 1
                waiting[attempt] = record["reserved"]
                continue
            waiting.pop(attempt, None)
            if record["event"] == "given up":
                self._abandoned[key] = record["what"]
                continue
            if record["event"] == "lost":
                self.lost += record["cost"]
                continue
            self.spent += record["cost"]
            if record["status"] == 200:
                self._responses[key] = RawResponse(
                    200, record["body"], record["seconds"], record["type"], record["retry_after"]
                )
        self.lost += sum(waiting.values())


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
