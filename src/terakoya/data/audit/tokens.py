"""What the tokenizer loses or cuts. The tokenizer comes as a value, so that the audit needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from terakoya.codec.text import normalise_source
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMN_NAMES, AuditContext, AuditRow, Tally, format_percent, share
from terakoya.i18n import _
from terakoya.records import Finding


class AuditTokenizer(Protocol):
    """What the audit needs of a tokenizer: ids without special tokens, and the text of ids."""

    @property
    def unknown(self) -> int | None:
        """The id of unknown tokens; None where there is none."""
        ...

    @property
    def max_source(self) -> int:
        """Tokens of a source that fit, special ones not counted; 0 is no limit."""
        ...

    @property
    def max_target(self) -> int:
        """Tokens of a target that fit, special ones not counted; 0 is no limit."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """Token ids of a `text`, without special tokens."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token `ids`."""
        ...


class TokenizerRoundTrip:
    """Encodes every source and every written target, and decodes them again.

    subject    what the data is for
    tokenizer  of the model
    """

    def __init__(self, subject: AuditContext, tokenizer: AuditTokenizer) -> None:
        self.subject, self.tokenizer = subject, tokenizer
        self.rows = 0
        self.lost_sources, self.cut_sources, self.lost_targets, self.cut_targets = Tally(), Tally(), Tally(), Tally()

    def add(self, row: AuditRow) -> None:
        """Encodes both texts of the row.

        row  in the order of the file
        """
        example = row.example
        self.rows += 1
        ids = self.tokenizer.encode(example.source)
        if self._unknown(ids) or normalise_source(self.tokenizer.decode(ids)) != normalise_source(example.source):
            self.lost_sources.add(example.row, example.source)
        count = len(ids)
        if 0 < self.tokenizer.max_source < count:
            self.cut_sources.add(example.row, _("{count} tokens", count=count))
        if row.canonical is not None:
            self._target(self.subject.codec.write(example.target), row)

    def _target(self, written: str, row: AuditRow) -> None:
        ids = self.tokenizer.encode(written)
        # A space at the ends is added by the tokenizer, and removed after decoding.
        read = self.subject.codec.read(self.tokenizer.decode(ids).strip())
        if self._unknown(ids) or (read != row.canonical and written == written.strip()):
            self.lost_targets.add(row.example.row, written)
        count = len(ids)
        if 0 < self.tokenizer.max_target < count:
            self.cut_targets.add(row.example.row, _("{count} tokens", count=count))

    def _unknown(self, ids: Sequence[int]) -> bool:
        return self.tokenizer.unknown is not None and self.tokenizer.unknown in ids

    def findings(self) -> Iterator[Finding]:
        """Findings on texts that are changed, and on texts that are too long."""
        limits = {"source": self.tokenizer.max_source, "target": self.tokenizer.max_target}
        for name, lost, cut, few in (
            ("source", self.lost_sources, self.cut_sources, (line.UNKNOWN_SOURCES, line.CUT_SOURCES)),
            ("target", self.lost_targets, self.cut_targets, (0.0, 0.0)),
        ):
            bad = "stop" if name == "target" else "warn"
            title, limit = COLUMN_NAMES[name], limits[name]
            if lost.count:
                part = share(lost.count, self.rows)
                count, percent = lost.count, format_percent(part)
                yield lost.finding(
                    "tokenizer-loses",
                    bad if part >= few[0] else "note",  # type: ignore[arg-type]
                    _(
                        "{count} {title} ({percent}) are changed by encoding and decoding",
                        count=count,
                        title=title,
                        percent=percent,
                    ),
                    do=_('Add what is missing (model.new_tokens = "needed"), or take another model.'),
                    where=name,
                )
            if cut.count:
                part = share(cut.count, self.rows)
                count, percent = cut.count, format_percent(part)
                yield cut.finding(
                    "too-long",
                    bad if part >= few[1] else "note",  # type: ignore[arg-type]
                    _(
                        "{count} {title} ({percent}) are longer than {limit} tokens and would be cut",
                        count=count,
                        title=title,
                        percent=percent,
                        limit=limit,
                    ),
                    do=_("Raise model.max_{name}, or drop the rows.", name=name),
                    where=name,
                )
