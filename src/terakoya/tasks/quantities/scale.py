"""Scales ingredient lines, exactly and by rule: the oracle of the task, and a helper for whole lists.

scale("しょうゆ 大さじ1/2", Fraction(3))              # しょうゆ 大さじ3/2
scale_list(recipe, "2人分→5人分")                      # line by line; lines without quantities stay
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from terakoya.codec.recipe_numbers import read_number, spell
from terakoya.errors import DataError
from terakoya.i18n import _
from terakoya.tasks.quantities.amounts import Amount, find_amounts
from terakoya.tasks.quantities.parse import read_factor, read_query


def scale(line: str, factor: Fraction) -> str | None:
    """The line with every quantity multiplied, in the form that the exam's README calls canonical.

    line    an ingredient line: しょうゆ 大さじ1/2
    factor  exact
    Returns None where the rule abstains, because a number of the line is neither an amount nor known to stay.
    """
    amounts = find_amounts(line)
    if amounts is None:
        return None
    pieces, last = [], 0
    for amount in amounts:
        pieces += [line[last : amount.start], _product(amount, factor)]
        last = amount.end
    return "".join((*pieces, line[last:]))


def scale_query(source: str) -> str | None:
    """The rule: the scaled line of a query, None where the text is no query or the rule abstains.

    source  an ingredient line and a factor: しょうゆ 大さじ1/2 を3倍
    """
    query = read_query(source)
    return None if query is None else scale(query.line, query.factor)


def scaling_queries(recipe: str, factor: str) -> list[str]:
    """A whole ingredient list as queries for the model or the rule, one per line; empty lines are left out.

    recipe  one ingredient per line
    factor  as it follows を: 3倍, 半分, 2人分→5人分; DataError for what is no factor
    """
    if read_factor(factor) is None:
        raise DataError(
            _("'{factor}' is no factor", factor=factor),
            do=_("Write it as 3倍, 1/2倍, 1.5倍, 半分 or 2人分→5人分."),
        )
    return [f"{line.rstrip()} を{factor}" for line in recipe.splitlines() if line.strip()]


def scale_list(recipe: str, factor: str, scale_line: Callable[[str], str | None] = scale_query) -> str:
    """A whole ingredient list scaled line by line; empty lines stay where they were.

    recipe      one ingredient per line
    factor      as it follows を: 3倍, 半分, 2人分→5人分
    scale_line  query → scaled line: the rule (default), or a trained model
    Raises DataError for a line that `scale_line` cannot scale (None).
    """
    queries = iter(scaling_queries(recipe, factor))
    return "\n".join(_scaled(next(queries), scale_line) if line.strip() else line for line in recipe.splitlines())


def _scaled(query: str, scale_line: Callable[[str], str | None]) -> str:
    found = scale_line(query)
    if found is None:
        raise DataError(
            _("this line cannot be scaled"),
            where=query,
            do=_("Scale it by hand."),
        )
    return found


def _product(amount: Amount, factor: Fraction) -> str:
    """Decimal as it was written, or where whole grams and the like no longer are; else a fraction."""
    number = amount.number
    decimal = "." in number or "．" in number
    whole = number.isdecimal() and amount.metric
    return spell(read_number(number) * factor, decimal=decimal or whole) + amount.unit
