"""Cells that hold the text of a list: `['✨', '🎉']`, as a program writes a list that was never joined."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import AuditContext, AuditRow, Tally
from terakoya.i18n import _, joined
from terakoya.records import Finding

if TYPE_CHECKING:
    from terakoya.data.audit.row_blocks import RowBlock

# Quotes inside brackets: a remark in brackets, (3本), has none.
# Possessive: a quote and a page of spaces took time that grew with their square.
_QUOTED = re.compile(r"""\s*+[\[({]\s*+['"].*['"]\s*+,?+\s*+[\])}]\s*+""", re.DOTALL)


class WrittenLists:
    """Looks for sources and targets that are lists turned into text.

    subject  what the data is for
    """

    PATTERN = r"^[\s\x1c-\x1f]*[\[({]"

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.sources, self.targets = Tally(), Tally()

    def add(self, row: AuditRow) -> None:
        """Looks at source and target.

        row  in the order of the file
        """
        example = row.example
        if is_written_list(example.source):
            self.sources.add(example.row, example.source)
        if is_written_list(example.target):
            self.targets.add(example.row, example.target)

    def add_block(self, block: RowBlock) -> None:
        """Looks at the rows of `block` with a cell that begins like a list."""
        lists = block.of_targets("list", lambda facts: is_written_list(facts.text))
        for row in block.rows(block.sources_with(self.PATTERN) | lists):
            self.add(row)

    def findings(self) -> Iterator[Finding]:
        """One finding for each column."""
        if count := self.targets.count:
            advice = [_("Write the items alone, between spaces: a model learns brackets and quotes as well.")]
            if not self.subject.labels:
                advice.append(_("If they are labels, --set task.codec=labels reads such lists."))
            yield self.targets.finding(
                "written-lists",
                "warn",
                _("{count} targets are the text of a list", count=count),
                do=joined(" ", advice),
                where="target",
            )
        if count := self.sources.count:
            yield self.sources.finding(
                "written-lists",
                "warn",
                _("{count} sources are the text of a list", count=count),
                do=_("Write the items alone: people type no brackets and quotes around a text."),
                where="source",
            )


def is_written_list(text: str) -> bool:
    """Whether a `text` is a list, tuple or set of quoted strings, as Python or JSON writes it."""
    if len(text) > line.LONG_TEXT or not _QUOTED.fullmatch(text):
        return False
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return isinstance(value, (list, tuple, set)) and all(isinstance(item, str) for item in value)
