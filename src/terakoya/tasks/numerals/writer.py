"""Writes a number in every form in which Japanese texts write numbers; `reader.read` gives it back exactly.

Forms and their weights are in FORMS. A form that cannot write a number well (a decimal of 123,456,789, a
skip mark where no place is skipped) says so in `fits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from terakoya.errors import DataError, nearest
from terakoya.i18n import _
from terakoya.tasks.numerals import spelling, spelling_variants
from terakoya.tasks.numerals.reader import LIMIT, read
from terakoya.tasks.numerals.spelling import BARE


def _always(number: int) -> bool:
    return True


_Form = tuple[float, Callable[[int, Random], str], Callable[[int], bool]]
_FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        "kanji": (16, spelling.kanji, _always),
        "kanji-one": (6, spelling.kanji_one, lambda number: number > 0),
        "daiji-legal": (6, spelling.in_style(spelling.LEGAL, spelling.LEGAL_UNITS), _always),
        "daiji": (7, spelling.in_style(spelling.DAIJI, spelling.DAIJI_UNITS), _always),
        "daiji-old": (6, spelling.in_style(spelling.OLD, spelling.DAIJI_UNITS), _always),
        "mixed": (9, spelling.mixed, _always),
        "twenty": (5, spelling.twenty, spelling.has_twenty),
        "marked": (4, spelling.marked, spelling.skips_a_place),
        "positional": (7, spelling.positional, _always),
        "kanji-groups": (6, spelling.kanji_groups, lambda number: number >= 10000),
        "digits": (6, spelling.digits, _always),
        "separated": (9, spelling.separated, lambda number: number >= 1000),
        "units": (11, spelling.units, lambda number: number >= 10000 or (number > 0 and number % 100 == 0)),
        "decimal": (9, spelling.decimal, lambda number: bool(spelling.decimal_powers(number))),
        "shapes": (5, spelling_variants.shapes, _always),
        "units-and-digits": (4, spelling_variants.units_and_digits, spelling_variants.has_thousands),
        "separated-units": (4, spelling_variants.separated_units, spelling_variants.has_sections),
        "zeros": (4, spelling_variants.written_zeros, _always),
        "bare": (1, spelling.bare, BARE.__contains__),
    }
)
# Written form → how often it is drawn, relative to the others. Hard forms (commas, decimals, digits with units) weigh
# more than they occur in texts, or they are learnt last. "bare" (百, 万, 億) knows six numbers only.
FORMS: Mapping[str, float] = MappingProxyType({name: form[0] for name, form in _FORMS.items()})


def fits(number: int, form: str) -> bool:
    """Whether that form writes this number well.

    number  0 to 10^16 − 1
    form    a name in FORMS; DataError for another
    """
    return _form(form)[2](number)


def forms_of(number: int) -> tuple[str, ...]:
    """Every form that writes this `number` well."""
    return tuple(name for name in _FORMS if fits(number, name))


def write(number: int, form: str, rng: Random) -> str:
    """The number in that form; where the form leaves a choice (千万 or 一千万), `rng` makes it.

    number  0 to 10^16 − 1
    form    a name in FORMS
    rng     chooses among spellings
    Raises DataError for a number out of range and for one that the form does not write.
    """
    if not 0 <= number < LIMIT:
        largest = LIMIT - 1
        raise DataError(
            _("{number} is out of range", number=number),
            do=_("Numerals are written from 0 to {largest} (below 10^16).", largest=largest),
        )
    source = write_if_fits(number, form, rng)
    if source is None:
        forms = ", ".join(forms_of(number))
        raise DataError(
            _("{number} is not written in the form '{form}'", number=number, form=form),
            do=_("Forms for it: {forms}.", forms=forms),
        )
    return source


def write_if_fits(number: int, form: str, rng: Random) -> str | None:
    """As `write`, for a number in range; None where the form does not write it.

    number  0 to 10^16 − 1
    form    a name in FORMS; DataError for another
    rng     chooses among spellings
    """
    _, spell, fits_form = _form(form)
    return spell(number, rng) if fits_form(number) else None


def can_stand_for(source: str, number: int) -> bool:
    """Whether this number can have produced that source.

    source  a written number; one that cannot be read gives False
    number  0 or more
    """
    return read(source) == number


def _form(name: str) -> _Form:
    if name not in _FORMS:
        raise DataError(_("there is no written form '{name}'", name=name), do=nearest(name, FORMS))
    return _FORMS[name]
