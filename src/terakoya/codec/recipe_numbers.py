"""Numbers and units as Japanese recipes write them, with their exact values: 250, 1.5, ½, 1と1/2, 1 1/2, 2半, 三, ひと.

The patterns are shared by the codec of quantities (quantity.py) and by the rule that finds amounts in a line.
"""

from __future__ import annotations

import re
from fractions import Fraction

from terakoya.errors import DataError
from terakoya.i18n import _

VULGAR = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3), "¼": Fraction(1, 4), "¾": Fraction(3, 4),
    "⅕": Fraction(1, 5), "⅖": Fraction(2, 5), "⅗": Fraction(3, 5), "⅘": Fraction(4, 5), "⅙": Fraction(1, 6),
    "⅚": Fraction(5, 6), "⅛": Fraction(1, 8), "⅜": Fraction(3, 8), "⅝": Fraction(5, 8), "⅞": Fraction(7, 8),
}  # fmt: skip
_WIDE_LATIN = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def _letter_cases(unit: str) -> tuple[str, ...]:
    """A Latin unit in the spellings that occur: ml, ML, Ml, mL, each in half and full width."""
    half = (unit, unit.upper(), unit.capitalize(), unit[:-1] + unit[-1].upper())
    return tuple(dict.fromkeys((*half, *(text.translate(_WIDE_LATIN) for text in half))))


LENGTHS = (*_letter_cases("cm"), "㎝", "㌢", "センチ", "センチメートル", "ｾﾝﾁ")
METRIC = (
    *(text for unit in ("kg", "g", "mg", "ml", "dl", "cc", "l") for text in _letter_cases(unit)), *LENGTHS,
    "㎏", "㎎", "㎖", "㎗", "㏄", "ℓ", "㍑", "㌘", "㌔", "㌕", "グラム", "キロ", "キログラム", "ミリグラム",
    "リットル", "ミリリットル", "デシリットル", "シーシー", "ｸﾞﾗﾑ", "ｷﾛ", "ｷﾛｸﾞﾗﾑ", "ﾘｯﾄﾙ", "ﾐﾘﾘｯﾄﾙ",
)  # fmt: skip
COUNTERS = (
    "カップ", "合", "個", "コ", "ケ", "本", "枚", "片", "かけ", "丁", "束", "切れ", "缶", "袋", "玉", "株", "房",
    "滴", "つまみ", "つかみ", "杯", "パック", "枝", "節", "尾", "匹", "羽", "粒", "箱", "瓶", "びん", "膳", "人分",
    "人前", "皿", "ネット", "塊", "かたまり", "山", "さや", "腹", "斤", "升", "巻", "把", "食", "ふり", "振り",
    "絞り", "包", "プッシュ", "茎", "柵", "さく", "台", "セット", "串", "ブロック", "シート", "ロール",
    "ポーション", "カット", "はい", "ぱい", "つ",
    "葉", "ヶ", "ヵ", "箇", "こ", "きれ", "カケ", "欠け", "欠片", "かけら", "ふくろ", "たば", "たま", "つぶ",
    "ビン", "ボトル", "チューブ", "ピース", "スライス", "スティック", "キューブ", "ケース", "コップ", "ホール",
    "まわし", "回し", "すくい", "たらし", "垂らし", "しぼり", "にぎり", "握り", "摘み", "掴み", "盛り", "名分",
    "舟", "椀", "碗", "丼", "勺", "ｶｯﾌﾟ", "ﾊﾟｯｸ", "ｺ", "ｹ", "合分", "丁分", "カップ分", "缶分", "袋分",
)  # fmt: skip
SPOONS = (
    "大さじ", "小さじ", "大匙", "小匙", "おおさじ", "こさじ", "カップ", "大サジ", "小サジ", "オオサジ", "コサジ",
    "大ｻｼﾞ", "小ｻｼﾞ", "ｵｵｻｼﾞ", "ｺｻｼﾞ", "中さじ", "茶さじ", "大スプーン", "小スプーン", "スプーン", "ティースプーン",
    "コップ", "ｶｯﾌﾟ", "お玉", "おたま",
)  # fmt: skip
SHORT_SPOONS = ("大", "小")  # 大2, 小1/2; before a number with a counter they are a size, and the number scales as well
SPOON_GAP = "[ 　約各…・:：⋯]{0,3}"  # between a spoon and its number
_LETTER_UNIT = "[TtCＴＣ](?![A-Za-zァ-ヶー])"  # spoons and cups: 1/4C, 2T, 1t
RANGE = "〜～~\\-－–"  # between the ends of a range, as a class of characters
# After the unit: what makes a number a size or a content, and no quantity.
NO_QUANTITY = (
    "切り|きり|入り|いり|入|幅|角|厚|長さ|大|四方|等分|台|割|×|x|X|おろし|卸|貝|釣り|漬|目|型|丸|パック|セット|組|用"
)

_D, _DD = "[0-9０-９]", "[1-9１-９]"
_WHOLE = rf"{_D}{{1,6}}"
_FRACTION = rf"{_WHOLE}[/／]{_DD}{_D}{{0,2}}"
_VULGAR = f"[{''.join(VULGAR)}]"
# Not the first character of a name: 半熟, 半月切り.
HALF = "半(?![分月熟生身年日額量透乾解殻端々夏])"
# A whole number and a part: 1と1/2, 1・1/2, 1 1/2, 1+1/2, 1½, 1と半, 2半. After a letter the whole belongs to a name.
_JOINT = "(?:[ 　]?と[ 　]?|[・ 　+＋])"
_MIXED = rf"(?<![A-Za-zＡ-Ｚａ-ｚ]){_WHOLE}(?:{_JOINT}{_FRACTION}|{_JOINT}?{_VULGAR}|と?{HALF})"
NUMBER = (
    rf"(?:{_MIXED}|{_D}{{1,3}}(?:,{_D}{{3}}){{1,2}}|{_FRACTION}"
    rf"|{_WHOLE}[.．]{_D}{{1,4}}|(?<![A-Za-zＡ-Ｚａ-ｚ.．…])[.．]{_D}{{1,3}}|{_WHOLE}|{_VULGAR}|半)"
)
_KANJI_DIGIT = "[一二三四五六七八九]"
KANJI = "[一二三四五六七八九十百千]"
KANJI_NUMBER = (
    rf"(?={KANJI})(?:{_KANJI_DIGIT}?千)?(?:{_KANJI_DIGIT}?百)?(?:{_KANJI_DIGIT}?十)?{_KANJI_DIGIT}?(?<={KANJI})"
)
# The native numerals before a counter: ひとかけ, ふたつまみ, みっつ.
NATIVE = {"ひと": 1, "ふた": 2, "みっ": 3, "よっ": 4, "いつ": 5, "むっ": 6, "なな": 7, "やっ": 8, "ここの": 9}
NATIVE_NUMBER = "|".join(NATIVE)
# Every number that an amount may have, and so the first factor of a product.
AMOUNT_NUMBER = rf"(?:{NUMBER}|{KANJI_NUMBER}|{NATIVE_NUMBER})"
# Where a number of digits begins and ends: not inside another one. Two points or more are a separator.
OUTSIDE = rf"(?<![0-9０-９{''.join(VULGAR)}])(?<![0-9０-９{''.join(VULGAR)}][/／,])(?:(?<![.．])|(?<=[.．][.．]))"
AFTER = r"(?![0-9０-９.．/／,]*[0-9０-９])"
UNITS = rf"(?:{'|'.join(sorted({*METRIC, *COUNTERS}, key=len, reverse=True))}|切(?![りらるっれ])|{_LETTER_UNIT})"
# A half behind the unit: 1本半, 1個と半分, 大さじ1杯と1/2.
_HALF_PART = rf"(?:と?{HALF}|と半分|と{_FRACTION}{AFTER}(?![ 　]?{UNITS}))"
HALF_AFTER_UNIT = rf"(?:{_WHOLE}|{_KANJI_DIGIT})[ 　]?{UNITS}{_HALF_PART}"
# The same where a fixed character follows. What looks ahead over more than one character would make a partial match of
# a text that can no longer be completed.
CLOSED_HALF_AFTER_UNIT = rf"(?:{_WHOLE}|{_KANJI_DIGIT})[ 　]?{UNITS}(?:と?{HALF}|と半分|と{_FRACTION})"
_HALF_PARTS = re.compile(rf"({_WHOLE}|{_KANJI_DIGIT})([ 　]?{UNITS})({_HALF_PART})")

_HALF_WIDTH = str.maketrans("０１２３４５６７８９．／", "0123456789./")
_KANJI_VALUES = {char: value for value, char in enumerate("一二三四五六七八九", 1)}
_KANJI_UNITS = {"十": 10, "百": 100, "千": 1000}


def read_number(text: str) -> Fraction:
    """The value of a number as recipes write it.

    text  the number alone
    Raises DataError, naming the text, for what is no number.
    """
    if not text or not re.fullmatch(AMOUNT_NUMBER, text):
        raise DataError(
            _("{text!r} is no number of a recipe", text=text),
            do=_("Write it as in 250, 1.5, 3/4, ½ or 1と1/2."),
        )
    if text in NATIVE:
        return Fraction(NATIVE[text])
    if text[0] in _KANJI_VALUES or text[0] in _KANJI_UNITS:
        return _kanji_value(text)
    plain = text.translate(_HALF_WIDTH).replace(",", "")
    if plain[-1] in VULGAR or plain[-1] == "半":
        whole = plain[:-1].rstrip("と 　・+＋")
        return Fraction(whole or 0) + VULGAR.get(plain[-1], Fraction(1, 2))
    whole, _mark, rest = re.sub("[ 　]?と[ 　]?|[・ 　+＋]", "と", plain).rpartition("と")
    return Fraction(whole or 0) + Fraction(rest)


def _kanji_value(text: str) -> Fraction:
    value, digit = 0, 0
    for char in text:
        if char in _KANJI_UNITS:
            value += (digit or 1) * _KANJI_UNITS[char]
            digit = 0
        else:
            digit = _KANJI_VALUES[char]
    return Fraction(value + digit)


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


def join_half(amount: str) -> tuple[str, str]:
    """The number and the unit of an amount whose half stands behind its unit: 1本半 is 1半 and 本.

    amount  a text that HALF_AFTER_UNIT matches as a whole
    """
    found = _HALF_PARTS.fullmatch(amount)
    assert found is not None, amount
    part = found[3].removeprefix("と").removesuffix("分")
    whole = str(_KANJI_VALUES.get(found[1], found[1]))
    return (f"{whole}半" if part == "半" else f"{whole}と{part}"), found[2]
