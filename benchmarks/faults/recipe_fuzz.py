"""Random ingredient lines against the recipe rule, judged by a reader of numbers that shares no code with it.

    python -m benchmarks.faults.recipe_fuzz [--lines 50000] [--seed 1]

A line is refused, or every number in it was multiplied exactly once or stands where a number stays: before a size, a
time, a share, the content of a pack. Factor 1 changes no value; a factor and then its inverse return every value.
Writes benchmarks/results/recipe_fuzz.json.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from random import Random

from benchmarks.reporting import RESULTS
from terakoya.tasks.quantities.scale import scale

PIECES = (
    *"0123456789０１½¼.．/／、,・ 　〜-×x+＋と半大小約各一二三十百()（）",
    "大さじ", "小さじ", "カップ", "g", "ml", "個", "本", "枚", "杯", "切れ", "C", "T", "cm", "幅", "分", "倍",
    "％", "塩", "卵", "玉ねぎ", "ひと", "かけ", "少々", "入り", "人分",
)  # fmt: skip
FACTORS = (Fraction(2), Fraction(3), Fraction(1, 2), Fraction(5, 2), Fraction(7, 3))
_SIGNS = {"½": Fraction(1, 2), "¼": Fraction(1, 4), "半": Fraction(1, 2)}
_WIDE = str.maketrans("０１２３４５６７８９．／，＋　", "0123456789./,+ ")
_KANJI = {char: value for value, char in enumerate("一二三四五六七八九", 1)}
_TENS = {"十": 10, "百": 100, "千": 1000}
_DIGITS = r"(?:(?<![0-9.,/])[1-9](?=,[1-9](?![0-9]))|(?<!\.)\.[0-9]+|[0-9½¼](?:(?!\.\.)[0-9.,/½¼])*[0-9½¼]|[0-9½¼])"
_UNIT = "(?:カップ|個|本|枚|杯|切れ|かけ|人分|g|ml|cm|[CT](?![A-Za-zァ-ヶ]))"
_PART = "(?:[0-9]+/[0-9]+|[½¼])"
# A number with its part: 1と1/2, 1 1/2, 1½, 2半. Kanji are a number before a unit or behind a spoon, else a name.
_RUN = re.compile(
    rf"[一二三十百]*{_DIGITS}(?:(?: ?と ?|[・ +])(?={_PART}){_PART}|と?半|[½¼])*(?:[一二三十百]+(?= ?{_UNIT}))?"
    rf"|半|[一二三十百]+(?= ?{_UNIT})|(?:(?<=[じプ])|(?<=[じプ][ ・約各])|(?<=[大小]約))[一二三十百]+(?!ひと)"
    r"|(?:ひと)+(?=カップ|本|枚|杯|切れ|かけ|個|人分)"
)
_BEHIND_UNIT = re.compile(rf"([0-9]+|[一二三十百]+)( ?(?:CC|{_UNIT}))と?(?:半分?|(?<=と)({_PART})(?![0-9]| ?{_UNIT}))")
# Behind a number, or before it: why it may stay as it is.
_STAYS = re.compile(
    r"(?:[~〜-][0-9./½¼]+)? ?(?:CC|cm|枚|個|本|切れ|杯|g|ml|カップ|人分|かけ|C|T)?"
    r"(?:幅|分|倍|%|％|入り|角|[(（]|[)）]? ?[x×]|大|小|種|半分)"
)
_BEFORE = re.compile(r"(?:幅|[x×] ?|[（(][^)）]*|(?<![A-Za-z])[A-Za-z]-?)\Z")
_LABEL = re.compile(r"\A ?[(（]?[A-Za-z]?[0-9]{1,2}(?:[)）]|[.](?![0-9]))")  # 1) 2. (3)


def read_runs(line: str) -> list[tuple[str, Fraction | None, str, str]]:
    """(text, value, text before it, text behind it) of every number of a line; the value is None where it has none.

    line  an ingredient line
    """
    plain = line.translate(_WIDE)
    return [(run[0], _value(run[0]), plain[: run.start()], plain[run.end() :]) for run in _RUN.finditer(plain)]


def _value(text: str) -> Fraction | None:
    if text == "ひと":
        return Fraction(1)
    if all(char in _KANJI or char in _TENS for char in text):
        return _kanji(text)
    parts = [part for part in re.split(r" ?と ?|[・ +]|(?=[½¼半])", text) if part]
    values = [_SIGNS[part] if part in _SIGNS else _plain(part) for part in parts]
    if len(values) > 2 or None in values:
        return None
    known = [value for value in values if value is not None]
    if len(known) == 2 and (known[0].denominator != 1 or known[1] <= 0):
        return None
    return sum(known, Fraction(0))


def _plain(text: str) -> Fraction | None:
    if re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3})+", text):
        return Fraction(text.replace(",", ""))
    if re.fullmatch(r"[0-9]*\.?[0-9]+|[0-9]+/[0-9]*[1-9][0-9]*", text):
        return Fraction(text)
    return None


def _kanji(text: str) -> Fraction | None:
    """三十二; None for what is written twice or out of order: 二三, 十百."""
    total, digit, last = 0, 0, 10_000
    for char in text:
        if char in _KANJI:
            if digit:
                return None
            digit = _KANJI[char]
        elif _TENS[char] < last:
            total, digit, last = total + (digit or 1) * _TENS[char], 0, _TENS[char]
        else:
            return None
    return Fraction(total + digit)


def judge(line: str, factor: Fraction) -> str:
    """What is wrong with what the rule makes of a line: a kind, "" where nothing is.

    line    an ingredient line
    factor  to scale by
    """
    same, scaled = scale(line, Fraction(1)), scale(line, factor)
    if (same is None) != (scaled is None):
        return "refused by one factor alone"
    if same is None or scaled is None:
        return ""
    back = scale(scaled, 1 / factor)
    if back is not None and _values(back) != _values(line):
        return "does not return"
    if _values(same) != _values(line):
        return "factor 1 changes a value"
    before, after = read_runs(_joined(line)), read_runs(_joined(scaled))
    if len(before) != len(after):
        return "other numbers"
    for (text, value, left, right), (changed, result, _left, _right) in zip(before, after, strict=True):
        if (value is None or result is None) and text != changed:
            return "malformed number read"
        if value is None or result is None:
            continue
        if result == value and value and not (_STAYS.match(right) or _BEFORE.search(left)):
            return "left unscaled"
        if result not in (value, value * factor):
            return "wrong amount"
    return ""


def _values(line: str) -> list[Fraction | None]:
    return [value for _text, value, _left, _right in read_runs(_joined(line))]


def _joined(line: str) -> str:
    """Without a label, and with halves before their units: 三本半 is 3半本."""
    return _BEHIND_UNIT.sub(_half_first, _LABEL.sub("", line.translate(_WIDE)))


def _half_first(found: re.Match[str]) -> str:
    value = found[1] if found[1].isdigit() else _kanji(found[1])
    return found[0] if value is None else f"{value}{'と' + found[3] if found[3] else '半'}{found[2]}"


def draw(rng: Random) -> str:
    """One to nine random pieces.

    rng  makes every choice
    """
    return "".join(rng.choice(PIECES) for _ in range(1 + rng.randrange(9)))


def fuzz(lines: int, seed: int) -> Iterator[tuple[str, str, Fraction]]:
    """(kind, line, factor) for every line that is wrongly read.

    lines  to draw
    seed   of the lines
    """
    rng = Random(seed)
    for _ in range(lines):
        line, factor = draw(rng), rng.choice(FACTORS)
        if kind := judge(line, factor):
            yield kind, line, factor


def main() -> None:
    """Draws, judges and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    found = list(fuzz(args.lines, args.seed))
    for kind, line, factor in found:
        print(kind, repr(line), factor, repr(scale(line, factor)), flush=True)
    result = {
        "lines": args.lines, "seed": args.seed, "wrong": len(found), "kinds": Counter(kind for kind, *_ in found),
        "cases": [[kind, line, str(factor)] for kind, line, factor in found[:100]],
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "recipe_fuzz.json").write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
