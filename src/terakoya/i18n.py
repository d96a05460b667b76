"""What a person reads, in English and Japanese at once: written where it is known, chosen where it is shown.

A sentence is a plain English `str` that also knows its Japanese. Whoever only passes it on need not care; whoever
builds one sentence from others takes `japanese(…)` of them for its Japanese half.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Lang = Literal["en", "ja"]
_MARK = "_ja"  # how the Japanese of a field is named in files and JSON: what, what_ja


class Both(str):
    """The English sentence, as any string; `ja` says the same in Japanese."""

    ja: str

    def __new__(cls, en: str, ja: str) -> Both:
        made = super().__new__(cls, en)
        made.ja = ja
        return made

    def __add__(self, more: str) -> Both:
        return Both(str(self) + str(more), self.ja + japanese(more))

    def __radd__(self, before: str) -> Both:
        return Both(str(before) + str(self), japanese(before) + self.ja)

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # copied and sent between processes whole
        return str(self), self.ja


def both(en: str, ja: str) -> Both:
    """One sentence in two languages. Names and figures are the same in both."""
    return Both(en, ja)


def japanese(text: str) -> str:
    """The Japanese of a sentence; where it has none, the sentence itself."""
    return text.ja if isinstance(text, Both) else text


def in_language(text: str, lang: str) -> str:
    return japanese(text) if lang == "ja" else str(text)


def joined(separator: str, texts: Iterable[str]) -> Both:
    """Sentences strung together, in each language its own."""
    parts = list(texts)
    return both(separator.join(parts), separator.join(map(japanese, parts)))


def spread(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Fields for a file or for JSON: a sentence in two languages takes two, `what` and `what_ja`."""
    told: dict[str, Any] = {}
    for name, value in fields:
        told[name] = value
        if isinstance(value, Both):
            told[name + _MARK] = value.ja
    return told


def gathered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What `spread` wrote, as it was. Files that know English only are read as well."""
    pairs = {name: name + _MARK for name in fields if name + _MARK in fields}
    plain = {name: value for name, value in fields.items() if name not in pairs.values()}
    return plain | {name: both(str(fields[name]), str(fields[japan])) for name, japan in pairs.items()}


def language(wanted: str = "") -> Lang:
    """`--lang`, then the config, then the locale; English for every other tongue."""
    if wanted in ("en", "ja"):
        return "ja" if wanted == "ja" else "en"
    spoken = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return "ja" if spoken.lower().startswith("ja") else "en"
