"""Targets that are no answers: not writable, refused, wrapped in prose, copied; and sources cut short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from terakoya.data.audit import thresholds as line
from terakoya.data.audit.single_pass import SIDES_JA, Seen, Subject, Tally, canonical_of, percent, share, unanswerable
from terakoya.data.split import Side
from terakoya.i18n import both, japanese
from terakoya.records import Finding, Level

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
_PAGE = re.compile(r"^(?:脚注|出典|関連項目|外部リンク|参考文献|注釈)\s*$|\[\d+\]|\[編集\]|^== ?.+==$")


class Answers:
    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.canonical = canonical_of(subject.codec)
        self.rows = self.texts = 0
        self.sides: Counter[Side] = Counter()
        self.unwritable, self.refusals, self.wrapped, self.copies = Tally(), Tally(), Tally(), Tally()
        self.swapped = 0
        self.beyond: dict[Side, Tally] = {}

    def see(self, seen: Seen) -> None:
        example = seen.example
        target, row = example.target, example.row
        self.rows += 1
        if seen.canonical is None:
            self.unwritable.add(row, target)
            self.swapped += self.subject.kind != "text" and self.canonical(example.source) is not None
        elif strange := unanswerable(self.subject.codec, seen.canonical):
            self.beyond.setdefault(seen.side, Tally()).add(row, " ".join(strange))
        self.sides[seen.side] += 1
        if len(target) > 4:
            if _REFUSAL.search(target):
                self.refusals.add(row, target)
            elif _WRAPPED.search(target):
                self.wrapped.add(row, target)
        if self.subject.kind == "text" and target == example.source:
            self.copies.add(row, target)

    def findings(self) -> Iterator[Finding]:
        if self.unwritable.count:
            swapped = share(self.swapped, self.unwritable.count) >= line.SWAPPED
            yield self.unwritable.finding(
                "unreadable-targets",
                "stop",
                both(
                    f"{self.unwritable.count} targets ({percent(share(self.unwritable.count, self.rows))}) cannot be "
                    f"written and read back as {self.subject.codec.name}",
                    f"正解{self.unwritable.count}件（"
                    f"{percent(share(self.unwritable.count, self.rows))}）が {self.subject.codec.name}"
                    " として書いて読み戻すことができない",
                ),
                do=both(
                    "Source and target columns seem to be swapped: see task.source and task.target.",
                    "入力と正解の列が入れ替わっているようだ：task.source と task.target を見ること。",
                )
                if swapped
                else both(
                    "Mend or drop the rows, or choose another codec (task.codec).",
                    "直すか行を外すか、別のコーデックを選ぶこと（task.codec）。",
                ),
                where="target",
            )
        for side, beyond in self.beyond.items():
            part = share(beyond.count, self.sides[side])
            yield beyond.finding(
                "unanswerable-labels",
                "warn" if part >= line.UNANSWERABLE else "note",
                both(
                    f"{beyond.count} {side} targets ({percent(part)}) hold labels that no answer can hold",
                    f"{SIDES_JA[side]}の正解{beyond.count}件（{percent(part)}）に、答えに書けないラベルがある",
                ),
                do=both(
                    "Teach them, or let them be answered; as it is, even a perfect model loses points there.",
                    "学習させるか、答えられるようにすること。このままでは完全なモデルでもそこで点を失う。",
                ),
                where=side,
            )
        if self.refusals.count:
            yield self.refusals.finding(
                "refusals",
                "warn",
                both(
                    f"{self.refusals.count} targets refuse to answer", f"正解{self.refusals.count}件が回答を拒んでいる"
                ),
                do=both("Drop the rows.", "その行を外すこと。"),
                where="target",
            )
        if self.wrapped.count:
            part = share(self.wrapped.count, self.rows)
            yield self.wrapped.finding(
                "prose",
                "warn" if part >= line.PROSE else "note",
                both(
                    f"{self.wrapped.count} targets ({percent(part)}) wrap the answer in prose",
                    f"正解{self.wrapped.count}件（{percent(part)}）で、答えが文章に包まれている",
                ),
                do=both("Keep the answer alone.", "答えだけを残すこと。"),
                where="target",
            )
        if self.copies.count:
            part = share(self.copies.count, self.rows)
            yield self.copies.finding(
                "copies",
                "warn" if part >= line.COPIES else "note",
                both(
                    f"{self.copies.count} targets ({percent(part)}) are their source",
                    f"正解{self.copies.count}件（{percent(part)}）が入力と同じである",
                ),
                do=both(
                    "Is the right column named? A model taught this learns to repeat.",
                    "列の指定は正しいか。これを学習したモデルは繰り返すことを覚える。",
                ),
            )


class Sentences:
    """Sources that were sentences once: cut in the middle, an orphan bracket, remains of a web page."""

    def __init__(self) -> None:
        self.rows = self.long = 0
        self.cut, self.orphans, self.pages = Tally(), Tally(), Tally()

    def see(self, seen: Seen) -> None:
        text, row = seen.example.source, seen.example.row
        self.rows += 1
        if len(text) >= line.LONG_SENTENCE:
            self.long += 1
            if not _ENDS.search(text):
                self.cut.add(row, text[-30:])
        if _BRACKET.search(text) and _orphaned(text):
            self.orphans.add(row, text)
        if _PAGE.search(text):
            self.pages.add(row, text)

    def findings(self) -> Iterator[Finding]:
        sentences = self.long > self.rows / 2
        ending = 1 - share(self.cut.count, self.long)
        if sentences and ending >= line.ENDS_LIKE_SENTENCE and self.cut.count >= line.CUT_SHORT * self.long:
            yield self.cut.finding(
                "cut-sources",
                "warn",
                both(
                    f"{self.cut.count} sources ({percent(1 - ending)}) do not end as the others do",
                    f"入力{self.cut.count}件（{percent(1 - ending)}）の終わり方が他と異なる",
                ),
                do=both("Cut sources at whole sentences.", "入力は文の切れ目で切ること。"),
                where="source",
            )
        for tally, check, says in (
            (self.orphans, "orphan-brackets", both("have a bracket without its partner", "で、括弧の片方が欠けている")),
            (
                self.pages,
                "page-remains",
                both("are remains of a web page (notes, headings)", "が、ウェブページの残り（注、見出し）である"),
            ),
        ):
            if tally.count:
                part = share(tally.count, self.rows)
                level: Level = "warn" if part >= line.ORPHAN_BRACKETS else "note"
                what = both(
                    f"{tally.count} sources ({percent(part)}) {says}",
                    f"入力{tally.count}件（{percent(part)}）{japanese(says)}",
                )
                yield tally.finding(
                    check,
                    level,
                    what,
                    do=both("Cut sources at whole sentences.", "入力は文の切れ目で切ること。"),
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
