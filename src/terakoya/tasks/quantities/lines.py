"""Draws ingredient lines in the style of recipe sites: source and target grow side by side, so the label is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from terakoya.codec.recipe_numbers import read_number
from terakoya.tasks.quantities import numbers
from terakoya.tasks.quantities.spellings import draw_rare_spelling
from terakoya.tasks.quantities.words import nonsense, words

_SEPARATORS = (" ", " ", " ", "　", "　", "…", "：", ":", "・・・", "……", "", " … ", "　　")
_SPOONS = ("大さじ", "大さじ", "大さじ", "小さじ", "小さじ", "カップ", "大匙", "小匙")
_MEASURED = ("g", "g", "g", "g", "ml", "ml", "ｇ", "kg", "cc", "L", "cm", "ｍｌ", "ｃｃ")
_COUNTED = (
    "個", "個", "個", "本", "本", "本", "枚", "枚", "片", "かけ", "かけ", "丁", "束", "束", "切れ", "缶", "袋",
    "玉", "株", "房", "滴", "つまみ", "杯", "パック", "枝", "節", "尾", "匹", "粒", "箱", "瓶", "膳", "カップ",
    "カップ", "カップ", "合", "合", "合", "個分", "個分", "本分", "枚分", "杯分", "人分", "人前", "さや", "山",
    "斤", "かたまり", "ネット", "羽", "つかみ", "皿", "把", "食分", "巻", "台", "セット", "串", "シート",
    "ブロック",
)  # fmt: skip
_HALVED = ("丁", "個", "束", "玉", "本", "株", "袋", "枚", "缶", "パック", "カップ")
_SIZED = ("大", "中", "小", "全形", "茶碗", "丼", "各", "正味", "約", "約", "約", "およそ", "だいたい")
_AFTER = ("程度", "くらい", "前後", "ほど", "弱", "強", "ぐらい")
_RANGES = ("〜", "〜", "～", "-", "~")
_RARE = 0.25  # share of the amounts in a rarer spelling


@dataclass
class DrawnLine:
    """A line while it is written.

    factor  as products hold it: 5/2
    source  pieces of the line as the recipe has it
    target  the same pieces with products in place of the numbers that scale
    scaled  the numbers that scale, as written
    kinds   what makes the line special, for the tag "kind"
    """

    factor: str
    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    scaled: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Appends a text that does not scale.

        text  for source and target
        """
        self.source.append(text)
        self.target.append(text)

    def amount(self, number: str) -> None:
        """Appends a number that scales.

        number  as the recipe writes it
        """
        self.source.append(number)
        self.target.append(f"<{number}*{self.factor}>")
        self.scaled.append(number)


NameDrawer = Callable[[Random], str]


def draw_line(rng: Random, factor: str, name: NameDrawer) -> DrawnLine:
    """One line.

    rng     makes every choice
    factor  as products hold it: 5/2
    name    draws an ingredient: from the lists, or a string without meaning
    """
    line = DrawnLine(factor)
    if rng.random() < 0.14:
        line.add(rng.choice(words()["labels"]) + rng.choice(("", "", " ", "　")))
    if rng.random() < 0.07:
        _several(rng, line, name)
        return line
    _names(rng, line, name)
    if rng.random() < 0.2:
        _parenthesis(rng, line, _note)
    _quantity(rng, line)
    tail = rng.random()
    if tail < 0.2:
        line.add(rng.choice(("", " ", "")))
        _parenthesis(rng, line, _note)
    elif tail < 0.44:
        _parenthesis(rng, line, _measure)
        line.kinds.append("two quantities")
    elif tail < 0.49:
        _parenthesis(rng, line, _content)
    return line


def _names(rng: Random, line: DrawnLine, name: NameDrawer) -> None:
    first = name(rng)
    if rng.random() < 0.12:
        first = rng.choice(words()["before"]) + first
    if rng.random() < 0.1:
        first += rng.choice(("、", "・", "と", "、")) + name(rng)
    line.add(first)


def _quantity(rng: Random, line: DrawnLine) -> None:
    """What separates it, and the amount. 半 and digits need a separator, or they would belong to the name."""
    kind = rng.random()
    separator, rare = rng.choice(_SEPARATORS), kind >= 0.12 and rng.random() < _RARE
    if not separator and (rare or 0.09 <= kind < 0.12 or line.source[-1][-1:].isdigit()):
        separator = " "
    line.add(separator)
    if kind < 0.09:
        line.add(rng.choice(words()["unquantified"]))
        line.kinds.append("unquantified")
        return
    if kind < 0.12:
        line.amount("半")
        line.add(rng.choice(_HALVED))
        line.kinds.append("half")
        return
    if rare:
        draw_rare_spelling(rng, line)
        return
    if rng.random() < 0.1:
        line.add(rng.choice(("各", "各 ")) if rng.random() < 0.5 else rng.choice(_SIZED))
    if kind < 0.37:
        _spoon(rng, line)
    elif kind < 0.62:
        _measured(rng, line)
    else:
        _counted(rng, line)
    if rng.random() < 0.08:
        line.add(rng.choice(_AFTER))
    elif rng.random() < 0.04:
        line.add(rng.choice(("+", "＋", "と", "、")))
        _spoon(rng, line)
        line.kinds.append("two quantities")


def _spoon(rng: Random, line: DrawnLine) -> None:
    line.add(rng.choice(_SPOONS) + ("約" if rng.random() < 0.02 else " " if rng.random() < 0.03 else ""))
    _run(rng, line, numbers.count)


def _measured(rng: Random, line: DrawnLine) -> None:
    unit = rng.choice(_MEASURED)
    small = unit in ("kg", "L", "cm")
    _run(rng, line, numbers.count if small else numbers.weight, unit)
    line.add(unit)


def _counted(rng: Random, line: DrawnLine) -> None:
    _run(rng, line, numbers.count)
    line.add(rng.choice(_COUNTED))


def _run(rng: Random, line: DrawnLine, draw: Callable[[Random], str], unit: str = "") -> None:
    """One number, or a range of two that rises."""
    first = draw(rng)
    if rng.random() >= 0.12:
        line.amount(first)
        return
    low, high = sorted((first, draw(rng)), key=read_number)
    line.amount(low)
    line.add((unit if rng.random() < 0.1 else "") + rng.choice(_RANGES))
    line.amount(high)
    line.kinds.append("range")


def _several(rng: Random, line: DrawnLine, name: NameDrawer) -> None:
    """たれ：しょうゆ大さじ2、酢大さじ1; or 水溶き片栗粉（片栗粉 大さじ1、水 大さじ2）."""
    line.kinds.append("two quantities")
    inside = rng.random() < 0.3
    line.add(rng.choice(words()["groups"]) + ("（" if inside else rng.choice(("：", ":", "…", " "))))
    between: tuple[str, ...] = ("、", "、", " ")
    for place in range(2 + (rng.random() < 0.3)):
        item = (rng.choice(between) if place else "") + name(rng)
        line.add(item + (" " if item[-1].isdigit() else rng.choice((" ", "", " "))))
        if rng.random() < 0.7:
            _spoon(rng, line)
        else:
            _measured(rng, line)
        # After a number without a unit a slash would make a fraction.
        between = ("、", "、", " ") if line.source[-1][-1].isnumeric() else ("、", "、", " ", "／", "+")
    if inside:
        line.add("）" + rng.choice(("", " 全量", " 適量")))


def _parenthesis(rng: Random, line: DrawnLine, inside: Callable[[Random, DrawnLine], None]) -> None:
    opening, closing = rng.choice(("（）", "（）", "（）", "()"))
    line.add(opening)
    inside(rng, line)
    line.add(closing)


def _note(rng: Random, line: DrawnLine) -> None:
    """Words, or numbers that do not scale."""
    kind = rng.random()
    if kind < 0.4:
        line.add(rng.choice(words()["notes"]))
    elif kind < 0.55:
        line.add(nonsense(rng))
    else:
        line.add(_with_numbers(rng, rng.choice(words()["sizes"])))
        line.kinds.append("number in a note")
    if rng.random() < 0.1:
        line.add(rng.choice(("・", "、")) + rng.choice(words()["notes"]))


def _content(rng: Random, line: DrawnLine) -> None:
    line.add(_with_numbers(rng, rng.choice(words()["contents"])))
    line.kinds.append("number in a note")


def _with_numbers(rng: Random, pattern: str) -> str:
    first, *others = pattern.split("#")
    return first + "".join(numbers.plain(rng) + other for other in others)


def _measure(rng: Random, line: DrawnLine) -> None:
    before, _, after = rng.choice(words()["measures"]).partition("@")
    line.add(before + (" " if before and rng.random() < 0.2 else ""))
    _run(rng, line, numbers.weight if after.startswith(("g", "ml")) else numbers.count)
    line.add(after)
