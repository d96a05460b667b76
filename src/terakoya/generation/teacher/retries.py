"""One request asked until it is answered: through pace, breaker and ledger, with retries. Hopeless errors stop all."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections import deque
from dataclasses import dataclass
from random import Random

from terakoya.errors import ProviderError, TerakoyaError
from terakoya.generation.teacher.ledger import Cost, Ledger, Ticket
from terakoya.generation.teacher.protocol import NANO, Ask, Lost, Teacher
from terakoya.generation.teacher.rate_limits import PATIENCE, Breaker, Pace, Patience
from terakoya.generation.teacher.responses import Answer, Fault, read_reply
from terakoya.i18n import both, japanese

_HEDGE_AFTER = 3.0  # times the median time of an answer
_HEDGE_SEEN = 20  # answers, before that median is believed


@dataclass(frozen=True, slots=True)
class Prices:
    """Billionths of the currency for one token."""

    one_in: float = 0.0
    one_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> int:
        return math.ceil(tokens_in * self.one_in + tokens_out * self.one_out - 1e-6)


FREE = Prices()


class Stopped(Exception):
    """Generation is ending: nothing new is sent."""


class GaveUp(Exception):
    """No answer after all attempts. The ledger remembers it, so that every resume goes the same way."""


class Asking:
    """Hundreds at once. What stands in the ledger is not sent again; what is sent stands there before."""

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger | None = None,
        *,
        prices: Prices = FREE,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        patience: Patience = PATIENCE,
        attempts: int = 5,
        at_once: int = 64,
        hedge: bool = False,
        random: Random | None = None,
    ) -> None:
        self.teacher, self._ledger, self._prices = teacher, ledger, prices
        self._patience, self._attempts, self._hedge = patience, attempts, hedge
        self._pace = Pace(requests_per_minute, tokens_per_minute, sleep=self._nap)
        self._breaker = Breaker(patience, sleep=self._nap)
        self._stop = asyncio.Event()
        self._places = asyncio.Semaphore(at_once)
        self._random = random or Random()  # only spreads waits; never reaches a result
        self._seconds: deque[float] = deque(maxlen=200)
        self.fatal: TerakoyaError | None = None
        self.reused = self.sent = 0
        self.models: set[str] = set()

    def stop(self) -> None:
        """Send nothing more; answers under way are still taken in."""
        self._stop.set()

    async def stopped(self) -> None:
        """Return when nothing more will be sent."""
        await self._stop.wait()

    def end(self, error: TerakoyaError) -> Stopped:
        """From now on nothing is sent; the first reason to end is the one that is told (`fatal`)."""
        self.fatal = self.fatal or error
        self._stop.set()
        return Stopped()

    @property
    def cost(self) -> float:
        """Money spent or perhaps spent, in the currency of the prices."""
        return self._ledger.committed / NANO if self._ledger is not None else 0.0

    async def ask(self, ask: Ask) -> Answer:
        """The answer, bought or remembered. Raises GaveUp, or Stopped once the generation ends (`fatal` says why)."""
        if not self.teacher.paid:
            return self._whole(read_reply(await self.teacher.send(ask)))
        assert self._ledger is not None
        known = self._ledger.reply(ask.key)
        if known is not None and isinstance(answer := read_reply(known), Answer):
            self.reused += 1
            return answer
        if given_up := self._ledger.given_up(ask.key):
            raise GaveUp(given_up)
        async with self._places:
            return await self._until_answered(ask)

    async def _until_answered(self, ask: Ask) -> Answer:
        assert self._ledger is not None
        attempt = 0
        while True:
            attempt += 1
            outcome = await (self._hedged(ask) if self._hedge else self._attempt(ask))
            if isinstance(outcome, Answer):
                return outcome
            if outcome.kind == "hopeless":
                raise self.end(_hopeless(outcome))
            if outcome.kind == "refused" or attempt >= self._attempts:
                self._ledger.give_up(ask.key, outcome.what)
                raise GaveUp(outcome.what)
            await self._wait(outcome, attempt)

    async def _attempt(self, ask: Ask) -> Answer | Fault:
        """Send once: pace, breaker, intent, wire, ledger."""
        assert self._ledger is not None
        probing = await self._breaker.admit()
        failed = "stopped"
        try:
            self._check()
            if not probing and self._breaker.open:
                raise self.end(_given_up(self._breaker.last))
            tokens = _likely(ask)
            await self._pace.turn(tokens)
            self._check()
            ticket = await self._intend(ask)
            if self._stop.is_set():  # while it waited for money that others might give back
                self._ledger.failed(ticket, Lost("not sent", sent=False))
                raise Stopped
            outcome = await self._send(ask, ticket)
            if isinstance(outcome, Answer):
                self._pace.give_back(tokens - (outcome.tokens_in or tokens) - (outcome.tokens_out or 0))
                failed = ""
            # Being asked to slow down is no failure of the provider, nor is one sentence that it will not have.
            elif outcome.kind == "busy" or (outcome.kind == "refused" and "moderation" in outcome.what):
                failed = "" if not probing else outcome.what
                return outcome
            else:
                failed = outcome.what
            return outcome
        finally:
            if probing or failed != "stopped":
                self._breaker.leave(probing, failed=failed)

    async def _intend(self, ask: Ask) -> Ticket:
        assert self._ledger is not None
        try:
            return await self._ledger.intend(ask, self._prices.of(ask.most_tokens_in, ask.max_tokens))
        except TerakoyaError as error:
            raise self.end(error) from None

    async def _send(self, ask: Ask, ticket: Ticket) -> Answer | Fault:
        assert self._ledger is not None
        self.sent += 1
        try:
            reply = await self.teacher.send(ask)
        except Lost as lost:
            self._ledger.failed(ticket, lost)
            return Fault("down", lost.fault, free=not lost.sent)
        except asyncio.CancelledError:
            self._ledger.failed(ticket, Lost("given up while under way", sent=True))
            raise
        outcome = read_reply(reply)
        self._ledger.answered(ticket, reply, self._cost(outcome, ticket))
        self._seconds.append(reply.seconds)
        self._look(outcome)
        return outcome

    def _cost(self, outcome: Answer | Fault, ticket: Ticket) -> Cost:
        """As the provider reports it, else by the prices of the config, else all that was set aside."""
        if isinstance(outcome, Fault):
            return Cost(0, "free") if outcome.free else Cost(ticket.worst, "reserved")
        tokens = outcome.tokens_in, outcome.tokens_out
        if outcome.cost is not None:
            return Cost(outcome.cost, "provider", *tokens)
        if outcome.tokens_in is not None and outcome.tokens_out is not None:
            return Cost(self._prices.of(outcome.tokens_in, outcome.tokens_out), "prices", *tokens)
        return Cost(ticket.worst, "reserved", *tokens)

    def _look(self, outcome: Answer | Fault) -> None:
        """What must end the generation although an answer came."""
        assert self._ledger is not None
        if self._ledger.full is not None:
            raise self.end(self._ledger.full)
        if self._ledger.overrun > 0:
            raise self.end(
                ProviderError(
                    both(
                        "an answer cost more than price and length limit allow",
                        "価格と長さの上限から計算した額より高い回答があった",
                    ),
                    do=both(
                        "Check teacher.price_in, teacher.price_out and whether the model thinks beyond max_tokens.",
                        "teacher.price_in、teacher.price_out、"
                        "モデルが max_tokens を超えて考えていないかを確かめること。",
                    ),
                )
            )
        if isinstance(outcome, Answer):
            self.models.add(outcome.model)

    async def _wait(self, fault: Fault, attempt: int) -> None:
        wait = self._patience.wait(attempt, self._random)
        if fault.wait is not None:
            self._pace.pause(fault.wait)
            wait = fault.wait + wait * 0.1
        await self._nap(wait)

    async def _nap(self, seconds: float) -> None:
        """Sleep, but not past the end of the generation."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        self._check()

    async def _hedged(self, ask: Ask) -> Answer | Fault:
        """A second request where the first is far slower than usual; the first answer counts, both are booked."""
        first = asyncio.ensure_future(self._attempt(ask))
        tasks = {first}
        try:
            if len(self._seconds) >= _HEDGE_SEEN:
                done, _ = await asyncio.wait(tasks, timeout=_HEDGE_AFTER * statistics.median(self._seconds))
                if not done:
                    tasks.add(asyncio.ensure_future(self._attempt(ask)))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _whole(self, outcome: Answer | Fault) -> Answer:
        if isinstance(outcome, Fault):
            raise GaveUp(outcome.what)
        return outcome


def _likely(ask: Ask) -> int:
    """A guess at the tokens of one request for the pace: Japanese has about one a character."""
    return sum(len(turn.content) for turn in ask.turns) + ask.max_tokens // 2


def _hopeless(fault: Fault) -> ProviderError:
    return ProviderError(
        fault.what,
        do=both(
            "Check the key, the credit and the model's name, then give the same command again.",
            "鍵、残高、モデルの名前を確かめて、同じコマンドをもう一度実行すること。",
        ),
    )


def _given_up(last: str) -> ProviderError:
    return ProviderError(
        both(
            f"the provider fails again and again; the last time: {last}",
            f"提供元の失敗が続いている。最後は：{japanese(last)}",
        ),
        do=both(
            "Look at the provider's status page or your network, then give the same command again.",
            "提供元の稼働状況か自分のネットワークを確かめて、同じコマンドをもう一度実行すること。",
        ),
    )
