"""How fast we may ask: requests and tokens a minute, pauses that the provider wants, and when to stop asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Patience:
    """How long failures are borne. All times in seconds.

    base, longest  first and longest wait between two attempts of one request (doubling, with jitter)
    failures       so many in a row, over all requests, open the breaker
    probes         so many single tries while it is open, each after a longer wait, before giving up
    drain          how long answers under way are waited for after Ctrl-C
    """

    base: float = 0.5
    longest: float = 30.0
    failures: int = 20
    probes: int = 4
    drain: float = 10.0

    def wait(self, attempt: int, random: Random) -> float:
        """Full jitter: anywhere between nothing and the doubled wait, so that many do not return at once."""
        return random.uniform(0.1, 1.0) * min(self.longest, self.base * 2.0 ** (attempt - 1))


PATIENCE = Patience()


class Pace:
    """Spaces requests evenly, so that no minute holds more than allowed, and honours pauses for everybody.

    A token estimate is taken beforehand and what was not used is given back.
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

    async def turn(self, tokens: int) -> None:
        """Return when one more request of about so many tokens may go."""
        now = self._tick()
        slot = max(now, self._next_request, self._next_token)
        self._next_request = max(self._next_request, now) + self._gap
        self._next_token = max(self._next_token, now) + tokens * self._gap_of_token
        while (wait := max(slot, self._resume) - self._tick()) > 0:
            await self._sleep(wait)

    def give_back(self, tokens: int) -> None:
        self._next_token -= max(tokens, 0) * self._gap_of_token

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long: the provider said so."""
        self._resume = max(self._resume, self._tick() + seconds)


class Breaker:
    """Opens after many failures in a row: one probe at a time, each after a longer wait; then it gives up.

    Failures of requests that were already under way when it opened say nothing new and are not counted.
    """

    def __init__(
        self, patience: Patience = PATIENCE, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._patience, self._sleep = patience, sleep
        self._in_a_row = self._probes = 0
        self._probe = asyncio.Lock()
        self.last = ""

    @property
    def open(self) -> bool:
        return self._in_a_row >= self._patience.failures

    @property
    def spent(self) -> bool:
        """Nothing left to try."""
        return self._probes >= self._patience.probes

    async def admit(self) -> bool:
        """Whether one may ask. Waits while the breaker is open; True for one prober at a time (who must `leave`)."""
        while self.open and not self.spent:
            await self._probe.acquire()
            try:
                if self.open and not self.spent:
                    await self._sleep(min(self._patience.longest, self._patience.base * 4.0**self._probes))
                    return True
            except BaseException:
                self._probe.release()
                raise
            self._probe.release()
        return False

    def leave(self, probing: bool, *, failed: str = "") -> None:
        """Tell the outcome of an attempt: `failed` says why, "" that an answer came."""
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
