"""The content of a report without its layout: texts, lists, tables, charts. HTML and Markdown render it differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from terakoya.reporting.translations import say


class MarkedText(str):
    """A cell of a table some of whose characters are marked; as text it is the whole.

    parts  (text, whether it is marked), in order
    """

    __slots__ = ("parts",)
    parts: tuple[tuple[str, bool], ...]

    def __new__(cls, parts: Sequence[tuple[str, bool]]) -> MarkedText:
        """The cell of these parts.

        parts  (text, whether it is marked), in order
        """
        made = super().__new__(cls, "".join(text for text, _marked in parts))
        made.parts = tuple(parts)
        return made


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class TableBlock:
    """A table.

    head     column headers
    rows     cells as text
    numbers  columns that are aligned right
    folded   title under which the HTML page collapses it, "" where it is always open
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: str = ""


@dataclass(frozen=True)
class PropertyList:
    """Names with their values."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Charts:
    """Charts by name; the HTML page draws them, Markdown leaves them out (their values stand in tables)."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Folded:
    """Long text that the HTML page collapses under a title."""

    title: str
    text: str


Block = Paragraph | Heading | Bullets | TableBlock | PropertyList | Charts | Folded


@dataclass(frozen=True)
class ReportSection:
    """One section of a report: its key is the same in every language."""

    key: str
    title: str
    blocks: tuple[Block, ...]


def format_value(value: float) -> str:
    """A score with three decimals, or as many as keep it from looking like 0 or 1 when it is not.

    value  as computed
    """
    for decimals in (3, 4, 5):
        text = f"{value:.{decimals}f}"
        if value in (0, 1) or float(text) not in (0.0, 1.0):
            return text
    return f"{value:.2g}" if value < 0.5 else f"{value:.7f}"


def column_headers(lang: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Column headers in the reader's language.

    lang  "en" or "ja"
    keys  of report/translations.py
    """
    return tuple(say(lang, key) for key in keys)
