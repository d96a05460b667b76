"""The parts of ingredient lines: our own hand-written lists, and strings without meaning.

Half of the names in training are random strings: only so does a small model learn to copy names that it has never seen,
instead of memorising the ones that it has.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from random import Random

from terakoya.codec.recipe_numbers import UNITS, VULGAR
from terakoya.tasks.quantities.spellings import CHARACTERS

HIRAGANA = "".join(chr(code) for code in range(0x3041, 0x3094))
KATAKANA = "".join(chr(code) for code in range(0x30A1, 0x30F7)) + "ー"
# Kanji of recipes beyond the 2,965 of JIS level 1.
_RARE = (
    "椒炒茹醂蒟蒻餃飩檸檬蠣鰆鱚鮪鰊鰹鱧鯵饂飥餡饅餉檬柚橘蕨薊茗荷蕗芹蓮萵苣菠薐筍椎榎蒡蔥韮葱薑蒜棗胡桃杏"
    "榛栗酢鹸麩麴麹糀醤醬醪醢羹粽糯稗粟黍蕎穂莢豌豆腸餅饂鱈鰯鯖鯛鰤鱒鮎鮑鮨鯉鰻蛤蜆蟹海老烏賊蛸昆鱗鰭鍋釜"
    "匙皿碗"
)
# What in a name would be read as an amount, there or together with what follows.
_AMOUNT_LIKE = re.compile(
    rf"[0-9]|半|[一二三四五六七八九十百千](?:{UNITS}|\Z)|(?:ひと|ふた|みっ|よっ|いつ|むっ|なな|やっ|ここの)"
    r"|[大小中各約計]\Z|(?:さじ|サジ|匙|スプーン|コップ|カップ|玉|たま)\Z|少々|適量|適宜|好み"
)


@cache
def kanji() -> str:
    """The kanji of JIS X 0208 level 1, in its order, and some of recipes beyond it."""
    rows = range(16, 48)
    codes = (bytes((0xA0 + row, 0xA0 + cell)) for row in rows for cell in range(1, 95))
    return "".join(dict.fromkeys("".join(code.decode("euc_jp", "ignore") for code in codes) + _RARE))


@cache
def words() -> Mapping[str, tuple[str, ...]]:
    """The lists of words.toml by name."""
    text = (resources.files(__package__) / "words.toml").read_text(encoding="utf-8")
    return {name: tuple(dict.fromkeys(words.split())) for name, words in tomllib.loads(text).items()}


@cache
def alphabet() -> str:
    """Every character of a line: syllables, kanji, Latin letters, and what stands in our lists."""
    signs = "".join(VULGAR)
    latin = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZＡＢＣＤＥＦＧ&'!?~"
    listed = "".join("".join(group) for group in words().values())
    return "".join(dict.fromkeys(signs + HIRAGANA + KATAKANA + latin + kanji() + listed + CHARACTERS))


def nonsense(rng: Random) -> str:
    """A name without meaning and without an amount: syllables, kanji or a mixture, one to nine characters.

    rng  makes every choice
    """
    while is_like_an_amount(name := _nonsense(rng)):
        pass
    return name


def is_like_an_amount(name: str) -> bool:
    """Whether a `name` holds what a reader takes for an amount: 三個, 半, or 大 before whatever follows."""
    return _AMOUNT_LIKE.search(name) is not None


def _nonsense(rng: Random) -> str:
    length = 1 + int(9 * rng.random() ** 1.4)
    kind = rng.random()
    if kind < 0.2:
        return _string(rng, HIRAGANA, length)
    if kind < 0.4:
        return _string(rng, KATAKANA, length)
    if kind < 0.7:
        return _string(rng, kanji(), min(length, 6))
    return "".join(_string(rng, rng.choice((HIRAGANA, KATAKANA, kanji(), kanji())), 1) for _ in range(length))


def _string(rng: Random, characters: str, length: int) -> str:
    return "".join(characters[int(rng.random() * len(characters))] for _ in range(length))
