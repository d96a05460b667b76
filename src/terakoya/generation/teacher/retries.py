"""Sending requests until they succeed: rate limit, circuit breaker, ledger, retries. Hopeless errors end it all."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections import deque
from dataclasses import dataclass
from random import Random

from terakoya.errors import ProviderError, TerakoyaError
from terakoya.generation.teacher.ledger import Ledger, RequestCost, Reservation
from terakoya.generation.teacher.protocol import NANO, NoResponse, Teacher, TeacherRequest
from terakoya.generation.teacher.rate_limits import RETRY_POLICY, CircuitBreaker, RateLimiter, RetryPolicy
from terakoya.generation.teacher.responses import ResponseFault, TeacherResponse, parse_response
from terakoya.i18n import both, japanese

_HEDGE_AFTER = 3.0  # multiple of the median response time
_HEDGE_MIN_RESPONSES = 20  # responses before that median is trusted


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Prices in billionths of the currency per token, of the prompt (`one_in`) and the response (`one_out`)."""

    one_in: float = 0.0
    one_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> int:
        """Cost in billionths of `tokens_in` prompt and `tokens_out` response tokens, rounded up."""
        return math.ceil(tokens_in * self.one_in + tokens_out * self.one_out - 1e-6)


FREE = TokenPrices()


class GenerationStopped(Exception):
    """The generation is ending: nothing more is sent."""


class RequestAbandoned(Exception):
    """No response after all attempts. The ledger records it, so that a resumed generation does the same."""


class TeacherClient:
    """Sends requests concurrently. What is in the ledger is not sent again; what is sent was recorded there before.

    teacher              who responds
    ledger               required for a paid teacher
    prices               for costs that the provider does not report
    requests_per_minute, tokens_per_minute  rate limits; 0: none
    retry_policy         waits and limits of failures
    attempts             attempts per request
    max_concurrent       pending requests at most
    hedge                send a second request where the first is slow (Dean and Barroso, 2013)
    rng                  spreads waits only; never influences a result
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger | None = None,
        *,
        prices: TokenPrices = FREE,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        retry_policy: RetryPolicy = RETRY_POLICY,
        attempts: int = 5,
        max_concurrent: int = 64,
        hedge: bool = False,
        rng: Random | None = None,
    ) -> None:
        self.teacher, self._ledger, self._prices = teacher, ledger, prices
        self._retry_policy, self._attempts, self._hedge = retry_policy, attempts, hedge
        self._rate_limiter = RateLimiter(requests_per_minute, tokens_per_minute, sleep=self._nap)
        self._breaker = CircuitBreaker(retry_policy, sleep=self._nap)
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(max_concurrent)
        self._rng = rng or Random()
        self._seconds: deque[float] = deque(maxlen=200)
        self.fatal: TerakoyaError | None = None
        self.reused = self.sent = 0
        self.models: set[str] = set()

    def stop(self) -> None:
        """Send nothing more; pending responses are still recorded."""
        self._stop.set()

    async def wait_until_stopped(self) -> None:
        """Return when nothing more will be sent."""
        await self._stop.wait()

    def abort(self, error: TerakoyaError) -> GenerationStopped:
        """Stop sending because of `error`; the first such error is kept as `fatal`. Returns the exception to raise."""
        self.fatal = self.fatal or error
        self._stop.set()
        return GenerationStopped()

    @property
    def total_cost(self) -> float:
        """Money spent or possibly spent, in the currency of the prices."""
        return self._ledger.committed / NANO if self._ledger is not None else 0.0

    async def complete(self, request: TeacherRequest) -> TeacherResponse:
        """The response to `request`, from the ledger or sent now.

        Raises RequestAbandoned, or GenerationStopped once the generation ends (`fatal` says why).
        """
        if not self.teacher.paid:
            return self._response_or_raise(parse_response(await self.teacher.send(request)))
        assert self._ledger is not None
        known = self._ledger.response(request.key)
        if known is not None and isinstance(response := parse_response(known), TeacherResponse):
            self.reused += 1
            return response
        if reason := self._ledger.abandoned_reason(request.key):
            raise RequestAbandoned(reason)
        async with self._slots:
            return await self._send_until_done(request)

    async def _send_until_done(self, request: TeacherRequest) -> TeacherResponse:
        assert self._ledger is not None
        attempt = 0
        while True:
            attempt += 1
            outcome = await (self._hedged(request) if self._hedge else self._attempt(request))
            if isinstance(outcome, TeacherResponse):
                return outcome
            if outcome.kind == "hopeless":
                raise self.abort(_hopeless(outcome))
            if outcome.kind == "refused" or attempt >= self._attempts:
                self._ledger.record_abandoned(request.key, outcome.what)
                raise RequestAbandoned(outcome.what)
            await self._wait(outcome, attempt)

    async def _attempt(self, request: TeacherRequest) -> TeacherResponse | ResponseFault:
        """Send once: circuit breaker, rate limit, intent, request, ledger."""
        assert self._ledger is not None
        probing = await self._breaker.acquire()
        failed = "stopped"
        try:
            self._check()
            if not probing and self._breaker.open:
                raise self.abort(_repeated_failure(self._breaker.last))
            tokens = _estimate_tokens(request)
            await self._rate_limiter.acquire(tokens)
            self._check()
            reservation = await self._reserve(request)
            if self._stop.is_set():  # while it waited for money that other requests might free
                self._ledger.record_failure(reservation, NoResponse("not sent", sent=False))
                raise GenerationStopped
            outcome = await self._send(request, reservation)
            if isinstance(outcome, TeacherResponse):
                self._rate_limiter.refund(tokens - (outcome.tokens_in or tokens) - (outcome.tokens_out or 0))
                failed = ""
            # A rate limit is no failure of the provider, nor is one sentence that its moderation refuses.
            elif outcome.kind == "busy" or (outcome.kind == "refused" and "moderation" in outcome.what):
                failed = "" if not probing else outcome.what
                return outcome
            else:
                failed = outcome.what
            return outcome
        finally:
            if probing or failed != "stopped":
                self._breaker.record_outcome(probing, failed=failed)

    async def _reserve(self, request: TeacherRequest) -> Reservation:
        assert self._ledger is not None
        try:
            return await self._ledger.reserve(request, self._prices.of(request.max_tokens_in, request.max_tokens))
        except TerakoyaError as error:
            raise self.abort(error) from None

    async def _send(self, request: TeacherRequest, reservation: Reservation) -> TeacherResponse | ResponseFault:
        assert self._ledger is not None
        self.sent += 1
        try:
            reply = await self.teacher.send(request)
        except NoResponse as lost:
            self._ledger.record_failure(reservation, lost)
            return ResponseFault("down", lost.fault, free=not lost.sent)
        except asyncio.CancelledError:
            self._ledger.record_failure(reservation, NoResponse("cancelled while pending", sent=True))
            raise
        outcome = parse_response(reply)
        self._ledger.record_response(reservation, reply, self._cost(outcome, reservation))
        self._seconds.append(reply.seconds)
        self._check_outcome(outcome)
        return outcome

    def _cost(self, outcome: TeacherResponse | ResponseFault, reservation: Reservation) -> RequestCost:
        """As the provider reports it, else by the prices of the config, else the whole reservation."""
        if isinstance(outcome, ResponseFault):
            return RequestCost(0, "free") if outcome.free else RequestCost(reservation.max_cost, "reserved")
        tokens = outcome.tokens_in, outcome.tokens_out
        if outcome.cost is not None:
            return RequestCost(outcome.cost, "provider", *tokens)
        if outcome.tokens_in is not None and outcome.tokens_out is not None:
            return RequestCost(self._prices.of(outcome.tokens_in, outcome.tokens_out), "prices", *tokens)
        return RequestCost(reservation.max_cost, "reserved", *tokens)

    def _check_outcome(self, outcome: TeacherResponse | ResponseFault) -> None:
        """End the generation where the disk or the prices turned out wrong, although a response arrived."""
        assert self._ledger is not None
        if self._ledger.disk_error is not None:
            raise self.abort(self._ledger.disk_error)
        if self._ledger.overrun > 0:
            raise self.abort(
                ProviderError(
                    both(
                        "a response cost more than price and length limit allow",
                        "価格と長さの上限から計算した額を超える応答があった",
                    ),
                    do=both(
                        "Check teacher.price_in and teacher.price_out, and whether the model generates reasoning "
                        "tokens beyond max_tokens.",
                        "teacher.price_in、teacher.price_out、"
                        "モデルが max_tokens を超える推論トークンを生成していないかを確かめること。",
                    ),
                )
            )
        if isinstance(outcome, TeacherResponse):
            self.models.add(outcome.model)

    async def _wait(self, fault: ResponseFault, attempt: int) -> None:
        wait = self._retry_policy.wait(attempt, self._rng)
        if fault.wait is not None:
            self._rate_limiter.pause(fault.wait)
            wait = fault.wait + wait * 0.1
        await self._nap(wait)

    async def _nap(self, seconds: float) -> None:
        """Sleep, but not past the end of the generation."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        self._check()

    async def _hedged(self, request: TeacherRequest) -> TeacherResponse | ResponseFault:
        """A second request where the first is far slower than usual; the first response counts, both are recorded."""
        first = asyncio.ensure_future(self._attempt(request))
        tasks = {first}
        try:
            if len(self._seconds) >= _HEDGE_MIN_RESPONSES:
                done, _ = await asyncio.wait(tasks, timeout=_HEDGE_AFTER * statistics.median(self._seconds))
                if not done:
                    tasks.add(asyncio.ensure_future(self._attempt(request)))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _check(self) -> None:
        if self._stop.is_set():
            raise GenerationStopped

    def _response_or_raise(self, outcome: TeacherResponse | ResponseFault) -> TeacherResponse:
        if isinstance(outcome, ResponseFault):
            raise RequestAbandoned(outcome.what)
        return outcome


def _estimate_tokens(request: TeacherRequest) -> int:
    """Estimated tokens of one request for the rate limiter: Japanese has about one per character."""
    return sum(len(turn.content) for turn in request.turns) + request.max_tokens // 2


def _hopeless(fault: ResponseFault) -> ProviderError:
    return ProviderError(
        fault.what,
        do=both(
            "Check the API key, the credit and the model's name, then run the same command again.",
            "API キー、残高、モデルの名前を確かめて、同じコマンドをもう一度実行すること。",
        ),
    )


def _repeated_failure(last: str) -> ProviderError:
    return ProviderError(
        both(
            f"the provider fails repeatedly; most recently: {last}",
            f"提供元の失敗が続いている。直近の失敗：{japanese(last)}",
        ),
        do=both(
            "Look at the provider's status page or your network, then run the same command again.",
            "提供元の稼働状況か自分のネットワークを確かめて、同じコマンドをもう一度実行すること。",
        ),
    )
