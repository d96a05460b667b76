"""An ingredient line with other amounts, scaled by the rule."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from terakoya.codec.quantity import quantity_codec
from terakoya.records import Example
from terakoya.tasks.quantities.parse import read_query
from terakoya.tasks.quantities.scale import scale_query

_NUMBER = re.compile(r"(?<![0-9./])([0-9]+)(?:/([0-9]+)|\.([0-9]+))?(?![0-9./])")
_PROPER = ("1/2", "1/3", "1/4", "2/3", "3/4")


def is_scaled(row: Example) -> bool:
    """Whether the rule gives the row's own target, in whatever spelling of the same amounts.

    row  an ingredient line with a factor, and the scaled line
    """
    scaled = scale_query(row.source)
    codec = quantity_codec()
    return scaled is not None and codec.canonical(scaled) == codec.canonical(row.target)


def vary(row: Example, rng: Random) -> Example | None:
    """The same line and factor with other amounts, and the line that the rule makes of it.

    Numbers keep their kind: whole numbers their digits, fractions below one stay such, decimals keep their digits.

    row  an ingredient line with a factor, and the scaled line
    rng  makes every choice
    Returns None where the line has no amount in Arabic digits, and where the rule abstains.
    """
    query = read_query(row.source)
    if query is None:
        return None
    line = _NUMBER.sub(lambda found: _other(found, rng), query.line)
    source = line + row.source[len(query.line) :]
    target = None if line == query.line else scale_query(source)
    return None if target is None else replace(row, source=source, target=target, accepted=(), group="")


def _other(found: re.Match[str], rng: Random) -> str:
    whole, below, decimals = found.groups()
    if below is not None:
        return rng.choice(_PROPER)
    number = _of_length(len(whole.lstrip("0")) or 1, rng, round_to=len(whole) - len(whole.rstrip("0")))
    return number if decimals is None else f"{number}.{rng.randint(1, 10 ** len(decimals) - 1):0{len(decimals)}d}"


def _of_length(digits: int, rng: Random, round_to: int) -> str:
    """A number of so many digits, with as many zeros at its end: 200 becomes 300, not 137."""
    zeros = min(round_to, digits - 1)
    low = 10 ** (digits - zeros - 1)
    return str(rng.randint(low, 10 * low - 1) * 10**zeros)
