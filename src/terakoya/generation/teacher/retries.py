"""Sending requests until they succeed: rate limit, circuit breaker, ledger, retries. Hopeless errors end it all."""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Mapping
from random import Random

from terakoya.errors import ProviderError, TerakoyaError
from terakoya.generation.teacher.content import Thinking
from terakoya.generation.teacher.failures import NETWORK, hopeless_error, other_currency, repeated_failure
from terakoya.generation.teacher.ledger import Ledger
from terakoya.generation.teacher.protocol import NANO, NoResponse, RawResponse, Teacher, TeacherRequest
from terakoya.generation.teacher.provider_errors import ResponseFault, address_fault
from terakoya.generation.teacher.rate_limits import RETRY_POLICY, CircuitBreaker, RateLimiter, RetryPolicy, Slots
from terakoya.generation.teacher.responses import (
    CHALLENGE,
    NO_COMPLETION,
    PAGE,
    TeacherResponse,
    parse_response,
)
from terakoya.generation.teacher.spending import FREE, NO_RATES, Reservation, TokenPrices, cost_of
from terakoya.i18n import _

_HEDGE_AFTER = 3.0  # multiple of the median response time
_HEDGE_MIN_RESPONSES = 20  # responses before that median is trusted
_MOST_NO_COMPLETIONS = 3  # responses of another kind, before any of the right one, at which the address is wrong
_MOST_ROUNDS = 3  # rounds of attempts of one request while others succeed


class GenerationStopped(Exception):
    """The generation is ending: nothing more is sent."""


class RequestAbandoned(Exception):
    """No usable response after all attempts. Where the responses were to blame, the ledger records it, and a resumed
    generation does the same; where the network was, the next call sends the request again. `teacher` is who was sent
    it, of several."""

    teacher = ""


class TeacherClient:
    """Sends requests concurrently. What is in the ledger is not sent again; what is sent was recorded there before.

    teacher              who responds
    ledger               required for a paid teacher
    prices               for costs that the provider does not report, and below which none is booked
    currency             of the prices and the budget
    rates                other currency → units of `currency` for one of it; a currency without a rate is refused
    requests_per_minute, tokens_per_minute  rate limits; 0: none
    retry_policy         waits and limits of failures
    attempts             attempts per request
    max_concurrent       pending requests at most
    hedge                send a second request where the first is slow (Dean and Barroso, 2013)
    thinking             what is done with thinking in front of an output (teacher/content.py)
    name                 of the teacher in `teacher.pool`; "" for the only one
    rng                  spreads waits only; never influences a result
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger | None = None,
        *,
        prices: TokenPrices = FREE,
        currency: str = "USD",
        rates: Mapping[str, float] = NO_RATES,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        retry_policy: RetryPolicy = RETRY_POLICY,
        attempts: int = 5,
        max_concurrent: int = 64,
        hedge: bool = False,
        thinking: Thinking = "reject",
        name: str = "",
        rng: Random | None = None,
    ) -> None:
        self.teacher, self._ledger, self._prices, self._currency = teacher, ledger, prices, currency
        self._rates, self.name = rates, name
        self._retry_policy, self._attempts, self._hedge = retry_policy, attempts, hedge
        self._rate_limiter = RateLimiter(requests_per_minute, tokens_per_minute, sleep=self._nap)
        self._breaker = CircuitBreaker(retry_policy, sleep=self._nap)
        self._stop = asyncio.Event()
        self._slots = Slots(max_concurrent)
        self._rng = rng or Random()
        self._seconds: deque[float] = deque(maxlen=200)
        self.fatal: TerakoyaError | None = None
        self.reused = self.sent = 0
        self._succeeded = 0  # responses that arrived, over all requests
        self._thinking = thinking
        self._last_fault: ResponseFault | None = None
        self._no_completions = 0  # responses that no chat completions API sends
        self.models: set[str] = set()

    async def close(self) -> None:
        """Leave nothing running; an ordinary client leaves nothing."""

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

    def is_recorded(self, request: TeacherRequest) -> bool:
        """Whether the ledger has a response to `request`, or says that it will not be sent again."""
        return self._ledger is not None and bool(
            self._ledger.response(request.key) or self._ledger.abandoned_reason(request.key)
        )

    def was_sent(self, request: TeacherRequest) -> bool:
        """Whether `request` was sent before, or was about to be."""
        return self._ledger is not None and self._ledger.attempts(request.key) > 0

    @property
    def total_cost(self) -> float:
        """Money spent or possibly spent, in the currency of the prices."""
        return self._ledger.committed / NANO if self._ledger is not None else 0.0

    async def complete(self, request: TeacherRequest, order: int = 0) -> TeacherResponse:
        """The response to `request`, from the ledger or sent now; requests of a lower `order` are sent first.

        Raises RequestAbandoned, or GenerationStopped once the generation ends (`fatal` says why).
        """
        if not self.teacher.paid:
            return self._response_or_raise(parse_response(await self.teacher.send(request)))
        assert self._ledger is not None
        known = self._ledger.response(request.key)
        if known is not None and isinstance(response := self._interpret(known, request), TeacherResponse):
            self.reused += 1
            return response
        if reason := self._ledger.abandoned_reason(request.key):
            raise RequestAbandoned(reason)
        async with self._slots.slot(order):
            return await self._send_until_done(request)

    async def _send_until_done(self, request: TeacherRequest) -> TeacherResponse:
        assert self._ledger is not None
        attempt = rounds = 0
        succeeded = self._succeeded
        while True:
            attempt += 1
            outcome = await (self._hedged(request) if self._hedge else self._attempt(request))
            if isinstance(outcome, TeacherResponse):
                self._succeeded += 1
                return outcome
            self._last_fault = outcome
            if outcome.kind == "hopeless":
                raise self.abort(hopeless_error(outcome))
            if outcome.kind == "refused":
                raise self._refused(request, outcome)
            self._stop_at_wrong_address(outcome)
            if attempt >= self._attempts:
                rounds += 1
                self._abandon_or_pause(request, outcome, rounds, others=self._succeeded > succeeded)
                attempt, succeeded = 0, self._succeeded
            await self._wait(outcome, attempt)

    def _refused(self, request: TeacherRequest, fault: ResponseFault) -> RequestAbandoned:
        """The provider refuses this request. Where it explains nothing and no other request succeeded, it may refuse
        all of them for a reason that passes, so the next call sends the request again."""
        assert self._ledger is not None
        if fault.reason or self._succeeded or self.reused:
            self._ledger.record_abandoned(request.key, fault.what)
        return RequestAbandoned(fault.what)

    def _stop_at_wrong_address(self, fault: ResponseFault) -> None:
        """End the generation where nothing that responds at this address is a chat completions API."""
        if self._succeeded or self.reused or fault.reason not in {PAGE, CHALLENGE, NO_COMPLETION}:
            return
        self._no_completions += 1
        if fault.reason == PAGE or self._no_completions >= _MOST_NO_COMPLETIONS:
            raise self.abort(hopeless_error(address_fault(fault.what)))

    def _abandon_or_pause(self, request: TeacherRequest, fault: ResponseFault, rounds: int, *, others: bool) -> None:
        """After all attempts of a round: a row is set aside for what the responses were, not for what the network did.

        rounds  rounds of attempts that have failed
        others  whether other requests succeeded meanwhile; where none was, nothing is wrong with this one
        Pauses the generation, abandons the request, or returns where the request goes on waiting.
        """
        assert self._ledger is not None
        if not others:
            raise self.abort(repeated_failure(fault))
        if fault.kind == "busy" or rounds < _MOST_ROUNDS:
            return
        if fault.reason in {NETWORK, PAGE, CHALLENGE}:
            raise self.abort(repeated_failure(fault))
        self._ledger.record_abandoned(request.key, fault.what)
        raise RequestAbandoned(fault.what)

    async def _attempt(self, request: TeacherRequest) -> TeacherResponse | ResponseFault:
        """Send once: circuit breaker, rate limit, intent, request, ledger."""
        assert self._ledger is not None
        probing = await self._breaker.acquire()
        failed = "stopped"
        try:
            self._check()
            if not probing and self._breaker.open:
                raise self.abort(repeated_failure(self._last_fault))
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
            # A rate limit is no failure of the provider, nor is one sentence that it refuses for a known reason.
            elif outcome.kind == "busy" or (outcome.kind == "refused" and outcome.reason):
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
            return ResponseFault("down", lost.fault, free=not lost.sent, reason=NETWORK)
        except asyncio.CancelledError:
            self._ledger.record_failure(reservation, NoResponse("cancelled while pending", sent=True))
            raise
        self._ledger.record_response(reservation, reply)  # before anything interprets it
        outcome = self._interpret(reply, request)
        cost = cost_of(outcome, request, reservation.max_cost, self._prices, self._currency, self._rates)
        self._ledger.record_cost(reservation, cost)
        self._seconds.append(reply.seconds)
        self._check_outcome(outcome)
        return outcome

    def _check_outcome(self, outcome: TeacherResponse | ResponseFault) -> None:
        """End the generation where the disk or the prices turned out wrong, although a response arrived."""
        assert self._ledger is not None
        if self._ledger.disk_error is not None:
            raise self.abort(self._ledger.disk_error)
        if self._ledger.overrun(self.name) > 0:
            raise self.abort(
                ProviderError(
                    _("a response cost more than price and length limit allow"),
                    do=_(
                        "Check teacher.price_in and teacher.price_out, and whether the model generates reasoning "
                        "tokens beyond max_tokens."
                    ),
                )
            )
        if isinstance(outcome, TeacherResponse):
            self.models.add(outcome.model)
            if outcome.currency not in {"", self._currency.upper(), *self._rates}:
                raise self.abort(other_currency(outcome.currency, self._currency))

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

    def _interpret(self, reply: RawResponse, request: TeacherRequest) -> TeacherResponse | ResponseFault:
        """The response as parsed. One that breaks the parser was paid for as well: it is kept, and not bought again."""
        try:
            return parse_response(reply, request.max_tokens, self._thinking)
        except Exception as error:
            return TeacherResponse("", f"unreadable response ({type(error).__name__})")

    def _response_or_raise(self, outcome: TeacherResponse | ResponseFault) -> TeacherResponse:
        if isinstance(outcome, ResponseFault):
            raise RequestAbandoned(outcome.what)
        return outcome


def _estimate_tokens(request: TeacherRequest) -> int:
    """Estimated tokens of one request for the rate limiter: Japanese has about one per character."""
    return sum(len(turn.content) for turn in request.turns) + request.max_tokens // 2
