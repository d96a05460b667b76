"""What all output on a terminal shares: text that is safe to print, its width, a console, a finding."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from terakoya.errors import TerakoyaError
from terakoya.i18n import _, in_language

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from terakoya.records import Finding

_MARKS = {"note": "·", "warn": "!", "stop": "✕"}
_STYLES = {"note": "dim", "warn": "yellow", "stop": "bold red"}


_ZERO_WIDTH_JOINER, _BLACK_FLAG = "\u200d", "\U0001f3f4"
_TAGS = "".join(map(chr, range(0xE0020, 0xE0080)))  # letters of a flag
# What JSON may hold as it is and a terminal obeys: DEL, C1, marks of direction, separators of lines, lone surrogates.
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ud800-\udfff]")


def safe(text: str) -> str:
    """One line of text from anywhere, with control and direction marks made visible: a terminal obeys none of them.

    text  any characters; those that join an emoji or a flag stay
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in " \u3000" or _joins_emoji(text, at) else _escaped(char)
        for at, char in enumerate(text)
    )


def safe_lines(text: str) -> str:
    """As `safe`, but the line breaks of `text` stay."""
    return "\n".join(safe(line) for line in text.replace("\r\n", "\n").split("\n"))


def safe_json(text: str) -> str:
    """A JSON document whose `text` a terminal can be shown; the values in it are the same."""
    return _RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _joins_emoji(text: str, at: int) -> bool:
    """Whether the character stands inside an emoji: a joiner between two, or a letter of a flag in tags."""
    if text[at] == _ZERO_WIDTH_JOINER:
        around = text[at - 1 : at] + text[at + 1 : at + 2]
        return len(around) == 2 and all(unicodedata.category(char) in ("So", "Sk", "Mn", "Sm") for char in around)
    return text[at] in _TAGS and text[:at].rstrip(_TAGS).endswith(_BLACK_FLAG)


def columns(text: str) -> int:
    """Columns of a terminal that a line takes: two for a wide character, none for a combining mark.

    text  one line. An emoji in the form of several counts as its parts: more than some terminals need, never less
    """
    return 0 if not text else sum(map(_columns_of, text)) + text.count("\ufe0f")


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, width: int) -> str:
    """A line that is cut, with … at its end, where it is wider than the terminal.

    text   one line
    width  columns that there are
    """
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        used += columns(char)
        if used > width - 1:
            break
        kept += char
    return kept + "…"


def new_console(*, stderr: bool = False) -> Console:
    """A console on which no text can control the terminal, whatever is printed, tables included.

    stderr  True: on standard error
    """
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
            """As rich does, with the text of every segment made safe; rich's own control codes stay."""
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(safe_lines(segment.text), segment.style)

    return SafeConsole(stderr=stderr, highlight=False, soft_wrap=True, markup=False)


def print_finding(console: Console, finding: Finding, lang: str) -> None:
    what, where, do = (safe(in_language(text, lang)) for text in (finding.what, finding.where, finding.do))
    place = f" ({where})" if where else ""
    rows = finding.locations(8)
    named = _(" ({file}, rows {rows})", file=finding.file, rows=rows) if finding.file else _(" rows {rows}", rows=rows)
    where_rows = safe(in_language(named, lang)) if finding.rows else ""
    console.print(f"  {_MARKS[finding.level]} {finding.check}{place}: {what}{where_rows}", style=_STYLES[finding.level])
    if do and finding.level != "note":
        console.print(f"      → {do}")


@contextmanager
def error_language(lang: str) -> Iterator[None]:
    """Errors raised inside are shown in this language, where the command line names no other."""
    try:
        yield
    except TerakoyaError as error:
        error.lang = error.lang or lang
        raise
