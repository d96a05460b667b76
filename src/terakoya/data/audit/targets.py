"""Targets that are none: not writable, refused, wrapped in prose, copied; and sources that are cut short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import (
    SPLIT_TITLES,
    AuditContext,
    AuditRow,
    Tally,
    format_percent,
    make_canonical,
    share,
    unknown_labels,
)
from terakoya.data.split import SPLIT_NAMES, SplitName
from terakoya.i18n import _
from terakoya.records import Finding, Level

if TYPE_CHECKING:
    from terakoya.data.audit.known_targets import TargetFacts
    from terakoya.data.audit.row_blocks import RowBlock

_REFUSAL = re.compile(
    r"(?:申し訳(?:ありません|ございません)|すみません|恐れ入ります)[がけ、。].{0,60}(?:できません|できかねます|いたしかねます|お答え|対応)"
    r"|(?:AI|人工知能|言語モデル)(?:アシスタント|言語モデル)?(?:として|ですので|なので|であるため)"
    r"|(?:その|この)?(?:ご?質問|ご?要望|リクエスト)には?(?:お答え|お応え|対応)(?:できません|できかねます)"
    r"|\bI(?:'m| am) (?:sorry|unable|not able)\b|\bI (?:cannot|can't|can’t|won't)\b|\b[Aa]s an AI\b|\blanguage model\b"
)
_WRAPPED = re.compile(
    r"^(?:出力|回答|答え|解答|絵文字|結果|[Aa]nswer|[Oo]utput|[Rr]esponse|[Rr]esult)\s*[:：]|^```"
    r"|^(?:以下(?:の|は|に|が)|はい、(?:以下|こちら|もちろん)|もちろんです|承知(?:しました|いたしました)|かしこまりました"
    r"|[Ss]ure[,!]|[Hh]ere (?:is|are)|[Cc]ertainly[,!]|[Oo]f course[,!])"
)
_ENDS = re.compile(r"[。．.！？!?」』）)】…♪〜～ー♡★☆笑wｗ\"”]\s*$")
_CLOSES = {"」": "「", "』": "『", "）": "（", "】": "【"}
_BRACKET = re.compile("[「」『』（）【】]")
_WEB = re.compile(r"^(?:脚注|出典|関連項目|外部リンク|参考文献|注釈)\s*$|\[\d+\]|\[編集\]|^== ?.+==$")


class TargetDefects:
    """Targets that the codec cannot write, refusals, prose around a target, copies of the source.

    subject  what the data is for
    """

    def __init__(self, subject: AuditContext) -> None:
        self.subject = subject
        self.canonical = make_canonical(subject.codec)
        self.rows = self.texts = 0
        self.split_rows: Counter[SplitName] = Counter()
        self.unwritable, self.refusals, self.wrapped, self.copies = Tally(), Tally(), Tally(), Tally()
        self.swapped = 0
        self.unknown: dict[SplitName, Tally] = {}

    def add(self, row: AuditRow) -> None:
        """Looks at the target.

        row  in the order of the file
        """
        example = row.example
        target, number = example.target, example.row
        self.rows += 1
        if row.canonical is None:
            self.unwritable.add(number, target)
            self.swapped += self.subject.kind != "text" and self.canonical(example.source) is not None
        elif strange := unknown_labels(self.subject.codec, row.canonical):
            self.unknown.setdefault(row.split, Tally()).add(number, " ".join(strange))
        self.split_rows[row.split] += 1
        if len(target) > 4:
            if _REFUSAL.search(target):
                self.refusals.add(number, target)
            elif _WRAPPED.search(target):
                self.wrapped.add(number, target)
        if self.subject.kind == "text" and target == example.source:
            self.copies.add(number, target)

    def add_block(self, block: RowBlock) -> None:
        """Looks at the targets of `block` that have any defect."""
        odd = block.of_targets("odd", self._is_odd)
        if self.subject.kind == "text":
            odd = odd | (block.cells == block.sources).to_numpy()
        for row in block.rows(odd):
            self.add(row)
        self.rows += len(block) - int(odd.sum())
        for at, name in enumerate(SPLIT_NAMES):
            if rows := int((block.splits[~odd] == at).sum()):
                self.split_rows[name] += rows

    def _is_odd(self, facts: TargetFacts) -> bool:
        text, form = facts.text, facts.canonical
        if form is None or unknown_labels(self.subject.codec, form):
            return True
        return len(text) > 4 and bool(_REFUSAL.search(text) or _WRAPPED.search(text))

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind of defect."""
        if self.unwritable.count:
            swapped = share(self.swapped, self.unwritable.count) >= line.SWAPPED
            count, codec = self.unwritable.count, self.subject.codec.name
            percent = format_percent(share(count, self.rows))
            yield self.unwritable.finding(
                "unreadable-targets",
                "stop",
                _(
                    "{count} targets ({percent}) cannot be written and read back as {codec}",
                    count=count,
                    percent=percent,
                    codec=codec,
                ),
                do=_("Source and target columns seem to be swapped: see task.source and task.target.")
                if swapped
                else _("Correct or drop the rows, or choose another codec (task.codec)."),
                where="target",
            )
        for split, unknown in self.unknown.items():
            part = share(unknown.count, self.split_rows[split])
            count, percent, title = unknown.count, format_percent(part), SPLIT_TITLES[split]
            yield unknown.finding(
                "unanswerable-labels",
                "warn" if part >= line.UNKNOWN_LABELS else "note",
                _(
                    "{count} targets of {title} ({percent}) hold labels that no prediction can hold",
                    count=count,
                    title=title,
                    percent=percent,
                ),
                do=_(
                    "Add training rows with them, or make them legal labels; as it is, even a perfect model loses "
                    "points there."
                ),
                where=split,
            )
        if count := self.refusals.count:
            yield self.refusals.finding(
                "refusals",
                "warn",
                _("{count} targets are refusals", count=count),
                do=_("Drop the rows."),
                where="target",
            )
        if count := self.wrapped.count:
            part = share(count, self.rows)
            percent = format_percent(part)
            yield self.wrapped.finding(
                "prose",
                "warn" if part >= line.PROSE else "note",
                _("{count} targets ({percent}) hold prose around the target proper", count=count, percent=percent),
                do=_("Keep the target proper alone."),
                where="target",
            )
        if count := self.copies.count:
            part = share(count, self.rows)
            percent = format_percent(part)
            yield self.copies.finding(
                "copies",
                "warn" if part >= line.COPIES else "note",
                _("{count} targets ({percent}) equal their source", count=count, percent=percent),
                do=_("Is the right column named? A model trained on this learns to copy."),
            )


class SourceDefects:
    """Sources that were sentences once: cut in the middle, an orphan bracket, remains of a web site."""

    PATTERN = r"[「」『』（）【】\[=]|脚注|出典|関連項目|外部リンク|参考文献|注釈"  # what _BRACKET or _WEB needs

    def __init__(self) -> None:
        self.rows = self.long = 0
        self.cut, self.orphans, self.web_remains = Tally(), Tally(), Tally()

    def add(self, row: AuditRow) -> None:
        """Looks at the source.

        row  in the order of the file
        """
        text, number = row.example.source, row.example.row
        self.rows += 1
        if len(text) >= line.LONG_SENTENCE:
            self.long += 1
            if not _ENDS.search(text):
                self.cut.add(number, text[-30:])
        if _BRACKET.search(text) and _orphaned(text):
            self.orphans.add(number, text)
        if _WEB.search(text):
            self.web_remains.add(number, text)

    def add_block(self, block: RowBlock) -> None:
        """Looks at the sources of `block` that have no usual end, a bracket, or what remains of a web site."""
        long = block.source_sizes >= line.LONG_SENTENCE
        odd = (long & ~block.sources.str.contains(_ENDS.pattern).to_numpy()) | block.sources_with(self.PATTERN)
        for row in block.rows(odd):
            self.add(row)
        self.rows += len(block) - int(odd.sum())
        self.long += int((long & ~odd).sum())

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind of defect."""
        sentences = self.long > self.rows / 2
        ending = 1 - share(self.cut.count, self.long)
        if sentences and ending >= line.ENDS_LIKE_SENTENCE and self.cut.count >= line.CUT_SHORT * self.long:
            count, percent = self.cut.count, format_percent(1 - ending)
            yield self.cut.finding(
                "cut-sources",
                "warn",
                _("{count} sources ({percent}) do not end as the others do", count=count, percent=percent),
                do=_("Cut sources at whole sentences."),
                where="source",
            )
        for tally, check, says in (
            (self.orphans, "orphan-brackets", _("have a bracket without its partner")),
            (
                self.web_remains,
                "page-remains",
                _("are remains of a web page (notes, headings)"),
            ),
        ):
            if tally.count:
                part = share(tally.count, self.rows)
                count, percent = tally.count, format_percent(part)
                level: Level = "warn" if part >= line.ORPHAN_BRACKETS else "note"
                what = _("{count} sources ({percent}) {description}", count=count, percent=percent, description=says)
                yield tally.finding(
                    check,
                    level,
                    what,
                    do=_("Cut sources at whole sentences."),
                    where="source",
                )


def _orphaned(text: str) -> bool:
    opened: list[str] = []
    for char in _BRACKET.findall(text):
        if char not in _CLOSES:
            opened.append(char)
        elif not opened or opened.pop() != _CLOSES[char]:
            return True
    return bool(opened)
