"""The values that a provider reports with a response: tokens, cost, currency. They may be anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from terakoya.generation.teacher.protocol import NANO

_MOST_TOKENS = 1 << 40
_MOST_MONEY = 1e6  # units of the currency for one response; more is a wrong value
_IN, _OUT = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
_COST, _CURRENCY = ("cost", "total_cost"), ("currency", "cost_currency")
_AMOUNT = ("amount", "value", "total")


@dataclass(frozen=True, slots=True)
class Usage:
    """Reported values that can be used.

    tokens_in   prompt tokens; None: not reported, or not usable
    tokens_out  response tokens; likewise
    cost        in billionths of `currency`; likewise
    currency    code in capitals; "" where none is named
    unusable    names of the values that were reported and cannot be used
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None
    currency: str = ""
    unusable: tuple[str, ...] = ()


def parse_usage(body: Mapping[str, Any]) -> Usage:
    """The values in the section `usage` of a response; a number may be written as text.

    body  the JSON of the response
    """
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return Usage(unusable=() if usage is None else ("usage",))
    cost, currency = _first(usage, _COST), _first(usage, _CURRENCY)
    if isinstance(cost, Mapping):
        cost, currency = _first(cost, _AMOUNT), _first(cost, _CURRENCY) or currency
    values = {
        "prompt_tokens": (_first(usage, _IN), tokens_in := _tokens(_first(usage, _IN))),
        "completion_tokens": (_first(usage, _OUT), tokens_out := _tokens(_first(usage, _OUT))),
        "cost": (cost, money := _money(cost)),
        "currency": (currency, code := _code(currency)),
    }
    unusable = tuple(name for name, (given, read) in values.items() if given is not None and read is None)
    return Usage(tokens_in, tokens_out, money, code or "", unusable)


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _number(value: Any) -> float | None:
    """A finite number that is not negative; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _tokens(value: Any) -> int | None:
    number = _number(value)
    return math.ceil(number) if number is not None and number < _MOST_TOKENS else None


def _money(value: Any) -> int | None:
    """Billionths, rounded up."""
    number = _number(value)
    return math.ceil(number * NANO - 1e-6) if number is not None and number <= _MOST_MONEY else None


def _code(value: Any) -> str | None:
    """A currency code of three letters, in capitals."""
    text = value.strip().upper() if isinstance(value, str) else ""
    return text if len(text) == 3 and text.isascii() and text.isalpha() else None
