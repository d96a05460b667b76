"""Normal forms of Japanese text and emoji, one named step at a time.

Sources are compared under `normalise_source`; targets are never normalised here (NFKC turns ™️ into TM️): their
canonical form is the codec's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

import regex

_SPACES = regex.compile(r"\s+")
_INVISIBLE = regex.compile(r"[\p{Cf}--\u200d]", regex.V1)


def nfkc(text: str) -> str:
    """Full-width digits and letters, half-width katakana and the like in one form (Unicode NFKC).

    text  any text
    """
    return unicodedata.normalize("NFKC", text)


def remove_invisible(text: str) -> str:
    """The text without zero-width and formatting characters; the joiner inside emoji stays.

    text  any text
    """
    return _INVISIBLE.sub("", text)


def collapse_spaces(text: str) -> str:
    """The text with runs of white space as one space, and none at the ends.

    text  any text
    """
    return _SPACES.sub(" ", text).strip()


def normalise_source(text: str) -> str:
    """The normal form under which two sources are the same source: NFKC, visible, case-folded, single-spaced.

    text  any text
    """
    return collapse_spaces(remove_invisible(nfkc(text))).casefold()


def graphemes(text: str) -> list[str]:
    r"""What a reader sees as single characters (extended grapheme clusters, Unicode UAX #29, `\X`).

    text  any text
    """
    return regex.findall(r"\X", text)


# ── emoji ───────────────────────────────────────────────────────────────────────────────────────────

_VARIATION = "\ufe0e\ufe0f"
_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_PLAIN = str.maketrans("", "", _VARIATION + _TONES)
# Pairs of people with a skin tone each are sequences; without tones Unicode knows them as one character only.
_PAIRS = {
    "🧑\u200d❤\u200d🧑": "💑",
    "🧑\u200d❤\u200d💋\u200d🧑": "💏",
    "🫱\u200d🫲": "🤝",
    "👩\u200d🤝\u200d👩": "👭",
    "👩\u200d🤝\u200d👨": "👫",
    "👨\u200d🤝\u200d👨": "👬",
    "🧑\u200d🐰\u200d🧑": "👯",
    "👨\u200d🐰\u200d👨": "👯\u200d♂️",
    "👩\u200d🐰\u200d👩": "👯\u200d♀️",
    "🧑\u200d🫯\u200d🧑": "🤼",
    "👨\u200d🫯\u200d👨": "🤼\u200d♂️",
    "👩\u200d🫯\u200d👩": "🤼\u200d♀️",
}


@cache
def _normal_forms() -> Mapping[str, str]:
    """Every emoji without tones and variation selectors → its fully qualified form (Unicode's table, emoji-test)."""
    import emoji

    qualified = emoji.STATUS["fully_qualified"]
    plain = {one: facts for one, facts in emoji.EMOJI_DATA.items() if not any(tone in one for tone in _TONES)}
    forms = {one.translate(_PLAIN): one for one, facts in plain.items() if facts["status"] == qualified}
    return forms | {pair: one for pair, one in _PAIRS.items() if pair not in forms}


def normalise_emoji(text: str) -> str | None:
    """The normal form of an emoji, or None where the text is not exactly one emoji.

    Fully qualified (❤ → ❤️, 1⃣ → 1️⃣), without skin tone (👍🏽 → 👍); joined sequences, flags and keycaps stay whole.
    Bare digits, letters and lone skin tones are no emoji. Applied twice it changes nothing more.

    text  one emoji, in any form
    """
    return _normal_forms().get(text.translate(_PLAIN)) if text else None


def parse_emoji(text: str) -> list[str] | None:
    """The emoji of a text in normal form and order, or None where it holds anything else but white space.

    text  emoji and white space
    """
    found = [normalise_emoji(grapheme) for grapheme in graphemes(text) if not grapheme.isspace()]
    return None if None in found else [one for one in found if one is not None]


def all_emoji() -> list[str]:
    """Every emoji in its normal form, in the order of Unicode's table as the emoji package keeps it."""
    return list(dict.fromkeys(_normal_forms().values()))


@cache
def _japanese_names() -> Mapping[str, str]:
    import emoji

    emoji.config.load_language("ja")
    found = {}
    for one, facts in emoji.EMOJI_DATA.items():
        form, name = normalise_emoji(one), str(facts.get("ja", "")).strip(":").replace("_", " ")
        if form == one and name:
            found[one] = name
    return found


def emoji_name(emoji: str) -> str:
    """The Japanese name of an emoji by Unicode's own data (🐱 → ネコの顔); "" where it has none.

    emoji  in any form
    """
    return _japanese_names().get(normalise_emoji(emoji) or "", "")
