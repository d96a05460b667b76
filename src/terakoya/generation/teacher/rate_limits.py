"""Rate limiting (requests and tokens per minute, pauses that a provider demands) and a circuit breaker."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, and limits of the circuit breaker. Times in seconds.

    base_wait      first wait between two attempts of one request; it doubles with each attempt
    max_wait       longest wait
    failure_limit  consecutive failures over all requests that open the circuit breaker
    probe_limit    single probes while it is open, each after a longer wait, before the generation stops
    drain          how long pending responses are awaited after Ctrl-C
    """

    base_wait: float = 0.5
    max_wait: float = 30.0
    failure_limit: int = 20
    probe_limit: int = 4
    drain: float = 10.0

    def wait(self, attempt: int, rng: Random) -> float:
        """Seconds before the next try after attempt number `attempt` (from 1), drawn with `rng`: full jitter, so that
        many requests do not return at once."""
        return rng.uniform(0.1, 1.0) * min(self.max_wait, self.base_wait * 2.0 ** (attempt - 1))


RETRY_POLICY = RetryPolicy()


class Slots:
    """Admits so many requests at once, those of the earliest rows first: their fate is known before more is paid.

    count  requests at once
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = 0

    @asynccontextmanager
    async def slot(self, order: int) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the block.

        order  the row's place in the plan; lower ones are admitted first
        """
        await self._acquire(order)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, order: int) -> None:
        if self._free > 0:
            self._free -= 1
            return
        admitted = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heapq.heappush(self._waiting, (order, self._arrivals, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():  # admitted and cancelled in the same moment
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            admitted = heapq.heappop(self._waiting)[2]
            if not admitted.done():
                admitted.set_result(None)
                return
        self._free += 1


class RateLimiter:
    """Spaces requests evenly, so that no minute exceeds a limit, and applies a pause to all of them.

    requests_per_minute, tokens_per_minute  limits; 0: none. Tokens are estimated, and the unused part is refunded
    tick   clock in seconds
    sleep  awaitable sleep
    """

    def __init__(
        self,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        *,
        tick: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._gap = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._gap_of_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._tick, self._sleep = tick, sleep
        self._next_request = self._next_token = self._resume = 0.0

    async def acquire(self, tokens: int) -> None:
        """Wait until a request of about `tokens` tokens may be sent."""
        now = self._tick()
        slot = max(now, self._next_request, self._next_token)
        self._next_request = max(self._next_request, now) + self._gap
        self._next_token = max(self._next_token, now) + tokens * self._gap_of_token
        while (wait := max(slot, self._resume) - self._tick()) > 0:
            await self._sleep(wait)

    def refund(self, tokens: int) -> None:
        """Return `tokens` estimated tokens that were not used."""
        self._next_token -= max(tokens, 0) * self._gap_of_token

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`, as the provider demanded."""
        self._resume = max(self._resume, self._tick() + seconds)


class CircuitBreaker:
    """Circuit breaker: opens after many consecutive failures, then admits one probe at a time until its limit.

    Failures of requests that were pending when it opened are not counted.

    policy  limits and waits
    sleep   awaitable sleep
    """

    def __init__(
        self, policy: RetryPolicy = RETRY_POLICY, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._policy, self._sleep = policy, sleep
        self._in_a_row = self._probes = 0
        self._probe = asyncio.Lock()
        self.last = ""

    @property
    def open(self) -> bool:
        """Whether only probes are admitted."""
        return self._in_a_row >= self._policy.failure_limit

    @property
    def exhausted(self) -> bool:
        """Whether all probes have failed."""
        return self._probes >= self._policy.probe_limit

    async def acquire(self) -> bool:
        """Wait while the breaker is open. Returns True for the one probe admitted at a time (which must call
        `record_outcome`), False for an ordinary request."""
        while self.open and not self.exhausted:
            await self._probe.acquire()
            try:
                if self.open and not self.exhausted:
                    await self._sleep(min(self._policy.max_wait, self._policy.base_wait * 4.0**self._probes))
                    return True
            except BaseException:
                self._probe.release()
                raise
            self._probe.release()
        return False

    def record_outcome(self, probing: bool, *, failed: str = "") -> None:
        """Record the outcome of an attempt.

        probing  what `acquire` returned
        failed   why it failed; "" for success
        """
        if failed:
            self.last = failed
            if probing:
                self._probes += 1
            elif not self.open:
                self._in_a_row += 1
        else:
            self._in_a_row = self._probes = 0
        if probing:
            self._probe.release()
