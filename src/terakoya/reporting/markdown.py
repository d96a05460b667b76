"""The report of a run as Markdown: the same content as the HTML page, every piece of data escaped."""

from __future__ import annotations

from terakoya.reporting.blocks import (
    Block,
    Bullets,
    Charts,
    Folded,
    Heading,
    MarkedText,
    Paragraph,
    PropertyList,
    TableBlock,
)
from terakoya.reporting.escaping import markdown_text, visible
from terakoya.reporting.record import RunRecord
from terakoya.reporting.sections import run_report
from terakoya.reporting.translations import say


def markdown(record: RunRecord, lang: str = "en") -> str:
    """The whole report as one document. Charts are left to the HTML page: their values stand in tables here.

    record  the run
    lang    "en" (default) or "ja"
    """
    parts = [f"# {markdown_text(record.name)}"]
    for section in run_report(record, lang):
        parts.append(f"## {markdown_text(section.title)}")
        parts += [text for block in section.blocks if (text := render_block(block))]
    if record.predictions:
        parts.append(markdown_text(say(lang, "all in")))
    return "\n\n".join(parts) + "\n"


def table(block: TableBlock) -> str:
    """A table as Markdown.

    block  the table
    """
    rule = ["---:" if column in block.numbers else "---" for column in range(len(block.head))]
    lines = [_row([markdown_text(cell) for cell in block.head]), _row(rule)]
    return "\n".join([*lines, *(_row([_cell(cell) for cell in row]) for row in block.rows)])


def _cell(cell: str) -> str:
    """Marked characters are bold: as HTML, since stars mean nothing inside a word of Japanese."""
    if not isinstance(cell, MarkedText):
        return markdown_text(cell)
    return "".join(f"<b>{markdown_text(text)}</b>" if marked else markdown_text(text) for text, marked in cell.parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell or ' ' for cell in cells)} |"


def render_block(block: Block) -> str:
    """A block as Markdown; "" where it is only drawn.

    block  of any kind
    """
    match block:
        case Paragraph(text):
            return markdown_text(text)
        case Heading(text):
            return f"### {markdown_text(text)}"
        case Bullets(items):
            return "\n".join(f"- {markdown_text(item)}" for item in items)
        case TableBlock():
            return f"{markdown_text(block.folded)}:\n\n{table(block)}" if block.folded else table(block)
        case PropertyList(rows):
            return "\n".join(f"- {markdown_text(name)}: {markdown_text(fact)}" for name, fact in rows)
        case Folded(title, text):
            # Indented by four: a code block that no fence in the data can end.
            code = "\n".join(f"    {visible(line)}" for line in text.split("\n"))
            return f"{markdown_text(title)}:\n\n{code}"
        case Charts():
            return ""
