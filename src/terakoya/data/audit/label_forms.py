"""Labels that are not what their author meant: with commas, brackets or quotes in them, and odd emoji."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from terakoya.codec.labels import LabelsCodec
from terakoya.codec.text import graphemes, normalise_emoji, split_emoji
from terakoya.data.audit.single_pass import AuditContext, AuditRow, Tally
from terakoya.i18n import _, joined
from terakoya.records import Finding

if TYPE_CHECKING:
    from terakoya.data.audit.known_targets import TargetFacts
    from terakoya.data.audit.row_blocks import RowBlock

_SEPARATORS = ",、，;；|/"
_WRAPPING = "[]{}()<>'\"`「」『』"


class LabelForms:
    """Looks at the labels of every target, as its codec reads them.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.emoji = isinstance(subject.codec, LabelsCodec) and subject.codec.emoji
        self.punctuation, self.apart, self.symbols = Tally(), Tally(), Tally()
        self.marks: Counter[str] = Counter()

    def add(self, row: AuditRow) -> None:
        """Looks at the labels of the row.

        row  in the order of the file
        """
        if not self.subject.labels:
            return
        number, target = row.example.row, row.example.target
        labels = (row.canonical or target).split()
        odd = [label for label in labels if _bare(label) != label and _bare(label)]
        if odd:
            self.punctuation.add(number, odd[0])
            self.marks.update({mark for label in odd for mark in label if mark in _SEPARATORS + _WRAPPING})
        if self.emoji and split_emoji(target) is not None:
            found = [one for one in graphemes(target) if not one.isspace() and normalise_emoji(one) is None]
            if taken := next((one for one in found if split_emoji(one) != [one]), ""):
                parts = " ".join(split_emoji(taken) or (_("nothing"),))
                self.apart.add(number, _("{taken} is read as {parts}", taken=taken, parts=parts))
            if symbol := next((one for one in found if split_emoji(one) == [one]), ""):
                self.symbols.add(number, symbol)

    def add_block(self, block: RowBlock) -> None:
        """Looks at the labels of `block` that may be odd."""
        if self.subject.labels:
            for row in block.rows(block.of_targets("label forms", self._is_suspect)):
                self.add(row)

    def _is_suspect(self, facts: TargetFacts) -> bool:
        return self.emoji or any(_bare(label) != label for label in (facts.canonical or facts.text).split())

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind."""
        if count := self.punctuation.count:
            separators = [mark for mark, _uses in self.marks.most_common() if mark in _SEPARATORS]
            wrapped = any(mark in _WRAPPING for mark in self.marks)
            advice: list[str] = []
            if separators:
                advice.append(_("Say what separates labels: --set task.separator={mark!r}.", mark=separators[0]))
            if wrapped:
                advice.append(_("Take brackets and quotes out, or write every cell as a JSON list."))
            yield self.punctuation.finding(
                "label-punctuation",
                "warn",
                _("{count} targets hold labels with commas, brackets or quotes in them", count=count),
                do=joined(" ", advice),
                where="target",
            )
        if count := self.apart.count:
            yield self.apart.finding(
                "emoji-sequences",
                "note",
                _("{count} targets hold emoji sequences that no standard knows; they are taken apart", count=count),
                do=_("Write one emoji instead where the parts are not meant."),
                where="target",
            )
        if count := self.symbols.count:
            yield self.symbols.finding(
                "symbol-labels",
                "note",
                _("{count} targets hold symbols that are no emoji; each is a label of its own", count=count),
                do=_("Write an emoji (♡ → ❤️) where the symbol is another spelling of it."),
                where="target",
            )


@lru_cache(maxsize=65536)
def _bare(label: str) -> str:
    return label.strip(_SEPARATORS + _WRAPPING)
