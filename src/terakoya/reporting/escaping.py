"""Data stays data: whatever a source or a prediction contains, in a report it is text to be read and nothing else.

HTML escaping is Jinja's (autoescape); here are the other formats: invisible characters, Markdown, spreadsheets.
"""

from __future__ import annotations

import re
import unicodedata

from terakoya.codec.text import graphemes

# Bidirectional controls and invisible characters. The joiner U+200D and the variation selectors stay: emoji are made
# of them.
_HIDDEN = {*range(0x200B, 0x200D), 0x200E, 0x200F, 0x061C, 0x2028, 0x2029, 0x2060, 0xFEFF, 0xFFFC}
_BIDIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
# What means something in Markdown or in what GitHub adds (mentions, issues, emoji names, maths, links), each only
# where it does, so that the file can still be read as it is.
_MARKUP = re.compile(
    r"""[\\`*\[\]|~@$\#]            # anywhere
    | (?<![A-Za-z0-9])_|_(?![A-Za-z0-9])  # not inside a word
    | ^[-+=]|((?<=^\d)|(?<=^\d\d)|(?<=^\d\d\d))[.)](?=\s|$)  # at the start of a line: lists, underlines
    | :(?=/|[a-z0-9_+-]+:)         # links, emoji names
    | (?<=www)\.""",
    re.VERBOSE | re.IGNORECASE,
)
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    """Text with control, invisible and bidirectional characters shown by name: `⟨U+202E⟩`, `␛`, `⏎`.

    text  as data has it
    """
    return text if text.isascii() and text.isprintable() else "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    code = ord(char)
    if code == 0x0A:
        return "⏎"
    if code < 0x20:
        return chr(0x2400 + code)
    if code in _HIDDEN or code in _BIDIRECTIONAL or code == 0x7F or unicodedata.category(char) in {"Cc", "Cs", "Co"}:
        return f"⟨U+{code:04X}⟩"
    return char


def markdown_text(text: str) -> str:
    """Text that every Markdown reader shows as it is, on one line and inside a table too.

    text  as data has it
    """
    return _MARKUP.sub(lambda found: "\\" + found.group(0), visible(text).translate(_ENTITIES))


def spreadsheet_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before what would start one.

    text  as data has it
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def short(text: str, length: int) -> str:
    """A text cut to a length, the cut shown by an ellipsis.

    text    as data has it
    length  graphemes, that is characters as a reader counts them
    """
    seen = graphemes(text[: length * 12])
    return text if len(seen) <= length and len(text) <= length * 12 else "".join(seen[: length - 1]) + "…"
