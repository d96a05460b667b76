"""Numbers as one would enter them into a calculator: 12*144, 3/4, 2+3/8.

A small model that calculates by itself gets digits wrong; one that writes the working has only to copy. A working is
a term or the sum of two; a term is a number, or a number times or over a whole one. Every term must end as a decimal:
1/3 does not, so it is no term.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_MOST = 4  # digits of a factor or divisor
_FACTOR = rf"[1-9][0-9]{{0,{_MOST - 1}}}"
_TERM = rf"(?:0|[1-9][0-9]{{0,8}})(?:\.[0-9]{{0,3}}[1-9])?(?:[*/]{_FACTOR})?"
WORKING = rf"{_TERM}(?:\+{_TERM})?"
_WHOLE_WORKING = re.compile(WORKING, flags=re.ASCII)
_OPERATION = re.compile("([*/])")


def is_working(text: str) -> bool:
    """Whether a text has the form of a working: 12*144, 3/4, 2+3/8; a plain number is one too.

    text  any text
    """
    return _WHOLE_WORKING.fullmatch(text) is not None


def worked_out(working: str) -> str | None:
    """The value of a working as a plain decimal, or None where a term does not end as a decimal.

    working  a text for which `is_working` holds; ValueError for another
    """
    if not is_working(working):
        raise ValueError(working)
    terms = working.split("+")
    return as_decimal(sum(map(_value, terms), Fraction(0))) if all(map(_has_end, terms)) else None


def may_be_worked_out(prefix: str) -> bool:
    """Whether a prefix of the form of a working can become one whose terms all end.

    prefix  characters so far, of the form of a working
    """
    *done, last = prefix.split("+")
    above, over, below = last.partition("/")
    return all(map(_has_end, done)) and (not (over and below) or _some_end(Fraction(above), below))


def as_decimal(value: Fraction) -> str:
    """The decimal spelling of a value: 7/20 → 0.35.

    value  one that ends as a decimal
    """
    if value.denominator == 1:
        return str(value.numerator)
    power = next(power for power in range(1, 40) if 10**power % value.denominator == 0)
    digits = str(abs(value.numerator) * 10**power // value.denominator).rjust(power + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-power]}.{digits[-power:]}".rstrip("0").rstrip(".")


def _value(term: str) -> Fraction:
    first, *rest = _OPERATION.split(term)
    if not rest:
        return Fraction(first)
    return Fraction(first) * int(rest[1]) if rest[0] == "*" else Fraction(first) / int(rest[1])


def _has_end(term: str) -> bool:
    return _ends(_value(term))


def _ends(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


@lru_cache(maxsize=10_000)
def _some_end(above: Fraction, below: str) -> bool:
    """Whether some divisor with these first digits leaves a decimal that ends."""
    for more in range(_MOST - len(below) + 1):
        first = int(below) * 10**more
        if any(_ends(above / divisor) for divisor in range(first, first + 10**more)):
            return True
    return False
