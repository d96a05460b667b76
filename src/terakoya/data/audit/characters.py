"""Characters that should not be there: mojibake, invisible ones, template marks, two widths, emoji in the input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from terakoya.codec.text import split_emoji
from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import COLUMN_NAMES, AuditContext, AuditRow, Tally, format_percent, share, shorten
from terakoya.i18n import _
from terakoya.records import Finding, Level

if TYPE_CHECKING:
    from terakoya.data.audit.known_targets import TargetFacts
    from terakoya.data.audit.row_blocks import RowBlock

# Emoji that show as such by themselves (Emoji_Presentation, Unicode 16), or through the variation selector.
EMOJI = re.compile(
    "[\u231a\u231b\u23e9-\u23ec\u23f0\u23f3\u25fd\u25fe\u2614\u2615\u2648-\u2653\u267f\u2693\u26a1\u26aa\u26ab\u26bd"
    "\u26be\u26c4\u26c5\u26ce\u26d4\u26ea\u26f2\u26f3\u26f5\u26fa\u26fd\u2705\u270a\u270b\u2728\u274c\u274e"
    "\u2753-\u2755\u2757\u2795-\u2797\u27b0\u27bf\u2b1b\u2b1c\u2b50\u2b55\U0001f004\U0001f0cf\U0001f18e"
    "\U0001f191-\U0001f19a\U0001f1e6-\U0001f1ff\U0001f201\U0001f21a\U0001f22f\U0001f232-\U0001f236"
    "\U0001f238-\U0001f23a\U0001f250\U0001f251\U0001f300-\U0001faff]|[\u0023-\u3299]\ufe0f"
)
# Most rows are checked by this pattern alone: without one of these characters nothing is wrong.
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f<\\[\x7f-\xff\u0152-\u017e\u0192\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b-\u200f\u201a\u202a-\u202e\u2060-\u206f\u3099\u309a\u3164\u7e3a\u7e67\u7e5d\u8b41\ue000-\uf8ff"
    "\ufeff\uff61-\uff9f\uffa0\ufff9-\ufffd\U000e0000-\U000e007f]|\\?{4}"
)
# UTF-8 read as Latin 1 or CP1252, UTF-8 as CP932, EUC-JP as CP932, CP932 as Latin 1 or CP1252, and what is lost.
_MOJIBAKE = re.compile(
    "[ÃÂãåæçèéäï][\x80-\xbf\u0152-\u017e\u0192\u02c6\u02dc\u2013-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
    "|(?:[縺繧繝][^ぁ-んァ-ヶ]?){2,}|譁\ue000?|(?:[､･][｡-ﾟ]){3,}|(?:[\x82\x83\u201a\u0192].){3,}|\ufffd|\\?{4,}"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]"
    # A joiner that joins no emoji, and tags that follow no black flag.
    "|(?<![\u2190-\u3299\ufe0f\U0001f000-\U0001faff])\u200d|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]"
)
_SPECIAL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:pad|unk|bos|eos|mask|sep|cls|think)>|</think>|<(?:start|end)_of_(?:turn|text)>"
    r"|<extra_id_\d+>|<<SYS>>|\[/?INST\]|\[(?:CLS|SEP|MASK|UNK|PAD|BOS|EOS)\]|<unused\d+>"
)
# White space at an end, and whatever else one of the patterns needs.
_SUSPECT = r"^[\s\x1c-\x1f]|[\s\x1c-\x1f]$|[０-９Ａ-Ｚａ-ｚ]|" + _ODD.pattern
_HALF, _FULL = re.compile("[0-9A-Za-zｱ-ﾝ]"), re.compile("[０-９Ａ-Ｚａ-ｚ]")


@lru_cache(maxsize=65536)
def _holds_emoji(label: str) -> bool:
    return EMOJI.search(label) is not None


@dataclass
class _CharacterColumn:
    mojibake: Tally = field(default_factory=Tally)
    invisible: Tally = field(default_factory=Tally)
    special: Tally = field(default_factory=Tally)
    loose: Tally = field(default_factory=Tally)
    edges: Tally = field(default_factory=Tally)
    full: Tally = field(default_factory=Tally)
    half: int = 0

    def add(self, text: str, row: int) -> None:
        if text and (text[0].isspace() or text[-1].isspace()) and not text.isspace():
            self.edges.add(row, text)
        self.half += _HALF.search(text) is not None
        if text.isascii() and "<" not in text and "[" not in text and "?" not in text and text.isprintable():
            return
        if _FULL.search(text):
            self.full.add(row, text)
        if not _ODD.search(text):
            return
        if found := _MOJIBAKE.search(text):
            self.mojibake.add(row, text[max(0, found.start() - 10) :])
        if found := _INVISIBLE.search(text):
            self.invisible.add(row, f"U+{ord(found[0]):04X}")
        if found := _SPECIAL.search(text):
            self.special.add(row, found[0])
        if "\u3099" in text or "\u309a" in text:
            self.loose.add(row, text)


class UnwantedCharacters:
    """Looks for characters that damage training, in both columns.

    subject  what the data is for
    """

    PATTERN, EMOJI = _SUSPECT, EMOJI.pattern

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.columns = {"source": _CharacterColumn(), "target": _CharacterColumn()}
        self.rows = 0
        self.emoji_sources, self.other_labels = Tally(), Tally()
        self.labels = self.emoji_labels = 0

    def add(self, row: AuditRow) -> None:
        """Looks at both texts of the row.

        row  in the order of the file
        """
        example = row.example
        self.rows += 1
        self.columns["source"].add(example.source, example.row)
        self.columns["target"].add(example.target, example.row)
        if self.subject.labels:
            labels = example.target.split()
            emoji = sum(EMOJI.search(label) is not None for label in labels)
            self.labels += len(labels)
            self.emoji_labels += emoji
            if emoji < len(labels) and split_emoji(example.target) is None:
                self.other_labels.add(example.row, example.target)
            if found := EMOJI.search(example.source):
                emoji_found, source = found[0], shorten(example.source)
                self.emoji_sources.add(
                    example.row, _("{emoji_found} in {source}", emoji_found=emoji_found, source=source)
                )

    def add_block(self, block: RowBlock) -> None:
        """Looks at the rows of `block` with a character that may be unwanted; of the others letters are counted."""
        labels = self.subject.labels
        odd = block.sources_with(self.PATTERN) | block.of_targets("characters", self._is_suspect)
        if labels:
            odd = odd | block.sources_with(self.EMOJI)
        for row in block.rows(odd):
            self.add(row)
        rest = ~odd
        self.rows += int(rest.sum())
        self.columns["source"].half += int((rest & block.sources.str.contains(_HALF.pattern).to_numpy()).sum())
        half = block.of_targets("half", lambda facts: _HALF.search(facts.text) is not None)
        self.columns["target"].half += int((rest & half).sum())
        if labels:  # of a target that is not odd every label is an emoji
            count = int(block.values("labels", lambda facts: len(facts.text.split()))[rest].sum())
            self.labels += count
            self.emoji_labels += count

    def _is_suspect(self, facts: TargetFacts) -> bool:
        text = facts.text
        if text and (text[0].isspace() or text[-1].isspace()):
            return True
        if _FULL.search(text) or _ODD.search(text):
            return True
        return self.subject.labels and not all(map(_holds_emoji, text.split()))

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind of character and column."""
        for name, column in self.columns.items():
            yield from self._strange(name, column)
            yield from self._widths(name, column)
        if self.labels and self.emoji_labels >= line.EMOJI_TASK * self.labels:
            yield from self._emoji()

    def _strange(self, name: str, column: _CharacterColumn) -> Iterator[Finding]:
        for check, tally, says, do in (
            (
                "mojibake",
                column.mojibake,
                _("hold text read in a wrong encoding"),
                _("Read the original again (--encoding)."),
            ),
            (
                "invisible",
                column.invisible,
                _("hold invisible or control characters"),
                _("Take them out of the table."),
            ),
            (
                "loose-marks",
                column.loose,
                _("hold kana and sound mark apart (か+゛)"),
                _("Compose them (NFC)."),
            ),
            (
                "special-tokens",
                column.special,
                _("hold marks that templates use"),
                _("Take them out of the table."),
            ),
        ):
            if tally.count:
                part = share(tally.count, self.rows)
                level: Level = "warn" if name == "target" or part >= line.STRANGE else "note"
                count, percent, title = tally.count, format_percent(part), COLUMN_NAMES[name]
                what = _(
                    "{count} {title} ({percent}) {description}",
                    count=count,
                    title=title,
                    percent=percent,
                    description=says,
                )
                yield tally.finding(check, level, what, do=do, where=name)
        if count := column.edges.count:
            title = COLUMN_NAMES[name]
            some = name == "target" and self.subject.kind == "text" and share(column.edges.count, self.rows) < 0.5
            yield column.edges.finding(
                "edge-space",
                "warn" if some and share(column.edges.count, self.rows) >= line.STRANGE else "note",
                _("{count} {title} start or end with white space", count=count, title=title),
                do=_("Trim them: two spellings of one target."),
                where=name,
            )

    def _widths(self, name: str, column: _CharacterColumn) -> Iterator[Finding]:
        """Both widths in use, each by some rows."""
        full, half, title = column.full.count, column.half, COLUMN_NAMES[name]
        fewer = min(full, half)
        if fewer:
            # A codec of numbers writes both widths in one form.
            matters = name == "target" and self.subject.kind in ("text", "labels")
            yield column.full.finding(
                "mixed-widths",
                "warn" if matters and share(fewer, self.rows) >= line.MIXED_WIDTH else "note",
                _(
                    "{full} {title} hold full-width letters or digits, {half} half-width ones",
                    full=full,
                    title=title,
                    half=half,
                ),
                do=_("Write targets in one width."),
                where=name,
            )

    def _emoji(self) -> Iterator[Finding]:
        if count := self.emoji_sources.count:
            part = share(count, self.rows)
            percent = format_percent(part)
            yield self.emoji_sources.finding(
                "emoji-in-input",
                "warn" if part >= line.EMOJI_INPUT else "note",
                _(
                    "{count} sources ({percent}) already hold emoji: the target is in the source",
                    count=count,
                    percent=percent,
                ),
                do=_("Take the emoji out of the sources, or drop the rows."),
                where="source",
            )
        if count := self.other_labels.count:
            yield self.other_labels.finding(
                "odd-labels",
                "warn",
                _("{count} targets hold something other than emoji", count=count),
                do=_("Correct or drop the rows: words are no labels here."),
                where="target",
            )
