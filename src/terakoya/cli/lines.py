"""What all output on a terminal shares: text that is safe to print, a console, a finding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from terakoya.errors import TerakoyaError
from terakoya.i18n import _, in_language
from terakoya.records import Finding

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {"note": "·", "warn": "!", "stop": "✕"}
_STYLES = {"note": "dim", "warn": "yellow", "stop": "bold red"}


def safe(text: str) -> str:
    """Text from data or predictions with control and direction marks made visible: a terminal obeys none of them."""
    return "".join(char if char.isprintable() or char == " " else f"\\u{ord(char):04x}" for char in text)


def new_console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False)


def safe_lines(text: str) -> str:
    """As `safe`, but line breaks stay."""
    return "\n".join(safe(line) for line in text.splitlines())


def print_finding(console: Console, finding: Finding, lang: str) -> None:
    what, where, do = (safe(in_language(text, lang)) for text in (finding.what, finding.where, finding.do))
    place = f" ({where})" if where else ""
    rows = f"{', '.join(map(str, finding.rows[:8]))}{' …' if len(finding.rows) > 8 else ''}"
    where_rows = in_language(_(" rows {rows}", rows=rows), lang) if finding.rows else ""
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
