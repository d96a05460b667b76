"""Rarer spellings of an amount, as recipe sites have them: 大2, 600 ml, 1本半, 大さじ1 1/2, 100g × 4枚, ひとかけ."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from terakoya.tasks.quantities import numbers

_SPOONS = (
    "大サジ", "小サジ", "オオサジ", "コサジ", "おおさじ", "こさじ", "大さじ…", "小さじ…", "大さじ ", "小さじ　",
    "大さじ約", "小さじ各", "大さじ山盛り", "小さじすりきり", "ｶｯﾌﾟ", "コップ", "大匙", "小匙",
)  # fmt: skip
_UNITS = (
    "㍑", "㌘", "ℓ", "㎏", "㎖", "㏄", "㎝", "ミリリットル", "デシリットル", "リットル", "グラム", "キロ", "キログラム",
    "ML", "Kg", "dl", "ｄｌ", "CC", "C", "T", "切", "きれ", "葉", "こ", "コ", "ケ", "ヶ", "たば", "ふくろ", "ｺ", "ﾊﾟｯｸ",
    "スライス", "丁分", "回し", "すくい", "握り", "ボトル", "コップ",
)  # fmt: skip
_SPACED = ("g", "ml", "cc", "個", "本", "枚", "カップ", "つ", "袋", "束", "缶", "合", "kg", "L", "片", "かけ", "玉")
_HALVED = ("本", "個", "枚", "合", "カップ", "丁", "束", "袋", "玉", "缶", "パック", "株", "片", "かけ", "杯", "つ")
_COUNTED = ("個", "本", "枚", "片", "かけ", "丁", "束", "切れ", "缶", "袋", "玉", "株", "房", "つ", "杯", "尾", "人分")
_NATIVE = ("かけ", "房", "束", "袋", "振り", "ふり", "握り", "玉", "切れ", "株", "つ", "粒")
_PIECES = ("枚", "切れ", "個", "本", "袋", "人分", "パック", "尾", "")
_SIGNS = (" × ", "×", " ×", "× ", " x ", "ｘ", " ✕ ")


# Every character of these spellings, so that a vocabulary can cover them.
CHARACTERS = "".join((*_SPOONS, *_UNITS, *_SPACED, *_HALVED, *_COUNTED, *_NATIVE, *_PIECES, *_SIGNS, "ひとふた、"))


class Line(Protocol):
    """A line while it is written (lines.DrawnLine)."""

    kinds: list[str]

    def add(self, text: str) -> None:
        """Appends a `text` that does not scale."""

    def amount(self, number: str) -> None:
        """Appends a `number` that scales."""


def draw_rare_spelling(rng: Random, line: Line) -> None:
    """Appends an amount in a spelling beyond the common ones.

    rng   makes every choice
    line  the line, whose last character separates the amount from the name
    """
    kind, spell = rng.choice(_SPELLINGS)
    spell(rng, line)
    line.kinds.append(kind)


def _short_spoon(rng: Random, line: Line) -> None:
    line.add(rng.choice("大小") + rng.choice(("", "", " ")))
    line.amount(numbers.count(rng))
    if rng.random() < 0.15:
        _second_end(rng, line)


def _spoon(rng: Random, line: Line) -> None:
    line.add(rng.choice(_SPOONS))
    line.amount(numbers.count(rng))


def _unit(rng: Random, line: Line) -> None:
    unit = rng.choice(_UNITS)
    line.amount(numbers.fraction(rng) if unit in "CT" else numbers.count(rng))  # 60C would be a temperature
    line.add(unit)


def _spaced_unit(rng: Random, line: Line) -> None:
    unit = rng.choice(_SPACED)
    line.amount(numbers.weight(rng) if unit in ("g", "ml", "cc") else numbers.count(rng))
    line.add(rng.choice((" ", " ", "　")) + unit)


def _mixed(rng: Random, line: Line) -> None:
    """1 1/2, 1+1/2, 1 と 1/2, .5, 2半."""
    spoon = rng.random() < 0.5
    line.add(rng.choice(("大さじ", "小さじ", "カップ")) if spoon else "")
    whole, part = 1 + int(rng.random() * 4), rng.choice(("1/2", "1/2", "1/3", "2/3", "1/4", "3/4"))
    joints = (" ", "　", "+", " と ")
    number = rng.choice((*(f"{whole}{joint}{part}" for joint in joints), f".{5 * whole}", f"{whole}半"))
    if number.startswith(".") and not spoon:
        line.add(" ")  # behind … the point would belong to the separator
    line.amount(number)
    line.add("" if spoon else rng.choice(("カップ", "個", "本", "合", "L")))


def _half_behind(rng: Random, line: Line) -> None:
    kind = rng.random()
    whole = 1 + int(rng.random() * (3 if kind < 0.8 else 9))
    if kind < 0.15:
        line.add(rng.choice(("大さじ", "小さじ")))
        line.amount("半")
        return
    if kind < 0.35:
        line.add(rng.choice(("大さじ", "小さじ")))
        line.amount(f"{whole}杯半")
        return
    line.amount(f"{whole}{rng.choice(_HALVED)}{rng.choice(('半', '半', '半', 'と1/2', 'と半分'))}")


def _piece_and_count(rng: Random, line: Line) -> None:
    if rng.random() < 0.2:
        line.add(f"{rng.choice(('大さじ', '小さじ'))}{numbers.fraction(rng)}")
    else:
        line.add(f"{numbers.weight(rng)}{rng.choice(('g', 'g', 'ｇ', 'ml'))}")
    line.add(rng.choice(_SIGNS))
    line.amount(numbers.count(rng, dry=True))
    line.add(rng.choice(_PIECES))


def _kanji(rng: Random, line: Line) -> None:
    if rng.random() < 0.3:
        line.amount(rng.choice(("ひと", "ひと", "ふた")))
        line.add(rng.choice(_NATIVE))
        return
    value = 1 + int(rng.random() * (9 if rng.random() < 0.8 else 30))
    tens, ones = divmod(value, 10)
    digits = "〇一二三四五六七八九"
    line.amount(("" if not tens else "十" if tens == 1 else f"{digits[tens]}十") + ("" if not ones else digits[ones]))
    line.add(rng.choice(_COUNTED))


def _neighbours(rng: Random, line: Line) -> None:
    """2、3個: two or three."""
    first = 1 + int(rng.random() * 8)
    line.amount(str(first))
    line.add("、")
    line.amount(str(first + 1))
    line.add(rng.choice(_COUNTED))


def _bare(rng: Random, line: Line) -> None:
    line.amount(numbers.count(rng))


def _second_end(rng: Random, line: Line) -> None:
    """The upper end of a range, above every number that `numbers.count` draws."""
    line.add(rng.choice("〜～"))
    line.amount(str(61 + int(rng.random() * 30)))


_SPELLINGS: tuple[tuple[str, Callable[[Random, Line], None]], ...] = (
    ("short spoon", _short_spoon), ("short spoon", _short_spoon), ("other unit", _spoon), ("other unit", _unit),
    ("other unit", _spaced_unit), ("mixed number", _mixed), ("half after the unit", _half_behind),
    ("piece and count", _piece_and_count), ("kanji numeral", _kanji), ("other unit", _neighbours), ("no unit", _bare),
)  # fmt: skip
