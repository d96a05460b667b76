"""Numbers and factors as recipes write them, drawn from a wide distribution: training must see every pair of digits."""

from __future__ import annotations

from random import Random

from terakoya.codec.recipe_numbers import VULGAR

_FULL = str.maketrans("0123456789./", "０１２３４５６７８９．／")
_EASY = ("1/2", "1/2", "1/3", "2/3", "1/4", "3/4", "1/8", "1/5", "1/6", "3/8")
_SIGNS = {f"{value.numerator}/{value.denominator}": sign for sign, value in VULGAR.items()}
_KANJI = "〇一二三四五六七八九"
_TIMES = (
    "2",
    "2",
    "2",
    "3",
    "3",
    "3",
    "4",
    "5",
    "1.5",
    "1.5",
    "1.5",
    "1/2",
    "1/2",
    "1/3",
    "2/3",
    "2.5",
    "0.5",
    "3/4",
    "1/4",
)


def count(rng: Random, *, dry: bool = False) -> str:
    """A small number, whole or in parts: 3, 1/2, 1と1/2, 2.5, ½.

    rng  makes every choice
    dry  leaves out the parts
    """
    kind = rng.random()
    if kind < 0.52 or dry:
        small = rng.random() < 0.8
        return _width(rng, str(1 + int(rng.random() * (9 if small else 60))))
    if kind < 0.76:
        return fraction(rng)
    if kind < 0.9:
        return mixed(rng)
    return _width(rng, decimal(rng, 10))


def weight(rng: Random) -> str:
    """Grams and millilitres: mostly round.

    rng  makes every choice
    """
    kind = rng.random()
    if kind < 0.08:
        return _width(rng, decimal(rng, 300))
    if kind < 0.12:
        return fraction(rng)
    if kind < 0.14:
        return f"{1 + int(rng.random() * 3)},{int(rng.random() * 10)}00"
    step = rng.choice((1, 5, 10, 10, 25, 50, 50, 100))
    most = rng.choice((10, 20, 40))
    return _width(rng, str(step * (1 + int(rng.random() * most))))


def fraction(rng: Random) -> str:
    """3/4 or ¾.

    rng  makes every choice
    """
    if rng.random() < 0.75:
        text = rng.choice(_EASY)
    else:
        below = 2 + int(rng.random() * 11)
        text = f"{1 + int(rng.random() * (below if rng.random() < 0.8 else 20))}/{below}"
    if text in _SIGNS and rng.random() < 0.22:
        return _SIGNS[text]
    return _width(rng, text)


def mixed(rng: Random) -> str:
    """1と1/2, 1・1/2 or 1½.

    rng  makes every choice
    """
    whole = str(1 + int(rng.random() * (4 if rng.random() < 0.8 else 12)))
    text = rng.choice(_EASY)
    if rng.random() < 0.3:
        return f"{_width(rng, whole)}{_SIGNS[text]}" if text in _SIGNS else f"{whole}と{text}"
    return _width(rng, f"{whole}{'と' if rng.random() < 0.6 else '・'}{text}")


def decimal(rng: Random, most: int) -> str:
    """0.5, 2.25.

    rng  makes every choice
    most  upper bound of the whole part
    """
    whole = int(rng.random() * most * rng.random())
    return f"{whole}.{rng.choice(('5', '5', '5', '2', '25', '75', '8', '4', '6', '1', '3', '7', '05', '125'))}"


def plain(rng: Random) -> str:
    """A number in a note or a name, which does not scale.

    rng  makes every choice
    """
    if rng.random() < 0.15:
        return decimal(rng, 12)
    return _width(rng, str(int(1 + rng.random() * rng.choice((9, 9, 12, 50, 100, 600)))))


def factor(rng: Random) -> tuple[str, str]:
    """A factor as the query writes it, and as products hold it: 2人分→5人分 is 5/2, 半分 is 1/2.

    rng  makes every choice
    """
    if rng.random() < 0.15:
        return _rare_factor(rng)
    kind = rng.random()
    if kind < 0.12:
        return "半分", "1/2"
    if kind < 0.42:
        most = 6 if rng.random() < 0.7 else 20
        one, other = 1 + int(rng.random() * most), 1 + int(rng.random() * most)
        word = "人分" if rng.random() < 0.85 else "人前"
        return f"{one}{word}→{other}{word}", f"{other}/{one}"
    if kind < 0.85:
        text = rng.choice(_TIMES)
    elif kind < 0.93:
        text = str(2 + int(rng.random() * 19))
    else:
        text = fraction(rng) if rng.random() < 0.5 else decimal(rng, 8)
    if rng.random() < 0.05:
        text = text.translate(_FULL)
    return f"{text}倍", text


def _rare_factor(rng: Random) -> tuple[str, str]:
    """半量, 倍量, 三倍, ×2, 三分の一, 二人分→四人分, 2人分 → 4人分, 2人→4人, 2人分を4人分に."""
    kind, times = rng.random(), 2 + int(rng.random() * 8)
    if kind < 0.3:
        word, value = rng.choice((("半量", "1/2"), ("倍", "2"), ("倍量", "2"), ("半分の量", "1/2"), ("倍の量", "2")))
        return word, value
    if kind < 0.45:
        return f"{_KANJI[times]}倍{rng.choice(('', '', '量'))}", str(times)
    if kind < 0.6:
        return f"{rng.choice('×✕x')}{times}", str(times)
    if kind < 0.65:
        return f"{_KANJI[times]}分の一", f"1/{times}"
    one, other = 1 + int(rng.random() * 9), 1 + int(rng.random() * 9)
    if kind < 0.75:
        return f"{_KANJI[one]}人分→{_KANJI[other]}人分", f"{other}/{one}"
    written = rng.choice(("{}人分 → {}人分", "{}人→{}人", "{}人分を{}人分", "{}人分から{}人分", "{}人分を{}人分に"))
    return written.format(one, other), f"{other}/{one}"


def _width(rng: Random, text: str) -> str:
    return text.translate(_FULL) if rng.random() < 0.12 else text
