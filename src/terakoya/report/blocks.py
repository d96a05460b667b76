"""What a record says before it has a look: texts, lists, tables, charts. Every face shows them its own way."""

from __future__ import annotations

from dataclasses import dataclass

from terakoya.report.translations import say


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """`numbers`: columns that are set flush right. `folded`: a title under which a page hides it until asked."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and what is known of them."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Charts:
    """Charts by name; a page draws them, Markdown leaves them out (the figures stand in tables)."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Folded:
    """Long matter that a page shows on demand."""

    title: str
    text: str


Block = Text | Heading | Bullets | Table | Facts | Charts | Folded


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    blocks: tuple[Block, ...]


def figure(value: float) -> str:
    """Three decimals, or as many as keep it from looking perfect or empty when it is not."""
    for decimals in (3, 4, 5):
        text = f"{value:.{decimals}f}"
        if value in (0, 1) or float(text) not in (0.0, 1.0):
            return text
    return f"{value:.2g}" if value < 0.5 else f"{value:.7f}"


def heads(lang: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(say(lang, key) for key in keys)
