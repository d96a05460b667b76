"""What the tokenizer cannot carry. It comes as a value, so that the audit knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMNS, Seen, Subject, Tally, percent, share
from terakoya.i18n import both
from terakoya.records import Finding
from terakoya.text import source_form


class Tokenizer(Protocol):
    """What the audit asks of a tokenizer: ids without special tokens, and the text of ids.

    unknown      the id that stands for what it does not know (None: there is none)
    max_source, max_target   tokens that fit, special ones not counted (0: no limit)
    """

    @property
    def unknown(self) -> int | None: ...

    @property
    def max_source(self) -> int: ...

    @property
    def max_target(self) -> int: ...

    def encode(self, text: str) -> Sequence[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class Tokens:
    """Encodes every source and every written target, and decodes them again."""

    def __init__(self, subject: Subject, tokenizer: Tokenizer) -> None:
        self.subject, self.tokenizer = subject, tokenizer
        self.rows = 0
        self.lost_sources, self.cut_sources, self.lost_targets, self.cut_targets = Tally(), Tally(), Tally(), Tally()

    def see(self, seen: Seen) -> None:
        example = seen.example
        self.rows += 1
        ids = self.tokenizer.encode(example.source)
        if self._unknown(ids) or source_form(self.tokenizer.decode(ids)) != source_form(example.source):
            self.lost_sources.add(example.row, example.source)
        if 0 < self.tokenizer.max_source < len(ids):
            self.cut_sources.add(example.row, both(f"{len(ids)} tokens", f"{len(ids)}トークン"))
        if seen.canonical is not None:
            self._target(self.subject.codec.write(example.target), seen)

    def _target(self, written: str, seen: Seen) -> None:
        ids = self.tokenizer.encode(written)
        # A space at the ends is the tokenizer's own habit, and decoding takes it off.
        read = self.subject.codec.read(self.tokenizer.decode(ids).strip())
        if self._unknown(ids) or (read != seen.canonical and written == written.strip()):
            self.lost_targets.add(seen.example.row, written)
        if 0 < self.tokenizer.max_target < len(ids):
            self.cut_targets.add(seen.example.row, both(f"{len(ids)} tokens", f"{len(ids)}トークン"))

    def _unknown(self, ids: Sequence[int]) -> bool:
        return self.tokenizer.unknown is not None and self.tokenizer.unknown in ids

    def findings(self) -> Iterator[Finding]:
        limits = {"source": self.tokenizer.max_source, "target": self.tokenizer.max_target}
        for name, lost, cut, few in (
            ("source", self.lost_sources, self.cut_sources, (line.UNKNOWN_SOURCES, line.CUT_SOURCES)),
            ("target", self.lost_targets, self.cut_targets, (0.0, 0.0)),
        ):
            bad = "stop" if name == "target" else "warn"
            if lost.count:
                part = share(lost.count, self.rows)
                yield lost.finding(
                    "tokenizer-loses",
                    bad if part >= few[0] else "note",  # type: ignore[arg-type]
                    both(
                        f"{lost.count} {name}s ({percent(part)}) do not survive the tokenizer",
                        f"{COLUMNS[name]}{lost.count}件（{percent(part)}）がトークナイザで元に戻らない",
                    ),
                    do=both(
                        'Add what is missing (model.new_tokens = "needed"), or take another model.',
                        '足りないものを加えるか（model.new_tokens = "needed"）、別のモデルを使うこと。',
                    ),
                    where=name,
                )
            if cut.count:
                part = share(cut.count, self.rows)
                yield cut.finding(
                    "too-long",
                    bad if part >= few[1] else "note",  # type: ignore[arg-type]
                    both(
                        f"{cut.count} {name}s ({percent(part)}) are longer than {limits[name]} tokens and would be cut",
                        f"{COLUMNS[name]}{cut.count}件（{percent(part)}）が{limits[name]}トークンより長く"
                        "、切られてしまう",
                    ),
                    do=both(
                        f"Raise model.max_{name}, or drop the rows.",
                        f"model.max_{name} を大きくするか、その行を外すこと。",
                    ),
                    where=name,
                )
