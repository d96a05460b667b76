"""Japanese text and emoji put in order, one named step at a time.

Sources are compared under `source_form`; targets are never normalised here (NFKC turns ™️ into TM️):
their canonical form is the codec's affair.
"""

from __future__ import annotations

import unicodedata

import regex

_SPACES = regex.compile(r"\s+")
_INVISIBLE = regex.compile(r"[\p{Cf}--\u200d]", regex.V1)


def compatible(text: str) -> str:
    """Full-width digits and letters, half-width katakana and the like in one form (NFKC)."""
    return unicodedata.normalize("NFKC", text)


def without_invisible(text: str) -> str:
    """Zero-width and formatting characters removed; the joiner inside emoji stays."""
    return _INVISIBLE.sub("", text)


def single_spaced(text: str) -> str:
    """Runs of white space become one space, ends are trimmed."""
    return _SPACES.sub(" ", text).strip()


def source_form(text: str) -> str:
    """The normal form under which two sources are the same source: compatible, visible, case-folded, single-spaced."""
    return single_spaced(without_invisible(compatible(text))).casefold()


def graphemes(text: str) -> list[str]:
    r"""What a reader sees as single characters (extended grapheme clusters, Unicode UAX #29, `\X`)."""
    return regex.findall(r"\X", text)
