"""The lexicon of 514 expressions: a closed list that is in the training set, and a part that is held out of it.

Expressions that only memory can know are held out to measure what pretraining knows: of those on which the rules
abstain, one in five by the hash of its reading (古希 and 古稀 are in one split).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from terakoya.codec.number import canonical_number
from terakoya.data.split import hash_position
from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.tasks.janum.rule import read_expression

UNSEEN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Idiom:
    """One expression of the lexicon.

    text      the expression
    reading   in kana
    value     the number, in canonical form
    kind      of expression
    sentence  an example sentence that holds it; for the exam only
    row       line in number-idioms.tsv
    """

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
    """Every expression, in the order of number-idioms.tsv.

    Raises CorruptError where a sentence does not hold its expression.
    """
    text = (resources.files("terakoya.tasks") / "lexicon" / "number-idioms.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    found = tuple(
        Idiom(row["expression"], row["reading"], canonical_number(row["value"]), row["kind"], row["sentence"], line)
        for line, row in enumerate(rows, 2)
    )
    for idiom in found:
        if idiom.text not in idiom.sentence:
            raise CorruptError(
                _("the sentence of {text} does not hold it", text=idiom.text),
                where=_("number-idioms.tsv, row {row}", row=idiom.row),
                do=_("Install Terakoya again."),
            )
    return found


@cache
def unseen_idioms(salt: str = "") -> tuple[Idiom, ...]:
    """Expressions that are never in the training set, and that no rule reads.

    salt  another salt, another selection
    """
    return tuple(
        idiom
        for idiom in lexicon()
        if read_expression(idiom.text) is None and hash_position(f"janum:{idiom.reading}", salt) < UNSEEN_SHARE
    )


@cache
def training_idioms(salt: str = "") -> tuple[Idiom, ...]:
    """The closed list that a model is to memorise: all but the unseen ones.

    salt  as for `unseen_idioms`
    """
    held = {idiom.text for idiom in unseen_idioms(salt)}
    return tuple(idiom for idiom in lexicon() if idiom.text not in held)
