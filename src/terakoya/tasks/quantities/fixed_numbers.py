"""Numbers of an ingredient line that are no quantity of the ingredient: sizes, times, contents of a piece, names.

They are named here one kind after another, because a number that is neither here nor an amount makes the rule abstain.
"""

from __future__ import annotations

import re

from terakoya.codec.recipe_numbers import (
    AFTER,
    KANJI_NUMBER,
    LENGTHS,
    NO_QUANTITY,
    NUMBER,
    OUTSIDE,
    RANGE,
    UNITS,
)

NUM = rf"(?:{OUTSIDE}(?!半){NUMBER}{AFTER})"
RANGE_JOINT = rf"(?:[ 　]?[{RANGE}][ 　]?|から|か(?=[0-9０-９])|または|もしくは|or)"
RUN = rf"(?:{NUM}(?:{RANGE_JOINT}{NUM})?)"
TIMES_SIGN = "[×✕✖⨯xXｘＸ*＊]"
_DIGITS = "[0-9０-９]{1,4}(?:[.．][0-9０-９]{1,3})?"
_LENGTH = "|".join(sorted((*LENGTHS, "mm", "ｍｍ", "㎜", "ミリ", "m"), key=len, reverse=True))
_ABOUT = "(?:程度|くらい|ぐらい|ほど|前後|位)?"
# Behind a unit: what makes its number a size, or the content of a pack.
_SIZES = NO_QUANTITY.replace("|×|x|X", "").replace("|入|", "|入(?!れ)|")
_SIZES = _SIZES.replace("|大|", "|大(?!さじ|サジ|ｻｼﾞ|匙|スプ)|")  # 10g大さじ1: another amount
SIZE = (
    rf"{_ABOUT}(?:の?(?:{_SIZES})"
    r"|サイズ|の(?:長さ|大きさ|幅|角|型)|に切)"
)
_KINDS_OF_NAMES = (
    "色|種|品目|連|穀|雑穀|割|番|号|段|層|重(?!曹)|代目|世紀|の粉|[PＰ](?![a-z])|人用|名用|年|回(?!し)|度|等分"
)
_LETTER = (
    "(?<![一二三四五六七八九十百千半])(?:(?<![A-Za-z0-9０-９])[a-bd-su-wyzＡ-ＷＹＺ]|(?<![a-z0-9０-９])[A-BD-SU-WYZ])"
)
_PATTERNS = (
    r"\A[ 　]*[(（\[【〔〈《＜<]?[A-Za-zＡ-Ｚａ-ｚ]?[0-9０-９]{1,2}[)）\]】〕〉》＞>]",  # labels: (1) 2) 【A1】
    r"\A[0-9０-９]{1,2}[.．](?![0-9０-９])",
    rf"(?:[NnＮ][oOｏ]|№|[#＃])[.．]?[ 　]?{_DIGITS}(?![0-9０-９/／.．,])(?!{UNITS})",
    rf"第{_DIGITS}(?![0-9０-９/／.．,])(?![ 　]?{UNITS})",
    rf"(?:メモ|注|※)[0-9０-９]{{1,2}}(?![ 　]?{UNITS})",
    rf"{_LETTER}[-－]?[0-9０-９]{{1,3}}(?![0-9０-９/／.．])(?![ 　]?(?:{UNITS}|[と・+＋][ 　]?{NUM}))",
    rf"{NUM}(?:{_LENGTH})?[ 　]?{TIMES_SIGN}[ 　]?{NUM}(?:{_LENGTH})(?:[ 　]?{TIMES_SIGN}[ 　]?{NUM}(?:{_LENGTH}))?",
    rf"(?:直径|長さ|厚さ|厚み|幅|高さ|深さ|縦|横|一辺|φ)(?:は|が|:|：)?[ 　約]{{0,2}}{RUN}(?:{_LENGTH})",
    rf"{RUN}[ 　]?(?:mm|ｍｍ|㎜|ミリ(?!リットル|グラム))",
    rf"{RUN}[ 　]?{UNITS}(?:{RANGE_JOINT}{NUM}{UNITS})?{SIZE}",
    rf"{RUN}[ 　]?(?:[%％℃]|パーセント|°C|度|[WＷ](?![a-zA-Z])|ワット|kcal|キロカロリー|カロリー)",
    rf"{RUN}[ 　]?(?:分(?!量|の[0-9０-９一二三四五六七八九十])|秒|時間|日|晩|週間|[かヶカケヵ]月|倍)",
    rf"{RUN}[ 　]?(?:{_KINDS_OF_NAMES})",
    rf"{_DIGITS}(?=牛乳)",
    rf"(?<![一二三四五六七八九十百千]){KANJI_NUMBER}{UNITS}{SIZE}",
    "三つ葉|四つ葉|八丁味噌|八丁みそ|百合|[二三]杯酢|[一千百]本(?:しめじ|シメジ)|一丁目|ひとくち|ひと口|ひとつ[まか]み",
    "半(?:分|量)(?:に|の|は|ずつ)|[縦横]半分|半[月熟生身年日額透乾解殻端々夏角割]",
)
FIXED = "|".join(_PATTERNS)

_EACH = (
    rf"\s*(?:約)?[1１一](?:人|{UNITS})(?:分)?(?:約|あたり約?|当たり約?|につき約?|は|が|＝|=|:|：)?{NUM}[ 　]?{UNITS}"
)
_EACH_OF_SEVERAL = rf"\s*(?:各|それぞれ)[ 　約]*{NUM}[ 　]?{UNITS}|.*{NUM}[ 　]?{UNITS}(?:ずつ|/個|/枚|/本)"
_EACH_PIECE, _EACH_PART = re.compile(_EACH), re.compile(_EACH_OF_SEVERAL)
_AMOUNT_BEFORE = re.compile(rf"{NUM}[ 　]?{UNITS}[^、,（()）]{{0,4}}\Z")
_PARENTHESIS = re.compile(r"[（(][^（()）]*[）)]")


def contents(line: str) -> list[tuple[int, int]]:
    """Spans of the parentheses that hold the content of one piece: 4切れ（1切れ約80g）, 2枚（各200g）.

    line  an ingredient line
    """
    spans = []
    for found in _PARENTHESIS.finditer(line):
        inside = found[0][1:-1]
        after_amount = _AMOUNT_BEFORE.search(line[: found.start()])
        if _EACH_PIECE.match(inside) or (after_amount and _EACH_PART.match(inside)):
            spans.append(found.span())
    return spans
