"""Messages for people: written once, in English, in the code; shown in any language that has a catalogue.

`_("{rows} rows are empty", rows=3)` is a `str`, the English text, that remembers its template and its fields. Where
it is shown, `in_language(message, "ja")` looks the template up in locale/ja/LC_MESSAGES/terakoya.mo and puts the same
fields into the translation. Another language is one more catalogue there and nothing in the code; `make messages`
extracts, updates and compiles them (CONTRIBUTING.md).
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gettext import NullTranslations

DOMAIN = "terakoya"
LOCALE = Path(__file__).parent / "locale"
_TRANSLATED = re.compile(r"(?P<name>.+)_(?P<lang>[a-z]{2,3}(?:_[A-Z]{2})?)")  # how files name translations: what_ja


class Message(str):
    """The English text, as any string, that can also be had in other languages.

    template  what the catalogue is searched for: `str.format` fields where there are fields, else taken literally
    fields    values of the template; a field that is a Message itself appears in the same language
    """

    template: str
    fields: Mapping[str, Any]

    def __new__(cls, template: str, fields: Mapping[str, Any] | None = None) -> Message:
        message = super().__new__(cls, template.format(**fields) if fields else template)
        message.template = template
        message.fields = {name: _kept(value) for name, value in (fields or {}).items()}
        return message

    def translated(self, lang: str) -> str:
        """The text in the language `lang`; in English where that has no catalogue, or no good entry for it."""
        template = _catalogue(lang).gettext(self.template) if self.template else ""
        if not self.fields:
            return template
        fields = {
            name: value.translated(lang) if isinstance(value, Message) else value for name, value in self.fields.items()
        }
        try:
            return template.format(**fields)
        except (LookupError, ValueError, TypeError, AttributeError):  # a faulty translation never hides the message
            return self.template.format(**fields)

    def __add__(self, after: str) -> Message:
        return joined("", (self, after))

    def __radd__(self, before: str) -> Message:
        return joined("", (before, self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied, and sent between processes, with everything that it knows."""
        return _restored, (type(self), str(self), self.__dict__)


class Joined(Message):
    """Messages and plain texts in a row; see `joined`."""

    parts: tuple[str, ...]

    def __new__(cls, parts: Iterable[str]) -> Joined:
        known = tuple(parts)
        message = str.__new__(cls, "".join(known))
        message.template, message.fields, message.parts = "", {}, known
        return message

    def translated(self, lang: str) -> str:
        """Each part in the language `lang`."""
        return "".join(in_language(part, lang) for part in self.parts)


class Recorded(Message):
    """A message read from a file, where its translations are written out; see `gathered`."""

    translations: Mapping[str, str]

    def __new__(cls, english: str, translations: Mapping[str, str]) -> Recorded:
        message = str.__new__(cls, english)
        message.template, message.fields, message.translations = english, {}, dict(translations)
        return message

    def translated(self, lang: str) -> str:
        """The translation into the language `lang` that the file holds, else the English text."""
        return self.translations.get(lang) or str(self)


def _(template: str, /, **fields: Any) -> Message:
    """A message that can be shown in every language that has a catalogue.

    template  English. With fields a `str.format` template, braces doubled where they are meant; without, literal
    fields    its values by name. Messages among them are translated too
    """
    return Message(template, fields)


def in_language(text: str, lang: str) -> str:
    """A text as the reader of `lang` sees it.

    text  a Message is translated; a plain string stays as it is
    lang  language code, "en" or the name of a folder under locale/
    """
    return text.translated(lang) if isinstance(text, Message) and lang != "en" else str(text)


def in_every_language(text: str) -> dict[str, str]:
    """A text for a file: language code → the text in that language.

    text  a Message, or a plain string, which is the same in every language
    """
    return {lang: in_language(text, lang) for lang in languages()}


def joined(separator: str, texts: Iterable[str]) -> Joined:
    """Texts in a row, in each language its own.

    separator  stands between them; may be a Message
    texts      Messages or plain texts
    """
    parts: list[str] = []
    for text in texts:
        parts += [separator, text] if parts and separator else [text]
    return Joined(parts)


def spread(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Fields for a file or for JSON: a Message takes one more for each language, `what` and `what_ja`.

    fields  (name, value) pairs
    """
    flat: dict[str, Any] = {}
    for name, value in fields:
        flat[name] = value
        if isinstance(value, Message):
            flat.update({f"{name}_{lang}": value.translated(lang) for lang in languages() if lang != "en"})
    return flat


def gathered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What `spread` wrote, with its Messages; where a file holds English only, plain strings.

    fields  a parsed JSON object
    """
    known: dict[str, dict[str, str]] = {}
    for name, value in fields.items():
        found = _TRANSLATED.fullmatch(name)
        if found and isinstance(value, str) and isinstance(fields.get(found["name"]), str):
            known.setdefault(found["name"], {})[found["lang"]] = value
    left_out = {f"{name}_{lang}" for name, texts in known.items() for lang in texts}
    plain = {name: value for name, value in fields.items() if name not in left_out}
    return plain | {name: Recorded(fields[name], texts) for name, texts in known.items()}


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """Codes of the languages that messages can be shown in: "en" first, then every compiled catalogue."""
    compiled = LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")
    return ("en", *sorted(path.parent.parent.name for path in compiled))


def language(wanted: str = "") -> str:
    """The language to show: the one requested, else the locale's; English where there is no catalogue for it.

    wanted  from `--lang` or the config; "" where neither says
    """
    spoken = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    for code in (wanted, spoken.partition(".")[0].partition("@")[0]):
        found = next((lang for lang in (code, code.partition("_")[0]) if lang in languages()), "")
        if found:
            return found
    return "en"


@lru_cache(maxsize=8)
def _catalogue(lang: str) -> NullTranslations:
    """The catalogue of a language, kept once opened; an empty one where there is none."""
    from gettext import translation  # for readers of another language only

    return translation(DOMAIN, LOCALE, [lang], fallback=True)


def _kept(value: Any) -> Any:
    """A field as it can be kept, copied and sent: no tensor, array element, path or exception is held on to."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return copy.copy(value)
    if getattr(value, "ndim", None) == 0:  # a single number of NumPy or torch
        return value.item()
    return str(value)


def _restored(kind: type[Message], text: str, known: dict[str, Any]) -> Message:
    message = str.__new__(kind, text)
    message.__dict__.update(known)
    return message
