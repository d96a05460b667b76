"""Draws ingredient lines in the manner of recipe pages: source and answer grow side by side, so the label is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from terakoya.tasks.quantities import numbers
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


@dataclass
class Line:
    """A line while it is written: as the recipe has it, as the answer has it, and the numbers that scale."""

    factor: str
    source: list[str] = field(default_factory=list)
    target: list[str] = field(default_factory=list)
    scaled: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.source.append(text)
        self.target.append(text)

    def amount(self, number: str) -> None:
        self.source.append(number)
        self.target.append(f"<{number}*{self.factor}>")
        self.scaled.append(number)


NameDrawer = Callable[[Random], str]


def draw_line(random: Random, factor: str, name: NameDrawer) -> Line:
    """One line. `name` draws an ingredient: from the lists, or a string that means nothing."""
    line = Line(factor)
    if random.random() < 0.14:
        line.add(random.choice(words()["labels"]) + random.choice(("", "", " ", "　")))
    if random.random() < 0.07:
        _several(random, line, name)
        return line
    _names(random, line, name)
    if random.random() < 0.2:
        _parenthesis(random, line, _note)
    _quantity(random, line)
    tail = random.random()
    if tail < 0.2:
        line.add(random.choice(("", " ", "")))
        _parenthesis(random, line, _note)
    elif tail < 0.44:
        _parenthesis(random, line, _measure)
        line.kinds.append("two quantities")
    elif tail < 0.49:
        _parenthesis(random, line, _content)
    return line


def _names(random: Random, line: Line, name: NameDrawer) -> None:
    first = name(random)
    if random.random() < 0.12:
        first = random.choice(words()["before"]) + first
    if random.random() < 0.1:
        first += random.choice(("、", "・", "と", "、")) + name(random)
    line.add(first)


def _quantity(random: Random, line: Line) -> None:
    """What separates it, and the amount. 半 and digits need a separator, or they would belong to the name."""
    kind = random.random()
    separator = random.choice(_SEPARATORS)
    if not separator and (0.09 <= kind < 0.12 or line.source[-1][-1:].isdigit()):
        separator = " "
    line.add(separator)
    if kind < 0.09:
        line.add(random.choice(words()["unquantified"]))
        line.kinds.append("unquantified")
        return
    if kind < 0.12:
        line.amount("半")
        line.add(random.choice(_HALVED))
        line.kinds.append("half")
        return
    if random.random() < 0.1:
        line.add(random.choice(("各", "各 ")) if random.random() < 0.5 else random.choice(_SIZED))
    if kind < 0.37:
        _spoon(random, line)
    elif kind < 0.62:
        _measured(random, line)
    else:
        _counted(random, line)
    if random.random() < 0.08:
        line.add(random.choice(_AFTER))
    elif random.random() < 0.04:
        line.add(random.choice(("+", "＋", "と", "、")))
        _spoon(random, line)
        line.kinds.append("two quantities")


def _spoon(random: Random, line: Line) -> None:
    line.add(random.choice(_SPOONS) + ("約" if random.random() < 0.02 else " " if random.random() < 0.03 else ""))
    _run(random, line, numbers.count)


def _measured(random: Random, line: Line) -> None:
    unit = random.choice(_MEASURED)
    small = unit in ("kg", "L", "cm")
    _run(random, line, numbers.count if small else numbers.weight, unit)
    line.add(unit)


def _counted(random: Random, line: Line) -> None:
    _run(random, line, numbers.count)
    line.add(random.choice(_COUNTED))


def _run(random: Random, line: Line, draw: Callable[[Random], str], unit: str = "") -> None:
    """One number, or a range of two."""
    line.amount(draw(random))
    if random.random() < 0.12:
        line.add((unit if random.random() < 0.1 else "") + random.choice(_RANGES))
        line.amount(draw(random))
        line.kinds.append("range")


def _several(random: Random, line: Line, name: NameDrawer) -> None:
    """たれ：しょうゆ大さじ2、酢大さじ1; or 水溶き片栗粉（片栗粉 大さじ1、水 大さじ2）."""
    line.kinds.append("two quantities")
    inside = random.random() < 0.3
    line.add(random.choice(words()["groups"]) + ("（" if inside else random.choice(("：", ":", "…", " "))))
    between: tuple[str, ...] = ("、", "、", " ")
    for place in range(2 + (random.random() < 0.3)):
        item = (random.choice(between) if place else "") + name(random)
        line.add(item + (" " if item[-1].isdigit() else random.choice((" ", "", " "))))
        if random.random() < 0.7:
            _spoon(random, line)
        else:
            _measured(random, line)
        # After a number without a unit a slash would make a fraction.
        between = ("、", "、", " ") if line.source[-1][-1].isnumeric() else ("、", "、", " ", "／", "+")
    if inside:
        line.add("）" + random.choice(("", " 全量", " 適量")))


def _parenthesis(random: Random, line: Line, inside: Callable[[Random, Line], None]) -> None:
    opening, closing = random.choice(("（）", "（）", "（）", "()"))
    line.add(opening)
    inside(random, line)
    line.add(closing)


def _note(random: Random, line: Line) -> None:
    """Words, or numbers that do not scale."""
    kind = random.random()
    if kind < 0.4:
        line.add(random.choice(words()["notes"]))
    elif kind < 0.55:
        line.add(nonsense(random))
    else:
        line.add(_filled(random, random.choice(words()["sizes"])))
        line.kinds.append("number in a note")
    if random.random() < 0.1:
        line.add(random.choice(("・", "、")) + random.choice(words()["notes"]))


def _content(random: Random, line: Line) -> None:
    line.add(_filled(random, random.choice(words()["contents"])))
    line.kinds.append("number in a note")


def _filled(random: Random, pattern: str) -> str:
    first, *others = pattern.split("#")
    return first + "".join(numbers.plain(random) + other for other in others)


def _measure(random: Random, line: Line) -> None:
    before, _, after = random.choice(words()["measures"]).partition("@")
    line.add(before + (" " if before and random.random() < 0.2 else ""))
    _run(random, line, numbers.weight if after.startswith(("g", "ml")) else numbers.count)
    line.add(after)
