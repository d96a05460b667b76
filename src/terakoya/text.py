"""Japanese text and emoji put in order, one named step at a time.

Sources are compared under `source_form`; targets are never normalised here (NFKC turns ™️ into TM️):
their canonical form is the codec's affair.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache

import regex

_SPACES = regex.compile(r"\s+")
_INVISIBLE = regex.compile(r"[\p{Cf}--\u200d]", regex.V1)


def compatible(text: str) -> str:
    """Full-width digits and letters, half-width katakana and the like in one form (NFKC)."""
    return unicodedata.normalize("NFKC", text)


def without_invisible(text: str) -> str:
    """Zero-width and formatting characters removed; the joiner inside emoji stays."""
    return _INVISIBLE.sub("", text)


def single_spaced(text: str) -> str:
    """Runs of white space become one space, ends are trimmed."""
    return _SPACES.sub(" ", text).strip()


def source_form(text: str) -> str:
    """The normal form under which two sources are the same source: compatible, visible, case-folded, single-spaced."""
    return single_spaced(without_invisible(compatible(text))).casefold()


def graphemes(text: str) -> list[str]:
    r"""What a reader sees as single characters (extended grapheme clusters, Unicode UAX #29, `\X`)."""
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
def _emoji_forms() -> Mapping[str, str]:
    """Every emoji without tones and variation selectors → its fully qualified form (Unicode's table, emoji-test)."""
    import emoji

    qualified = emoji.STATUS["fully_qualified"]
    plain = {one: facts for one, facts in emoji.EMOJI_DATA.items() if not any(tone in one for tone in _TONES)}
    forms = {one.translate(_PLAIN): one for one, facts in plain.items() if facts["status"] == qualified}
    return forms | {pair: one for pair, one in _PAIRS.items() if pair not in forms}


def emoji_form(text: str) -> str | None:
    """The one normal form of an emoji, or None where the text is not exactly one emoji.

    Fully qualified (❤ → ❤️, 1⃣ → 1️⃣), without skin tone (👍🏽 → 👍); joined sequences, flags and keycaps stay whole.
    Bare digits, letters and lone skin tones are no emoji. `emoji_form(emoji_form(x)) == emoji_form(x)`.
    """
    return _emoji_forms().get(text.translate(_PLAIN)) if text else None


def emoji_in(text: str) -> list[str] | None:
    """The emoji of a text that holds nothing else but white space, in normal form and order; None for other text."""
    found = [emoji_form(grapheme) for grapheme in graphemes(text) if not grapheme.isspace()]
    return None if None in found else [one for one in found if one is not None]


def all_emoji() -> list[str]:
    """Every emoji in its normal form, in the order of Unicode's table as the emoji package keeps it."""
    return list(dict.fromkeys(_emoji_forms().values()))


@cache
def _japanese_names() -> Mapping[str, str]:
    import emoji

    emoji.config.load_language("ja")
    found = {}
    for one, facts in emoji.EMOJI_DATA.items():
        form, name = emoji_form(one), str(facts.get("ja", "")).strip(":").replace("_", " ")
        if form == one and name:
            found[one] = name
    return found


def emoji_name(one: str) -> str:
    """The Japanese name of an emoji by Unicode's own data (🐱 → ネコの顔); "" where it has none."""
    return _japanese_names().get(emoji_form(one) or "", "")
