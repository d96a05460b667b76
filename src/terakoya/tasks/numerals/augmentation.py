"""A written numeral with other digits: the same script and style, another number, read by the oracle."""

from __future__ import annotations

import re
from random import Random

from terakoya.records import Example
from terakoya.tasks.numerals.kinds import example
from terakoya.tasks.numerals.reader import LIMIT, read

# Digits that stand for one another: those of one style, 1 to 9.
_STYLES = ("一二三四五六七八九", "壱弐参肆伍陸漆捌玖", "壹貳參肆伍陸柒捌玖", "123456789", "１２３４５６７８９")
_DIGITS = {digit: style for style in reversed(_STYLES) for digit in style} | {"漆": _STYLES[1]}
_UNITS = {unit: units for units in ("十百千", "拾佰仟") for unit in units}
_WITH_UNIT = re.compile(f"[{''.join(_DIGITS)}]?[{''.join(_UNITS)}]")
_OTHER_UNITS = 0.5  # share of the draws in which a digit with its unit is dropped or moved besides


def vary(row: Example, rng: Random) -> Example | None:
    """Another numeral in the writing of this one, with the number that the oracle reads.

    Every digit becomes another of its own style; in every second draw a digit with its unit (三千) is left out
    or gets another unit of its style besides.

    row  a written numeral with its number
    rng  makes every choice
    Returns None where the text that was drawn is no numeral.
    """
    text = "".join(rng.choice(_DIGITS[char]) if char in _DIGITS else char for char in row.source)
    if rng.random() < _OTHER_UNITS:
        text = _other_unit(text, rng)
    number = read(text)
    if number is None or not 0 <= number < LIMIT:
        return None
    return example(number, row.tag("form") or row.tag("kind"), text)


def _other_unit(text: str, rng: Random) -> str:
    matches = list(_WITH_UNIT.finditer(text))
    if not matches:
        return text
    match = rng.choice(matches)
    found = match.group()
    changed = "" if rng.random() < 0.5 else found[:-1] + rng.choice(_UNITS[found[-1]])
    return text[: match.start()] + changed + text[match.end() :]
