"""What a request may cost, what it did cost, and what is booked where the provider's word is not enough.

The cap must hold against a provider whose values are wrong: a response is never booked below the price of the tokens
that its text must have at least, and one that reports a cost or token count of 0 is booked at its whole reservation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from terakoya.generation.teacher.protocol import TeacherRequest
from terakoya.generation.teacher.provider_errors import ResponseFault
from terakoya.generation.teacher.responses import TeacherResponse
from terakoya.i18n import _

Basis = Literal["provider", "prices", "reserved", "at risk", "free"]
_BYTES_PER_TOKEN = 8  # more than tokenizers put into one token on average: about 4 in English, 5 in Japanese


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Prices in billionths of the currency per token, of the prompt (`one_in`) and the response (`one_out`)."""

    one_in: float = 0.0
    one_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> int:
        """Cost in billionths of `tokens_in` prompt and `tokens_out` response tokens, rounded up."""
        return math.ceil(tokens_in * self.one_in + tokens_out * self.one_out - 1e-6)


FREE = TokenPrices()
# What flags begin with; the words stand in journals.
_UNUSABLE, _OTHER_CURRENCY, _CONVERTED = "unusable ", "a cost in ", "converted from "
_FLAGS = {
    "no token counts": _("no token counts"),
    "a cost below the prices": _("a cost below the prices"),
    "a cost of 0": _("a cost of 0"),
    "0 tokens": _("0 tokens"),
}


@dataclass(frozen=True, slots=True)
class SpendingCap:
    """What may be spent.

    money     in billionths of the currency; None: no limit
    requests  number of requests; 0: no limit
    """

    money: int | None = None
    requests: int = 0


NO_CAP = SpendingCap()
NO_RATES: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Reservation:
    """Permission to send one request once; its intent is on the disk.

    id        the request's key and the number of the attempt
    key       the request's key
    max_cost  money reserved, in billionths
    teacher   name of the teacher in `teacher.pool`; "" for the only one
    """

    id: str
    key: str
    max_cost: int
    teacher: str = ""


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What is booked for one attempt.

    amount      in billionths of the currency
    basis       "provider" (as reported), "prices" (from token counts), "reserved" (charged, amount unknown), "at risk"
                (sent and failed: may have been charged) or "free"
    tokens_in   prompt tokens, None where not reported
    tokens_out  response tokens, None where not reported
    flag        why the provider's own values were not taken as they are; "" where they were
    """

    amount: int
    basis: Basis
    tokens_in: int | None = None
    tokens_out: int | None = None
    flag: str = ""


@dataclass(slots=True)
class Spending:
    """Money booked, in billionths, by how well it is known.

    reported   charged as the provider reported
    estimated  charged, the amount being an estimate: from token counts, or the whole reservation
    at_risk    sent without a response that counts: possibly charged, booked in full
    """

    reported: int = 0
    estimated: int = 0
    at_risk: int = 0

    @property
    def total(self) -> int:
        """All that is booked."""
        return self.reported + self.estimated + self.at_risk

    def book(self, amount: int, basis: Basis) -> None:
        """Add `amount` billionths, known by `basis`."""
        if basis == "provider":
            self.reported += amount
        elif basis == "at risk":
            self.at_risk += amount
        else:
            self.estimated += amount


@dataclass(slots=True)
class TeacherAccount:
    """What one teacher was sent and has cost.

    spending    money booked
    requests    requests sent, without those that certainly never left
    responses   responses whose cost is booked
    tokens_in   prompt tokens that it reported
    tokens_out  response tokens that it reported
    """

    spending: Spending = field(default_factory=Spending)
    requests: int = 0
    responses: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def book(self, amount: int, basis: Basis, tokens_in: int | None, tokens_out: int | None) -> None:
        """Book one response.

        amount      billionths
        basis       how well the amount is known
        tokens_in   prompt tokens; None where not reported
        tokens_out  response tokens; None where not reported
        """
        self.spending.book(amount, basis)
        self.responses += basis in {"provider", "prices", "reserved"}
        self.tokens_in += tokens_in or 0
        self.tokens_out += tokens_out or 0

    def add(self, other: TeacherAccount) -> None:
        """Add what stands in the account `other`."""
        self.spending.reported += other.spending.reported
        self.spending.estimated += other.spending.estimated
        self.spending.at_risk += other.spending.at_risk
        self.requests += other.requests
        self.responses += other.responses
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out


def flag_note(flag: str, count: int, currency: str) -> str:
    """A sentence for people about a flag of the journal.

    flag      see `RequestCost`
    count     number of responses that have it
    currency  of the budget
    """
    if flag.startswith(_CONVERTED):
        return _(
            "{count:,} responses report costs in {reported}: booked in {currency}, converted by teacher.rates",
            count=count,
            reported=flag.removeprefix(_CONVERTED),
            currency=currency,
        )
    return _(
        "{count:,} responses report {flag}: booked by your own prices instead", count=count, flag=_flag_message(flag)
    )


def _flag_message(flag: str) -> str:
    if flag.startswith(_UNUSABLE):
        return _("unusable values ({names})", names=flag.removeprefix(_UNUSABLE))
    if flag.startswith(_OTHER_CURRENCY):
        return _("a cost in {currency}", currency=flag.removeprefix(_OTHER_CURRENCY))
    return _FLAGS.get(flag, flag)


def cost_of(
    outcome: TeacherResponse | ResponseFault,
    request: TeacherRequest,
    reserved: int,
    prices: TokenPrices,
    currency: str,
    rates: Mapping[str, float] = NO_RATES,
) -> RequestCost:
    """What to book for a response.

    outcome   the interpreted response
    request   what it responds to
    reserved  money reserved for it, in billionths
    prices    of the config; 0 where they are not known
    currency  of the budget
    rates     other currency → units of `currency` for one of it
    """
    if isinstance(outcome, ResponseFault):
        return RequestCost(0, "free") if outcome.free else RequestCost(reserved, "at risk")
    if outcome.cost is not None and outcome.currency != currency.upper() and outcome.currency in rates:
        own = replace(outcome, cost=math.ceil(outcome.cost * rates[outcome.currency]), currency=currency.upper())
        booked = cost_of(own, request, reserved, prices, currency)
        # Where the provider's cost was not taken, nothing of it was converted either.
        return booked if booked.flag else replace(booked, flag=f"{_CONVERTED}{outcome.currency}")
    tokens = outcome.tokens_in, outcome.tokens_out
    if flag := _disbelieved(outcome, reserved, currency):
        return RequestCost(max(reserved, _reported(outcome, currency)), "reserved", *tokens, flag)
    if outcome.tokens_in is None or outcome.tokens_out is None:
        if outcome.cost is None or outcome.cost < reserved:
            return RequestCost(reserved, "reserved", *tokens, "" if outcome.cost is None else "no token counts")
        return RequestCost(outcome.cost, "provider", *tokens)
    priced = prices.of(
        max(outcome.tokens_in, _fewest_tokens(*(turn.content for turn in request.turns))),
        max(outcome.tokens_out, _fewest_tokens(outcome.text)),
    )
    if outcome.cost is None:
        return RequestCost(priced, "prices", *tokens)
    if outcome.cost < priced:
        return RequestCost(priced, "prices", *tokens, "a cost below the prices")
    return RequestCost(outcome.cost, "provider", *tokens)


def _disbelieved(outcome: TeacherResponse, reserved: int, currency: str) -> str:
    """Why the provider's values cannot be right; "" where they can. The words stand in the journal."""
    if outcome.currency and outcome.currency != currency.upper():
        return f"{_OTHER_CURRENCY}{outcome.currency}"
    if outcome.unusable:
        return f"{_UNUSABLE}{', '.join(outcome.unusable)}"
    if not reserved or not outcome.text:
        return ""
    if outcome.cost == 0:
        return "a cost of 0"
    return "0 tokens" if 0 in (outcome.tokens_in, outcome.tokens_out) else ""


def _reported(outcome: TeacherResponse, currency: str) -> int:
    ours = outcome.currency in {"", currency.upper()} and "currency" not in outcome.unusable
    return outcome.cost if ours and outcome.cost is not None else 0


def _fewest_tokens(*texts: str) -> int:
    """The fewest tokens that the texts can have."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) // _BYTES_PER_TOKEN
