"""A text with emoji in another frame of the corpus: another time or person, another opening or closing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from terakoya.generation.sentences import phrases
from terakoya.generation.teacher.offline import cued_emoji
from terakoya.records import Example

_ENDS = ("。", "！", "!", "？", "?", "…")


def vary(row: Example, rng: Random) -> Example | None:
    """The same text with the same labels in another frame.

    A time at its start and a person are exchanged for others of their kind, and an opening or a closing that goes
    with every event is put around it. No fragment that cues an emoji of its own is used: the labels stay right.

    row  a text with its emoji
    rng  makes every choice
    Returns None where the draw changes nothing.
    """
    text = _other_time(row.source, rng)
    text = _other_person(text, rng)
    opening, closing = rng.random() < 0.5, rng.random() < 0.5
    if opening and not text.startswith(_texts("opening")):
        text = rng.choice(_texts("opening")) + text
    if closing and not text.endswith(_texts("closing")):
        text = text + ("" if text.endswith(_ENDS) else "。") + rng.choice(_texts("closing"))
    return None if text == row.source else replace(row, source=text, group="")


def _other_time(text: str, rng: Random) -> str:
    for kind in ("when", "ahead"):
        for time in _texts(kind):
            if text.startswith(f"{time}、"):
                return rng.choice(_texts(kind)) + text[len(time) :]
    return text


def _other_person(text: str, rng: Random) -> str:
    """The subject behind the time, or at the start: 、妹が, 、妹は. The first person stays the first person."""
    for person in ("first", "any"):
        for who in _persons(person):
            for particle in ("が", "は"):
                for before in ("、", ""):
                    old = f"{before}{who}{particle}"
                    if (before and old in text) or (not before and text.startswith(old)):
                        return text.replace(old, f"{before}{rng.choice(_persons(person))}{particle}", 1)
    return text


@cache
def _texts(kind: str) -> tuple[str, ...]:
    """Fragments of the corpus of one kind that cue no emoji and go with every event, the longest first."""
    return _silent([one for one in phrases().table[kind] if not isinstance(one, dict) or one.get("tone", "0") == "0"])


@cache
def _persons(person: str) -> tuple[str, ...]:
    return _silent([one for one in phrases().table["who"] if one["person"] == person])


def _silent(fragments: list[Any]) -> tuple[str, ...]:
    texts = {one["text"] if isinstance(one, dict) else str(one) for one in fragments}
    return tuple(sorted((text for text in texts if not cued_emoji(text)), key=lambda text: (-len(text), text)))
