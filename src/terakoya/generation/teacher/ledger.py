"""What was asked, answered and paid. Nothing bought is lost, nothing is bought twice, the cap is hard.

Order of durability: (1) room on the disk is set aside, (2) the intent with its worst-case cost is written, (3) the
request is sent, (4) the raw answer is written the moment it is there, (5) fsyncs are shared, four a second, (6) the
SQLite index comes afterwards and can be made again. The journal is the truth; an intent without an outcome counts as
spent. A kill takes nothing that was written; a power cut can take a quarter of a second.
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
from terakoya.generation.teacher.protocol import NANO, Ask, Lost, Reply
from terakoya.i18n import both, japanese
from terakoya.runs import Journal, disk_faults, read_lines

JOURNAL = "journal.jsonl"
_RESERVE = ".reserve"
_fsync = getattr(os, "fdatasync", os.fsync)
_SYNC_EVERY = 0.25  # seconds
_PER_ANSWER = 64 * 1024  # bytes set aside for one answer under way, beside 32 a token


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be spent: money in billionths (None: only `requests` bounds), requests (0: only money bounds)."""

    money: int | None = None
    requests: int = 0


UNBOUND = Cap()


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to send one request once: its intent is written."""

    id: str
    key: str
    worst: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one attempt cost, in billionths, and how that is known."""

    amount: int
    by: str  # "provider" | "prices" | "reserved" (charged, amount unknown) | "free"
    tokens_in: int | None = None
    tokens_out: int | None = None


class Ledger:
    """One writer (the generation's lock sees to it). Opening reads the whole journal."""

    def __init__(self, folder: Path, cap: Cap = UNBOUND, *, under_way: int = 64, max_tokens: int = 256) -> None:
        self.path, self._cap = folder / JOURNAL, cap
        self.spent = self.lost = self.requests = 0  # billionths; lost: charged perhaps, without an outcome
        self.overrun = 0  # billionths by which an answer cost more than was set aside for it
        self._open: dict[str, int] = {}  # intents of ours without an outcome: id → worst cost
        self._replies: dict[str, Reply] = {}
        self._given_up: dict[str, str] = {}
        self._attempts: Counter[str] = Counter()
        self._full: DiskError | None = None
        self._settled = asyncio.Event()
        self._synced = 0.0
        self._syncing: asyncio.Task[None] | None = None
        self._read()
        self._reserve = folder / _RESERVE
        self._reserved_bytes = under_way * (_PER_ANSWER + 32 * max_tokens)
        _set_aside(self._reserve, self._reserved_bytes)
        _private(self.path)
        # The journal's own fsyncs would hold up the event loop; ours run beside it and are shared.
        self._journal = Journal(self.path, every=float("inf"))
        self._handle = os.open(self.path, os.O_RDWR)

    @property
    def committed(self) -> int:
        """All that is or may be spent: known costs, unknown ones, and what is under way."""
        return self.spent + self.lost + sum(self._open.values())

    @property
    def answers(self) -> int:
        return len(self._replies)

    def reply(self, key: str) -> Reply | None:
        """The raw reply that was bought for this request, if one was (the latest with HTTP 200)."""
        return self._replies.get(key)

    def given_up(self, key: str) -> str:
        """Why no answer to this request will come; "" while it may. A resumed generation goes the same way."""
        return self._given_up.get(key, "")

    def give_up(self, key: str, what: str) -> None:
        self._given_up[key] = what
        self._write({"event": "given up", "id": f"{key}.0", "what": what})

    async def intend(self, ask: Ask, worst: int) -> Ticket:
        """Set `worst` aside and write the intent down. Waits while answers under way may free money.

        Raises BudgetError when the cap leaves no room, DiskError when the disk does not.
        """
        while not self._fits(worst):
            if not self._open:
                raise self._exhausted(worst)
            self._settled.clear()
            await self._settled.wait()
        if self._full is not None:
            raise self._full
        self._attempts[ask.key] += 1
        ticket = Ticket(f"{ask.key}.{self._attempts[ask.key]}", ask.key, worst)
        self._open[ticket.id] = worst
        self.requests += 1
        try:
            self._write({"event": "intent", "id": ticket.id, "step": ask.step, "source": ask.source, "reserved": worst})
        except DiskError as error:
            self._full = error
            self._settle(ticket)
            raise
        return ticket

    def answered(self, ticket: Ticket, reply: Reply, cost: Cost) -> None:
        """Keep the raw reply at once. On a full disk it goes into the room set aside, and nothing more is asked."""
        record = {
            "event": "reply",
            "id": ticket.id,
            "status": reply.status,
            "body": reply.body,
            "seconds": reply.seconds,
            "type": reply.content_type,
            "retry_after": reply.retry_after,
            "cost": cost.amount,
            "by": cost.by,
            "in": cost.tokens_in,
            "out": cost.tokens_out,
        }
        try:
            self._write(record)
        except DiskError as error:
            self._full = error
            self._reserve.unlink(missing_ok=True)
            self._write(record)
        self.spent += cost.amount
        if self._cap.money is not None:
            self.overrun = max(self.overrun, cost.amount - ticket.worst)
        if reply.status == 200:
            self._replies[ticket.key] = reply
        self._settle(ticket)

    def failed(self, ticket: Ticket, lost: Lost) -> None:
        """No whole reply. What was sent counts as spent in full."""
        cost = ticket.worst if lost.sent else 0
        try:
            self._write({"event": "lost", "id": ticket.id, "fault": lost.fault, "cost": cost})
        except DiskError as error:
            # The intent stands; without an outcome it counts as spent, which is never too little.
            self._full, cost = error, ticket.worst
        self.lost += cost
        self._settle(ticket)

    @property
    def full(self) -> DiskError | None:
        """The disk's refusal, once it refused."""
        return self._full

    async def close(self) -> None:
        """Everything on the disk; the room set aside is given back."""
        try:
            if self._syncing is not None:
                await self._syncing
            self._journal.close()
        finally:
            os.close(self._handle)
            self._reserve.unlink(missing_ok=True)

    def _fits(self, worst: int) -> bool:
        if self._cap.requests and self.requests >= self._cap.requests:
            return False
        return self._cap.money is None or self.committed + worst <= self._cap.money

    def _exhausted(self, worst: int) -> BudgetError:
        spent, lost = (self.spent + self.lost) / NANO, self.lost / NANO
        if self._cap.requests and self.requests >= self._cap.requests:
            what = both(f"all {self._cap.requests:,} requests are used", f"要求{self._cap.requests:,}回をすべて使った")
        else:
            left = (self._cap.money or 0) / NANO - spent
            what = both(
                f"the next request may cost {worst / NANO:.6f}, and {left:.6f} are left",
                f"次の要求の費用は最大 {worst / NANO:.6f} で、残りは {left:.6f} である",
            )
        unknown = (
            both(
                f" (of it {lost:.6f} unknown, counted as spent)",
                f"（うち {lost:.6f} は不明で、使ったものとして数える）",
            )
            if lost
            else ""
        )
        return BudgetError(
            what,
            where=str(self.path),
            saved=both(
                f"{self.answers:,} answers are kept; spent {spent:.6f}{unknown}.",
                f"回答{self.answers:,}件は保存済み。支出は {spent:.6f}{japanese(unknown)}。",
            ),
            do=both(
                "Raise teacher.budget or teacher.requests and give the same command: nothing is bought twice.",
                "teacher.budget か teacher.requests を上げて、同じコマンドを実行すること。"
                "同じものを二度買うことはない。",
            ),
        )

    def _settle(self, ticket: Ticket) -> None:
        self._open.pop(ticket.id, None)
        self._settled.set()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._journal.append(record)
        self._sync_soon()

    def _sync_soon(self) -> None:
        """An fsync beside the event loop at most every quarter of a second; a kill needs none, a power cut does."""
        if self._syncing is None or (self._syncing.done() and time.monotonic() - self._synced >= _SYNC_EVERY):
            self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        """A failed fsync is never tried again: the kernel may have dropped what it could not write."""
        self._synced = time.monotonic()
        try:
            with disk_faults(self.path):
                await asyncio.get_running_loop().run_in_executor(None, _fsync, self._handle)
        except DiskError as error:
            self._full = error

    def _read(self) -> None:
        waiting: dict[str, int] = {}
        for record in read_lines(self.path):
            mark = record["id"]
            key = mark.rpartition(".")[0]
            if record["event"] == "intent":
                self._attempts[key] += 1
                self.requests += 1
                waiting[mark] = record["reserved"]
                continue
            waiting.pop(mark, None)
            if record["event"] == "given up":
                self._given_up[key] = record["what"]
                continue
            if record["event"] == "lost":
                self.lost += record["cost"]
                continue
            self.spent += record["cost"]
            if record["status"] == 200:
                self._replies[key] = Reply(
                    200, record["body"], record["seconds"], record["type"], record["retry_after"]
                )
        self.lost += sum(waiting.values())


def _private(path: Path) -> None:
    """Raw traffic is for its owner's eyes."""
    with disk_faults(path), suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _set_aside(path: Path, size: int) -> None:
    """Room for every answer under way, before the first is asked for. Raises DiskError with the bytes needed."""
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
