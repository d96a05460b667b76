"""The lexicon of 514 expressions: a closed list that is taught, and a part that is never taught.

What only memory can know is held out to see what pretraining knows: of the expressions on which the rules abstain, one
in five by the hash of its reading (古希 and 古稀 share a side).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from terakoya.codec.number import canonical_number
from terakoya.data.split import position
from terakoya.errors import CorruptError
from terakoya.i18n import both
from terakoya.tasks.janum.rule import answer

UNSEEN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Idiom:
    text: str
    reading: str
    value: str
    kind: str
    sentence: str
    row: int

    @property
    def marked(self) -> str:
        """Its sentence, with the expression in brackets: 残ったケーキは弟と【半分】にした。"""
        return self.sentence.replace(self.text, f"【{self.text}】", 1)


@cache
def lexicon() -> tuple[Idiom, ...]:
    """Every expression, in the order of number-idioms.tsv."""
    text = (resources.files("terakoya.tasks") / "lexicon" / "number-idioms.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    found = tuple(
        Idiom(row["expression"], row["reading"], canonical_number(row["value"]), row["kind"], row["sentence"], line)
        for line, row in enumerate(rows, 2)
    )
    for idiom in found:
        if idiom.text not in idiom.sentence:
            raise CorruptError(
                both(f"the sentence of {idiom.text} does not hold it", f"「{idiom.text}」の例文にその語がない"),
                where=both(f"number-idioms.tsv, row {idiom.row}", f"number-idioms.tsv、{idiom.row}行目"),
                do=both("Install Terakoya again.", "Terakoya を入れ直すこと。"),
            )
    return found


@cache
def unseen(salt: str = "") -> tuple[Idiom, ...]:
    """Expressions that are never taught, and that no rule reads."""
    return tuple(
        idiom
        for idiom in lexicon()
        if answer(idiom.text) is None and position(f"janum:{idiom.reading}", salt) < UNSEEN_SHARE
    )


@cache
def taught(salt: str = "") -> tuple[Idiom, ...]:
    """The closed list that a model is to know by heart."""
    held = {idiom.text for idiom in unseen(salt)}
    return tuple(idiom for idiom in lexicon() if idiom.text not in held)
