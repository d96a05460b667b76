"""Numbers and factors as recipes write them, drawn with a wide tail: every pair of digits must be seen."""

from __future__ import annotations

from random import Random

from terakoya.codec.quantity import VULGAR

_FULL = str.maketrans("0123456789./", "０１２３４５６７８９．／")
_EASY = ("1/2", "1/2", "1/3", "2/3", "1/4", "3/4", "1/8", "1/5", "1/6", "3/8")
_SIGNS = {f"{value.numerator}/{value.denominator}": sign for sign, value in VULGAR.items()}
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


def count(random: Random, *, dry: bool = False) -> str:
    """A small number, whole or in parts: 3, 1/2, 1と1/2, 2.5, ½. `dry` leaves out the parts."""
    kind = random.random()
    if kind < 0.52 or dry:
        small = random.random() < 0.8
        return _width(random, str(1 + int(random.random() * (9 if small else 60))))
    if kind < 0.76:
        return fraction(random)
    if kind < 0.9:
        return mixed(random)
    return _width(random, decimal(random, 10))


def weight(random: Random) -> str:
    """Grams and millilitres: mostly round."""
    kind = random.random()
    if kind < 0.08:
        return _width(random, decimal(random, 300))
    if kind < 0.12:
        return fraction(random)
    if kind < 0.14:
        return f"{1 + int(random.random() * 3)},{int(random.random() * 10)}00"
    step = random.choice((1, 5, 10, 10, 25, 50, 50, 100))
    most = random.choice((10, 20, 40))
    return _width(random, str(step * (1 + int(random.random() * most))))


def fraction(random: Random) -> str:
    if random.random() < 0.75:
        text = random.choice(_EASY)
    else:
        below = 2 + int(random.random() * 11)
        text = f"{1 + int(random.random() * (below if random.random() < 0.8 else 20))}/{below}"
    if text in _SIGNS and random.random() < 0.22:
        return _SIGNS[text]
    return _width(random, text)


def mixed(random: Random) -> str:
    whole = str(1 + int(random.random() * (4 if random.random() < 0.8 else 12)))
    text = random.choice(_EASY)
    if random.random() < 0.3:
        return f"{_width(random, whole)}{_SIGNS[text]}" if text in _SIGNS else f"{whole}と{text}"
    return _width(random, f"{whole}{'と' if random.random() < 0.6 else '・'}{text}")


def decimal(random: Random, most: int) -> str:
    whole = int(random.random() * most * random.random())
    return f"{whole}.{random.choice(('5', '5', '5', '2', '25', '75', '8', '4', '6', '1', '3', '7', '05', '125'))}"


def plain(random: Random) -> str:
    """A number that stands in a note or a name."""
    if random.random() < 0.15:
        return decimal(random, 12)
    return _width(random, str(int(1 + random.random() * random.choice((9, 9, 12, 50, 100, 600)))))


def factor(random: Random) -> tuple[str, str]:
    """How a factor stands in the question, and how it stands in an answer: 2人分→5人分 is 5/2, 半分 is 1/2."""
    kind = random.random()
    if kind < 0.12:
        return "半分", "1/2"
    if kind < 0.42:
        most = 6 if random.random() < 0.7 else 20
        one, other = 1 + int(random.random() * most), 1 + int(random.random() * most)
        word = "人分" if random.random() < 0.85 else "人前"
        return f"{one}{word}→{other}{word}", f"{other}/{one}"
    if kind < 0.85:
        text = random.choice(_TIMES)
    elif kind < 0.93:
        text = str(2 + int(random.random() * 19))
    else:
        text = fraction(random) if random.random() < 0.5 else decimal(random, 8)
    if random.random() < 0.05:
        text = text.translate(_FULL)
    return f"{text}倍", text


def _width(random: Random, text: str) -> str:
    return text.translate(_FULL) if random.random() < 0.12 else text
