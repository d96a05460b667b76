"""Quantities whose arithmetic the codec does: the model copies and marks products, the codec computes them.

A target may hold products in angle brackets, and so may a prediction:

    大根 <5/4*5/2>本（約<300*5/2>g）   reads as   大根 25/8本（約750g）

Digit by digit a small model scales .12 of unseen pairs of quantity and factor correctly, with products .94. Both
factors are numbers as recipes write them: 250, ２５０, 1.5, 3/4, ½, 1と1/2, 1・1/2, 1½, 1,000, 半. Values are exact
fractions. A `<` that opens no product is text; it is written twice.

Canonical form: equal value, equal text. A whole number is written as one. Beside a metric unit (g kg ml cc L cm …) a
value that ends within three decimals is a decimal; everywhere else it is a reduced fraction, improper where it is one
(1と1/2個, 1.5個 and 3/2個 are 3/2個). Digits are half-width. A plain number without a known unit stays as it is, and
so do sizes (2cm幅, 6枚切り, 10枚入り): they are names, not quantities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import regex

from terakoya.codec.base import Codec, require_target
from terakoya.codec.source_bound import SourceBoundCodec
from terakoya.errors import DataError
from terakoya.i18n import both

VULGAR = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3), "¼": Fraction(1, 4), "¾": Fraction(3, 4),
    "⅕": Fraction(1, 5), "⅖": Fraction(2, 5), "⅗": Fraction(3, 5), "⅘": Fraction(4, 5), "⅙": Fraction(1, 6),
    "⅚": Fraction(5, 6), "⅛": Fraction(1, 8), "⅜": Fraction(3, 8), "⅝": Fraction(5, 8), "⅞": Fraction(7, 8),
}  # fmt: skip
METRIC = (
    "kg", "g", "mg", "ml", "mL", "dl", "dL", "cc", "L", "l", "cm", "ｋｇ", "ｇ", "ｍｌ", "ｍＬ", "ｃｃ", "Ｌ",
    "ｃｍ", "㎏", "㎖", "㎝", "㏄", "グラム", "キロ", "リットル", "センチ",
)  # fmt: skip
COUNTERS = (
    "カップ", "合", "個", "コ", "ケ", "本", "枚", "片", "かけ", "丁", "束", "切れ", "缶", "袋", "玉", "株", "房",
    "滴", "つまみ", "つかみ", "杯", "パック", "枝", "節", "尾", "匹", "羽", "粒", "箱", "瓶", "びん", "膳", "人分",
    "人前", "皿", "ネット", "塊", "かたまり", "山", "さや", "腹", "斤", "升", "巻", "把", "食", "ふり", "振り",
    "絞り", "包", "プッシュ", "茎", "柵", "さく", "台", "セット", "串", "ブロック", "シート", "ロール",
    "ポーション", "カット", "はい", "ぱい", "つ",
)  # fmt: skip
SPOONS = ("大さじ", "小さじ", "大匙", "小匙", "おおさじ", "こさじ", "カップ")
RANGE = "〜～~\\-－–"  # between the ends of a range, as a class of characters
# After the unit: what makes a number a size or a content, and no quantity.
NO_QUANTITY = "切り|きり|入り|いり|幅|角|厚|長さ|大|四方|等分|台|×|x"

_D, _DD = "[0-9０-９]", "[1-9１-９]"
_WHOLE = rf"{_D}{{1,6}}"
_FRACTION = rf"{_WHOLE}[/／]{_DD}{_D}{{0,2}}"
_VULGAR = f"[{''.join(VULGAR)}]"
NUMBER = (
    rf"(?:{_WHOLE}[と・]{_FRACTION}|{_WHOLE}と?{_VULGAR}|{_D}{{1,3}}(?:,{_D}{{3}}){{1,2}}|{_FRACTION}"
    rf"|{_WHOLE}[.．]{_D}{{1,4}}|{_WHOLE}|{_VULGAR}|半)"
)
_PRODUCT = rf"<{NUMBER}\*{NUMBER}>"
_OUTSIDE = r"(?<![0-9０-９.．/／,])"
_AFTER = r"(?![0-9０-９.．/／,]*[0-9０-９])"
_PLAIN = rf"{_OUTSIDE}(?!半){NUMBER}{_AFTER}"
_UNITS = "|".join(sorted({*METRIC, *COUNTERS}, key=len, reverse=True))

_HALF_WIDTH = str.maketrans("０１２３４５６７８９．／", "0123456789./")
_TOKENS = regex.compile(rf"(?:[^<]+|<<|{_PRODUCT})*+")
_OPEN = regex.compile(_PRODUCT)
_ESCAPED = re.compile(rf"({_PRODUCT})|<")
_NUMBER = re.compile(rf"{_PRODUCT}|{_PLAIN}")
# A run of numbers (a range has two) with the spoon before it or the unit after it.
_QUANTITY = re.compile(
    rf"(?P<spoon>(?:{'|'.join(SPOONS)})[ 　約]{{0,2}})?"
    rf"(?P<numbers>(?:{_PRODUCT}|{_PLAIN})(?:[{RANGE}](?:{_PRODUCT}|{_PLAIN}))?)"
    rf"(?:(?P<unit>{_UNITS})(?!{NO_QUANTITY}))?"
)
# Larger units that amounts may be promoted to: how many of the smaller make one, and which amounts are worth it.
_PROMOTED = {"g": ("kg", 1000), "ｇ": ("ｋｇ", 1000), "ml": ("L", 1000), "cc": ("L", 1000), "ｍｌ": ("Ｌ", 1000)}


def read_number(text: str) -> Fraction:
    """The value of a number as recipes write it.

    text  the number alone
    Raises DataError, naming the text, for what is no number.
    """
    if not re.fullmatch(NUMBER, text):
        raise DataError(
            both(f"{text!r} is no number of a recipe", f"{text!r} はレシピの数ではない"),
            do=both("Write it as in 250, 1.5, 3/4, ½ or 1と1/2.", "250、1.5、3/4、½、1と1/2 のように書くこと。"),
        )
    if text == "半":
        return Fraction(1, 2)
    plain = text.translate(_HALF_WIDTH).replace(",", "")
    if plain[-1] in VULGAR:
        whole = plain[:-1].rstrip("と")
        return Fraction(whole or 0) + VULGAR[plain[-1]]
    whole, _, rest = plain.replace("・", "と").rpartition("と")
    return Fraction(whole or 0) + Fraction(rest)


def spell(value: Fraction, *, decimal: bool) -> str:
    """An integer where the value is one; else a decimal or a fraction.

    value    exact
    decimal  whether to prefer a decimal, where it ends within three decimals
    """
    if value.denominator == 1:
        return str(value.numerator)
    if decimal and 1000 % value.denominator == 0:
        thousandths = value * 1000
        sign, whole = "-" if thousandths < 0 else "", abs(int(thousandths))
        return f"{sign}{whole // 1000}.{whole % 1000:03d}".rstrip("0")
    return f"{value.numerator}/{value.denominator}"


@dataclass(frozen=True)
class QuantityCodec:
    """Text with quantities: products are computed, every quantity has one form.

    promote  full larger units are written as such: 小さじ3 is 大さじ1, 1000g is 1kg, 1500ml is 1.5L
    tail     pattern of the instruction in a source after the line that its target copies, with products in place of
             numbers; constrained decoding then allows only such copies (codec/source_bound.py). "" where targets are
             no copies
    """

    promote: bool = False
    tail: str = ""

    @property
    def name(self) -> str:
        """ "quantity" and the options: "quantity:promote+copied"."""
        options = [word for word, on in (("promote", self.promote), ("copied", self.tail)) if on]
        return ":".join(["quantity", "+".join(options)] if options else ["quantity"])

    def for_source(self, source: str) -> Codec:
        """The codec of predictions for this source alone.

        source  the line, and the instruction that `tail` matches
        """
        return SourceBoundCodec(self, source, _OUTSIDE + NUMBER, self.tail) if self.tail else self

    def write(self, target: str) -> str:
        """The target as it is, products kept; other `<` are doubled.

        target  text; products in angle brackets
        Raises DataError for an empty target.
        """
        return _ESCAPED.sub(lambda found: found[1] or "<<", require_target(target))

    def read(self, raw: str) -> str | None:
        """The text with products computed and quantities in canonical form; None for an empty text and a product half
        written.

        raw  any text
        """
        if not self.complete(raw):
            return None
        return self._canonical("".join(_unescaped(raw)))

    def canonical(self, target: str) -> str:
        """The text with products computed and quantities in one form.

        target  text
        Raises DataError for an empty target.
        """
        return self._canonical(require_target(target))

    def viable(self, prefix: str) -> bool:
        """Whether some written text has this prefix: only an open product restricts what follows.

        prefix  characters so far
        """
        if "<" not in prefix:
            return True
        rest = prefix[_end_of_tokens(prefix) :]
        return not rest or rest == "<" or _OPEN.fullmatch(rest, partial=True) is not None

    def complete(self, written: str) -> bool:
        """Whether a text is whole: not empty, and no product open.

        written  characters so far
        """
        return bool(written) and ("<" not in written or _end_of_tokens(written) == len(written))

    def _canonical(self, text: str) -> str:
        """Computed until nothing changes: a result may stand beside digits and form another number with them."""
        while (again := _QUANTITY.sub(self._one_form, text)) != text:
            text = again
        return text

    def _one_form(self, found: re.Match[str]) -> str:
        spoon, numbers, unit = found["spoon"] or "", found["numbers"], found["unit"] or ""
        values = [_value(part) for part in _NUMBER.findall(numbers)]
        if self.promote:
            spoon, unit, values = _promoted(spoon, unit, values)
        parts = iter(values)
        metric = unit in METRIC
        known = bool(spoon or unit)
        return spoon + _NUMBER.sub(lambda one: _shown(one[0], next(parts), metric, known), numbers) + unit


def quantity_codec(*, promote: bool = False, tail: str = "") -> QuantityCodec:
    """The codec for text with quantities.

    promote  full larger units are written as such: 小さじ3 as 大さじ1, 1000g as 1kg
    tail     pattern of the instruction after the line that targets copy; "" where they are no copies
    """
    return QuantityCodec(promote, tail)


def _end_of_tokens(text: str) -> int:
    found = _TOKENS.match(text)
    assert found is not None
    return found.end()


def _unescaped(raw: str) -> list[str]:
    return [piece if piece != "<<" else "<" for piece in re.findall(rf"{_PRODUCT}|<<|[^<]+", raw)]


def _value(text: str) -> Fraction:
    if text.startswith("<"):
        one, other = text[1:-1].split("*")
        return read_number(one) * read_number(other)
    return read_number(text)


def _shown(text: str, value: Fraction, metric: bool, known: bool) -> str:
    if known:
        return spell(value, decimal=metric)
    if text.startswith("<"):  # a unit we do not know: as the quantity was written
        return spell(value, decimal="." in text.partition("*")[0] or "．" in text.partition("*")[0])
    return spell(value, decimal=False) if re.search("[と・]", text) else text


def _promoted(spoon: str, unit: str, values: list[Fraction]) -> tuple[str, str, list[Fraction]]:
    """Full larger units, where every number of the run makes one."""
    if spoon.startswith(("小さじ", "小匙")) and all(value >= 3 and value % 3 == 0 for value in values):
        return "大" + spoon[1:], unit, [value / 3 for value in values]
    larger, count = _PROMOTED.get(unit, ("", 1))
    if larger and all(value >= count for value in values):
        return spoon, larger, [value / count for value in values]
    return spoon, unit, values
