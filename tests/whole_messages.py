"""Messages made while tests run: each stands in the catalogue, and none of its fields is missing.

The texts in the code are compared with the catalogues elsewhere. What a message is filled with is only known when it is
made: a field that is None would be shown to a person as "None".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from gettext import GNUTranslations
from typing import Any

import pytest

from terakoya import i18n
from terakoya.errors import TerakoyaError


class UnknownMessageError(AssertionError):
    """A message that no reader of another language could read, or that lacks a field."""


def templates() -> frozenset[str]:
    """The English text of every message in the Japanese catalogue."""
    catalogue = i18n._catalogue("ja")
    assert isinstance(catalogue, GNUTranslations)
    return frozenset(catalogue._catalog)  # type: ignore[attr-defined]  # there is no public list


@pytest.fixture(autouse=True)
def _whole_messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every message is looked up, and every error says what to do as a message of ours."""
    known, make, initialise = templates(), i18n.Message.__new__, TerakoyaError.__init__

    def checked(cls: type[i18n.Message], template: str, fields: Mapping[str, Any] | None = None) -> i18n.Message:
        if template not in known:
            raise UnknownMessageError(f"not in the catalogue: {template!r}")
        missing = [name for name, value in (fields or {}).items() if value is None]
        if missing:
            raise UnknownMessageError(f"{template!r} lacks {missing}")
        return make(cls, template, fields)

    def with_advice(self: TerakoyaError, what: str, *rest: Any, **parts: Any) -> None:
        for part in (what, *parts.values()):
            if not isinstance(part, str):
                raise UnknownMessageError(f"a part of an error is no text: {part!r}")
        initialise(self, what, *rest, **parts)

    monkeypatch.setattr(i18n.Message, "__new__", staticmethod(checked))
    monkeypatch.setattr(TerakoyaError, "__init__", with_advice)
    yield
