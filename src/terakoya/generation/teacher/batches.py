"""Requests collected into batches, one batch at a time, resumable at every point: paid once, kept once.

A batch goes through planned → uploaded → created → ended, each written to the ledger before the next step. Killed
after `planned`, nothing was submitted; after `uploaded`, it may have been created without our knowing its id, so the
provider's list is searched for our key; after `created`, it is polled and its files are read again, in which what the
ledger already holds is passed over.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terakoya.errors import ProviderError, TerakoyaError
from terakoya.generation.teacher.batch_api import ENDED, BatchApi, BatchStatus, id_in, response_of, status_of
from terakoya.generation.teacher.failures import NETWORK, hopeless_error, repeated_failure
from terakoya.generation.teacher.ledger_batches import BATCHES, BatchLedger
from terakoya.generation.teacher.ledger_journal import BatchState
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.provider_errors import ResponseFault
from terakoya.generation.teacher.responses import MOST_BYTES, TeacherResponse, parse_response
from terakoya.generation.teacher.retries import GenerationStopped, TeacherClient
from terakoya.generation.teacher.spending import NO_RATES, Reservation, TokenPrices, cost_of
from terakoya.i18n import _
from terakoya.records import Turn
from terakoya.runs import write_text

NOT_EXECUTED = "not executed"


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Waits of batches, in seconds.

    poll    between two looks at a batch
    gather  without a further request, after which those that wait become a batch
    """

    poll: float = 30.0
    gather: float = 0.5


BATCH_POLICY = BatchPolicy()


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: TeacherRequest
    outcome: asyncio.Future[TeacherResponse | ResponseFault]


class BatchClient(TeacherClient):
    """A TeacherClient whose requests are sent in batches. Checks, retries and abandoned requests are those of its base.

    api           the batch interface
    ledger        records requests and batches
    folder        the generation folder
    size          requests in one batch at most
    prices        of a request in a batch
    batch_policy  waits of batches
    currency, rates, and further options  as of a TeacherClient
    """

    def __init__(
        self,
        api: BatchApi,
        ledger: BatchLedger,
        folder: Path,
        *,
        size: int,
        prices: TokenPrices,
        batch_policy: BatchPolicy = BATCH_POLICY,
        currency: str = "USD",
        rates: Mapping[str, float] = NO_RATES,
        **options: Any,
    ) -> None:
        super().__init__(
            api, ledger, prices=prices, currency=currency, rates=rates, **options, max_concurrent=1 << 40, hedge=False
        )
        self._api, self._batches, self._folder, self._size, self._batch_policy = (
            api, ledger, folder / BATCHES, size, batch_policy,
        )  # fmt: skip
        self._waiting: dict[str, _Waiting] = {}
        self._arrived = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._outcomes: list[tuple[Reservation, TeacherResponse | ResponseFault]] = []  # until their batch has ended
        self.odd_lines: Counter[str] = Counter()  # lines of output files that belong to no request

    async def close(self) -> None:
        """End the sending of batches; one that is at the provider stays there, and is collected by the next call."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _attempt(self, request: TeacherRequest) -> TeacherResponse | ResponseFault:
        """Wait for the outcome of `request` in the next batch, or in the one that was open when the process ended."""
        self._check()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_batches())
        waiting = self._waiting.get(request.key)
        if waiting is None:
            waiting = _Waiting(request, asyncio.get_running_loop().create_future())
            self._waiting[request.key] = waiting
            self._arrived.set()
        return await asyncio.shield(waiting.outcome)

    async def _wait(self, fault: ResponseFault, attempt: int) -> None:
        """What failed in one batch goes into the next one."""
        self._check()

    async def _send_batches(self) -> None:
        try:
            for key, batch in self._batches.open_batches_of(self.name).items():
                await self._finish(key, batch, self._kept_requests(key))
            while True:
                await self._gather()
                key = await self._plan()
                await self._finish(key, self._batches.open_batches[key], self._kept_requests(key))
        except GenerationStopped:
            self._release_waiting()
        except TerakoyaError as error:
            self.abort(error)
            self._release_waiting()
        except Exception as error:  # whoever waits must learn of it
            self._release_waiting(error)

    def _release_waiting(self, error: Exception | None = None) -> None:
        for waiting in self._waiting.values():
            if not waiting.outcome.done():
                waiting.outcome.set_exception(error or GenerationStopped())
        self._waiting.clear()

    async def _gather(self) -> None:
        """Wait until requests wait and no further one arrives, or a whole batch is there."""
        while not self._waiting:
            self._arrived.clear()
            await self._stopped_or(self._arrived.wait())
        while len(self._waiting) < self._size:
            self._arrived.clear()
            await self._nap(self._batch_policy.gather)
            if not self._arrived.is_set():
                return

    async def _stopped_or(self, event: Any) -> None:
        either = [asyncio.ensure_future(event), asyncio.ensure_future(self._stop.wait())]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            task.cancel()
        self._check()

    async def _plan(self) -> str:
        """Write the input file and the intents of the next batch; returns its key."""
        requests = [waiting.request for waiting in list(self._waiting.values())[: self._size]]
        key = uuid.uuid4().hex
        costs = [self._prices.of(request.max_tokens_in, request.max_tokens) for request in requests]
        reserved = await self._batches.plan_batch(key, requests, costs)
        chosen = zip((one.id for one in reserved), requests, strict=False)  # as many as there is money for
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(self._file(key), self._api.lines_of(list(chosen)))
        self._file(key).chmod(0o600)
        await self._batches.record_batch(key, "planned")
        return key

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.jsonl"

    def _kept_requests(self, key: str) -> dict[str, TeacherRequest]:
        """Attempt → request, from the input file: what an interrupted process has sent is priced without it."""
        path, found = self._file(key), {}
        for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
            value = json.loads(line)
            turns = tuple(Turn(turn["role"], turn["content"]) for turn in value["body"]["messages"])
            found[value["custom_id"]] = TeacherRequest("", "", "", turns, "", self._limit_in(value["body"]), None, 0)
        return found

    def _limit_in(self, body: Mapping[str, Any]) -> int:
        return int(body[self._api.max_tokens_name])

    async def _finish(self, key: str, batch: BatchState, requests: Mapping[str, TeacherRequest]) -> None:
        """Take a batch from wherever it is to its end."""
        fresh = batch.state == "planned"
        if fresh and not requests:  # killed between its intents and its input file: it was never submitted
            await self._end(key, batch, "never submitted", charged=False)
            return
        if fresh:
            await self._upload(key, batch)
        if batch.state == "uploaded":
            await self._create(key, batch, look_first=not fresh)
        if batch.state == "created":
            status = await self._poll(batch)
            await self._collect(key, batch, status, requests)

    async def _upload(self, key: str, batch: BatchState) -> None:
        content = self._file(key).read_text("utf-8")
        reply = await self._until_responded(lambda: self._api.upload(key, content))
        if not id_in(reply):
            raise await self._refused_batch(key, batch, reply)
        await self._batches.record_batch(key, "uploaded", id_in(reply))

    async def _create(self, key: str, batch: BatchState, *, look_first: bool) -> None:
        """Create the batch, unless the provider's list already has it. Whatever ends without a response may have
        created it, so the list is looked at before it is tried again, twice: a new batch may show up late."""
        failures = 0
        while True:
            if look_first and await self._find(key):
                return
            try:
                reply = await self._api.create(batch.file, key)
                outcome = parse_fault(reply)
            except NoResponse as lost:
                outcome = ResponseFault("down", lost.fault, reason=NETWORK)
            if outcome is None and status_of(reply):
                await self._batches.record_batch(key, "created", id_in(reply))
                return
            if outcome is not None and outcome.kind in {"hopeless", "refused"}:
                raise await self._refused_batch(key, batch, reply)
            failures, look_first = failures + 1, True
            if failures >= self._retry_policy.failure_limit:
                raise repeated_failure(outcome)
            await self._nap(self._retry_policy.wait(failures, self._rng))

    async def _find(self, key: str) -> bool:
        for again in (False, True):
            if again:
                await self._nap(self._batch_policy.poll)
            reply = await self._until_responded(lambda: self._api.find(key))
            if reply.status != 200:  # without the list nobody knows whether the batch exists
                raise _no_batch(reply.body[:200])
            if found := id_in(reply):
                await self._batches.record_batch(key, "created", found)
                return True
        return False

    async def _poll(self, batch: BatchState) -> BatchStatus:
        while True:
            reply = await self._until_responded(lambda: self._api.retrieve(batch.id))
            status = status_of(reply)
            if status is None:
                raise ProviderError(
                    _("the provider does not know the batch {id}", id=batch.id),
                    where=str(self._folder),
                    do=_("Check the API key and teacher.base_url. Its requests count as spent until it is found."),
                )
            if status.status in ENDED:
                return status
            await self._nap(self._batch_policy.poll)

    async def _until_responded(self, call: Callable[[], Awaitable[RawResponse]]) -> RawResponse:
        """The reply of a call that may be repeated freely. Raises ProviderError for a hopeless one, and where the
        provider keeps failing."""
        failures = 0
        while True:
            self._check()
            try:
                reply = await call()
                fault = parse_fault(reply)
            except NoResponse as lost:
                fault = ResponseFault("down", lost.fault, reason=NETWORK)
            if fault is None or fault.kind == "refused":
                return reply
            if fault.kind == "hopeless":
                raise hopeless_error(fault)
            failures += 1
            if failures >= self._retry_policy.failure_limit:
                raise repeated_failure(fault)
            await self._nap(max(fault.wait or 0.0, self._retry_policy.wait(failures, self._rng)))

    async def _refused_batch(self, key: str, batch: BatchState, reply: RawResponse) -> ProviderError:
        """The provider takes no such batch: nothing was executed."""
        await self._end(key, batch, "refused", charged=False)
        fault = parse_fault(reply)
        if fault is not None and fault.kind == "hopeless":
            return hopeless_error(fault)
        said = fault.what if fault is not None else reply.body[:200]
        return _no_batch(said)

    async def _collect(
        self, key: str, batch: BatchState, status: BatchStatus, requests: Mapping[str, TeacherRequest]
    ) -> None:
        """Record every outcome in the batch's files, then what the missing ones mean."""
        if status.status == "failed":
            await self._end(key, batch, "failed", charged=False)
            raise _no_batch(status.errors)
        seen: set[str] = set()
        for number, file in enumerate(status.files):
            path = self._folder / f"{key}.files-{number}.jsonl"
            reply = await self._until_responded(lambda file=file, path=path: self._downloaded(file, path))  # type: ignore[misc]
            if reply.status != 200:
                raise _no_batch(reply.body[:200])
            with path.open("rb") as lines:
                while line := lines.readline(4 * MOST_BYTES):
                    self._take_line(key, line.decode("utf-8", "replace"), seen, requests)
            path.unlink()
        # Fewer outcomes than the provider says it has made: the others may be charged.
        charged = status.completed is not None and status.completed > len(seen)
        await self._end(key, batch, status.status, charged=charged)
        if status.status == "cancelled":
            raise ProviderError(
                _("the batch {id} was cancelled at the provider", id=batch.id),
                do=_("What it had finished is kept. Run the same command again to send the rest in a new batch."),
            )

    async def _downloaded(self, file: str, path: Path) -> RawResponse:
        return await self._api.download(file, path) or RawResponse(200, "{}")

    def _take_line(self, key: str, line: str, seen: set[str], requests: Mapping[str, TeacherRequest]) -> None:
        """Record one outcome; the response is written before anything interprets it."""
        found = response_of(line)
        if found is None:
            self.odd_lines["unreadable"] += bool(line.strip())
            return
        attempt, outcome = found
        known = attempt in self._batches.open_batches[key].known
        if not known or attempt in seen:
            self.odd_lines["doubled" if known else "unknown"] += 1
            return
        seen.add(attempt)
        reservation = self._batches.take_open(key, attempt)
        if reservation is None:
            return  # recorded before the process was killed
        if isinstance(outcome, NoResponse):
            self._batches.record_failure(reservation, outcome)
            self._outcomes.append((reservation, ResponseFault("down", outcome.fault, free=not outcome.sent)))
            return
        reply = RawResponse(outcome.status, self._api.redact(outcome.body))
        self._batches.record_response(reservation, reply)
        request = requests[attempt]
        parsed = self._interpret(reply, request)
        cost = cost_of(parsed, request, reservation.max_cost, self._prices, self._currency, self._rates)
        self._batches.record_cost(reservation, cost)
        self._check_outcome(parsed)
        self._outcomes.append((reservation, parsed))

    async def _end(self, key: str, batch: BatchState, how: str, *, charged: bool) -> None:
        """Give an outcome to what has none, write that the batch has ended, then pass every outcome to whoever waits:
        the generation may end with the last one."""
        left = [self._batches.take_open(key, attempt) for attempt in list(batch.open)]
        for reservation in (one for one in left if one is not None):
            self._batches.record_failure(reservation, NoResponse(f"{NOT_EXECUTED}: {how}", sent=charged))
            self._outcomes.append((reservation, ResponseFault("down", f"{NOT_EXECUTED}: {how}", free=not charged)))
        await self._batches.record_batch(key, "ended", how)
        self._file(key).unlink(missing_ok=True)
        for reservation, outcome in self._outcomes:
            waiting = self._waiting.pop(reservation.key, None)
            if waiting is not None and not waiting.outcome.done():
                waiting.outcome.set_result(outcome)
        self._outcomes.clear()


def parse_fault(reply: RawResponse) -> ResponseFault | None:
    """Why a `reply` of the batch interface is no success; None where it is one."""
    if reply.status == 200:
        return None
    fault = parse_response(reply)
    return fault if isinstance(fault, ResponseFault) else None


def _no_batch(said: str) -> ProviderError:
    return ProviderError(
        _("the provider refused the whole batch; nothing was executed: {said}", said=said or _("no reason is given")),
        do=_("Correct in [teacher] what the message names, and run the same command again."),
    )
