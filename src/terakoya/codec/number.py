"""Numbers as a model writes them: eight notations of one value, each read back exactly.

The canonical form of a number is its plain decimal spelling: half-width, no separators, no needless zeros ("007" → "7",
"1.50" → "1.5", "1,000" → "1000"). A notation spells that form and reads only what it would itself have written, so
`complete(text)` holds exactly where `read(text)` gives a number. Written languages are regular but for one rule
(positions must fall), so `viable` is exact: the shape by partial matching, the rule by the positions that can still
follow.

The eighth notation is no spelling of a value but a working that gives it (arithmetic.py): a target may be one, and
keeps it.

PDS is the positional description scheme of arXiv 2408.12430, in the spelling of the numerals log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import regex

from terakoya.codec.arithmetic import WORKING, is_working, may_be_worked_out, worked_out
from terakoya.errors import ConfigError, DataError, nearest
from terakoya.i18n import _

# So many digits on either side of the point: whole groups of four, and positions of two digits. More is a serial
# number, not a quantity.
MAX_DIGITS = 96

_HALF_WIDTH = str.maketrans("０１２３４５６７８９，．－−‐＋（）", "0123456789,.---+()")
_SPOKEN = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.(?P<rest>[0-9]+))?", flags=re.ASCII
)
_WHOLE = rf"[1-9][0-9]{{0,{MAX_DIGITS - 1}}}"
_REST = rf"\.[0-9]{{0,{MAX_DIGITS - 1}}}[1-9]"
_PLAIN = rf"0|-?{_WHOLE}|-?(?:0|{_WHOLE}){_REST}"


def canonical_number(text: str) -> str:
    """One spelling for every number: equal value, equal text.

    text  digits, with or without sign, separators, decimals, brackets, in half or full width
    Raises DataError, naming the text, for what is no number.
    """
    if text.isascii() and text.isdecimal() and text[0] != "0" and len(text) <= MAX_DIGITS:
        return text  # most targets are so already, and every training example passes here
    given = text.strip().translate(_HALF_WIDTH)
    if given.startswith("(") and given.endswith(")"):
        given = given[1:-1].strip()  # the numerals log keeps its targets in brackets
    found = _SPOKEN.fullmatch(given)
    if not found or (found["whole"] is None and found["rest"] is None):
        raise DataError(
            _("{text!r} is no number", text=text),
            do=_("Write it in digits, as in 15000, 1,000, -2 or 0.5; or choose another codec."),
        )
    whole = (found["whole"] or "0").replace(",", "").lstrip("0") or "0"
    rest = (found["rest"] or "").rstrip("0")
    if len(whole) > MAX_DIGITS or len(rest) > MAX_DIGITS:
        first = text[:20]
        raise DataError(
            _("{first!r}… has more than {max_digits} digits", first=first, max_digits=MAX_DIGITS),
            do=_('Such a thing is a text: set codec = "text".'),
        )
    sign = "-" if found["sign"] == "-" and (whole != "0" or rest) else ""
    return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"


@dataclass(frozen=True)
class _Notation:
    """One way to write a number.

    pattern   what written numbers look like, as a regular expression
    spell     canonical form → written, for what the notation can write
    value     written (and matching) → canonical form, None where a rule beyond the pattern is broken
    feasible  whether a prefix that fits the pattern can still keep that rule
    any_sign  negative numbers and decimals can be written too
    worked    targets may be workings, 12*144, and are written as such
    """

    pattern: str
    spell: Callable[[str], str]
    value: Callable[[str], str | None]
    feasible: Callable[[str], bool] = lambda prefix: True
    any_sign: bool = False
    worked: bool = False

    @cached_property
    def shape(self) -> regex.Pattern[str]:
        return regex.compile(self.pattern, flags=regex.ASCII)


def _as_it_is(text: str) -> str:
    return text


def _worked_out(written: str) -> str | None:
    return worked_out(written) if is_working(written) else written


def _in_groups(number: str) -> str:
    """12345 → 0001,2345"""
    padded = number.zfill(-(-len(number) // 4) * 4)
    return ",".join(padded[at : at + 4] for at in range(0, len(padded), 4))


def _from_groups(written: str) -> str:
    return written.replace(",", "").lstrip("0") or "0"


def _in_short_groups(number: str) -> str:
    """100000020 → 1,,20: what a group does not need is left out, down to nothing for 0000."""
    first, *others = (group.lstrip("0") for group in _in_groups(number).split(","))
    return ",".join((first or "0", *others))


def _from_short_groups(written: str) -> str:
    first, *others = written.split(",")
    return first + "".join(group.zfill(4) for group in others)


@dataclass(frozen=True)
class _Terms:
    """A number as its digits other than 0, each with its position: `between` stands between digit and position.

    Positions must fall from term to term; the lowest position that is still open to a half-written one decides
    whether a prefix can be finished.
    """

    between: str
    opening: str
    closing: str
    zero: str
    offset: int  # added to the power of ten to give the place as written
    lowest: int

    @cached_property
    def lowest_with(self) -> Mapping[str, int]:
        """Digits of a position written so far → the lowest position with these first digits."""
        found: dict[str, int] = {}
        for position in range(self.lowest, MAX_DIGITS + self.offset):
            text = str(position)
            for end in range(len(text) + 1):
                found.setdefault(text[:end], position)
        return found

    @cached_property
    def term(self) -> re.Pattern[str]:
        return re.compile(rf" [1-9](?:{self.between}(-?[0-9]*))?")

    def spell(self, number: str) -> str:
        sign, number = ("- ", number[1:]) if number.startswith("-") else ("", number)
        whole, _, rest = number.partition(".")
        top = len(whole) - 1 + self.offset
        terms = (f"{digit}{self.between}{top - at}" for at, digit in enumerate(whole + rest) if digit != "0")
        return f"{self.opening} {sign}{' '.join(terms) or self.zero} {self.closing}"

    @cached_property
    def whole_term(self) -> re.Pattern[str]:
        return re.compile(rf" ([1-9]){self.between}(-?[0-9]+)")

    def value(self, written: str) -> str | None:
        if not self.feasible(written):
            return None
        digits = {int(position) - self.offset: digit for digit, position in self.whole_term.findall(written)}
        if not digits:
            return "0"
        top, bottom = max(0, *digits), min(0, *digits)
        whole = "".join(digits.get(position, "0") for position in range(top, -1, -1))
        rest = "".join(digits.get(position, "0") for position in range(-1, bottom - 1, -1))
        sign = "-" if written.startswith(f"{self.opening} -") else ""
        return f"{sign}{whole}.{rest}" if rest else f"{sign}{whole}"

    def feasible(self, prefix: str) -> bool:
        positions = self.term.findall(prefix)  # "" where a position is not begun
        last = len(positions) - 1
        lows = [self.lowest_with[text] if at == last else int(text) for at, text in enumerate(positions)]
        if positions and positions[-1] and prefix[-1] == " ":
            lows[-1] = int(positions[-1])
        return all(low < high for high, low in pairwise(lows))


_PDS = _Terms(between=" 0", opening="_", closing="_", zero="0 01", offset=1, lowest=1)
_EXPONENT = _Terms(between="e", opening="(", closing=")", zero="0e0", offset=0, lowest=-MAX_DIGITS)
_GROUP = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_MORE = MAX_DIGITS // 4 - 1  # groups after the first
_UP_TO_95 = "(?:9[0-5]|[1-8][0-9]|[1-9])"  # so that a position never exceeds MAX_DIGITS
_UP_TO_96 = "(?:9[0-6]|[1-8][0-9]|[1-9])"

_NOTATIONS: Mapping[str, _Notation] = MappingProxyType(
    {
        "plain": _Notation(_PLAIN, _as_it_is, _as_it_is, any_sign=True),
        "bracketed": _Notation(
            rf"\((?:{_PLAIN})\)", lambda number: f"({number})", lambda written: written[1:-1], any_sign=True
        ),
        "groups": _Notation(rf"0000|{_GROUP}(?:,[0-9]{{4}}){{0,{_MORE}}}", _in_groups, _from_groups),
        "short-groups": _Notation(
            rf"0|[1-9][0-9]{{0,3}}(?:,(?:[1-9][0-9]{{0,3}})?){{0,{_MORE}}}", _in_short_groups, _from_short_groups
        ),
        "pds": _Notation(rf"_(?: [1-9] 0{_UP_TO_96})+ _|_ 0 01 _", _PDS.spell, _PDS.value, _PDS.feasible),
        "exponent": _Notation(
            rf"\((?: -)?(?: [1-9]e(?:0|{_UP_TO_95}|-{_UP_TO_96}))+ \)|\( 0e0 \)",
            _EXPONENT.spell,
            _EXPONENT.value,
            _EXPONENT.feasible,
            any_sign=True,
        ),
        "reversed": _Notation(
            rf"0|[0-9]{{0,{MAX_DIGITS - 1}}}[1-9]", lambda number: number[::-1], lambda written: written[::-1]
        ),
        "calculator": _Notation(
            rf"{_PLAIN}|{WORKING}", _as_it_is, _worked_out, may_be_worked_out, any_sign=True, worked=True
        ),
    }
)
NOTATIONS: tuple[str, ...] = tuple(_NOTATIONS)


@dataclass(frozen=True)
class NumberCodec:
    """Numbers in one notation; `number_codec` makes it and knows the names.

    | notation | 15000 is written | writes also |
    |---|---|---|
    | plain | `15000` | negatives, decimals |
    | bracketed | `(15000)` | negatives, decimals |
    | groups | `0001,5000` | |
    | short-groups | `1,5000` (10^8 is `1,,`) | |
    | pds | `_ 1 05 5 04 _` | |
    | exponent | `( 1e4 5e3 )` | negatives (`( - 2e0 )`), decimals (`( 5e-1 )`) |
    | reversed | `00051` | |
    | calculator | `15000`, or as the target has it: `15*1000` | negatives, decimals, workings (`3/4`, `2+3/8`) |
    """

    notation: str = "plain"

    @property
    def name(self) -> str:
        """ "number:" and the notation."""
        return f"number:{self.notation}"

    def write(self, target: str) -> str:
        """The number in the notation.

        target  a number (for "calculator": or a working, which is kept)
        Raises DataError for what is no number, or none that the notation can write.
        """
        how = _NOTATIONS[self.notation]
        number = self.canonical(target)
        if how.worked and is_working(target):
            return target
        if not how.any_sign and not number.isdecimal():
            raise DataError(
                _(
                    "{target!r} cannot be written in the notation '{notation}', which knows whole numbers from 0 on",
                    target=target,
                    notation=self.notation,
                ),
                do=_("Choose the notation plain, bracketed or exponent."),
            )
        return how.spell(number)

    def read(self, raw: str) -> str | None:
        """The plain decimal; None for what the notation would not have written.

        raw  any text
        """
        how = _NOTATIONS[self.notation]
        return how.value(raw) if how.shape.fullmatch(raw) else None

    def canonical(self, target: str) -> str:
        """The plain decimal.

        target  a number (for "calculator": or a working)
        Raises DataError for what is no number.
        """
        if not _NOTATIONS[self.notation].worked or not is_working(target):
            return canonical_number(target)
        value = worked_out(target)
        if value is None:
            raise DataError(
                _("{target!r} has no end as a decimal", target=target),
                do=_("Leave it out, or choose another codec."),
            )
        return value

    def viable(self, prefix: str) -> bool:
        """Whether some written number has this prefix.

        prefix  characters so far
        """
        how = _NOTATIONS[self.notation]
        return bool(how.shape.fullmatch(prefix, partial=True)) and how.feasible(prefix)

    def complete(self, written: str) -> bool:
        """Whether a text is a whole written number.

        written  characters so far
        """
        return self.read(written) is not None


def notation_pattern(notation: str) -> str:
    """The regular expression of what a `notation` writes; of pds, exponent and calculator it allows a little more."""
    return _NOTATIONS[notation].pattern


def number_codec(notation: str = "plain") -> NumberCodec:
    """The codec of a notation.

    notation  one of NOTATIONS
    Raises ConfigError, offering the nearest name, for an unknown one.
    """
    if notation not in _NOTATIONS:
        raise ConfigError(
            _("there is no notation '{notation}' for numbers", notation=notation),
            where="notation",
            do=nearest(notation, NOTATIONS),
        )
    return NumberCodec(notation)
