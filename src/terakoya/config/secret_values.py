"""Keys that were pasted into a config, where they would be stored with every result: refused without being shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from terakoya.i18n import _

# Prefixes of the keys of known providers, each with enough behind it to be one.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|ak|csk|fk|dsk|key|api|token|pplx|xai|nvapi|glpat|gsk|hf|r8|fw|co|tgp|jina|ms|esecret"
    r"|together|mistral|github_pat|gh[pousr])[-_](?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{6,})"
)
# A key without such a prefix looks like any other fingerprint, which models and addresses may be named by.
_UNNAMED_KEY = re.compile(r"(?<![A-Za-z0-9])(?:[0-9a-fA-F]{32,}|[A-Za-z0-9]{40,})")
_USUAL_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"(?i)(^|[-_])(api)?[-_]?(keys?|tokens?|secret|password|passwd|auth|authorization|sig|signature|cookie)$"
)
_REFERENCE = re.compile(r"(?:(?:Bearer|Basic|Token|Key)\s+)?\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.IGNORECASE)
_USE_VARIABLE = _("put the key into an environment variable and write that variable's name: key_variable = …")


class SecretError(ValueError):
    """A value holds a key, so no message may show it. `args[0]` says what to do."""


def contains_key(text: str) -> bool:
    """Whether `text` contains what looks like an API key."""
    return _KEY.search(text) is not None


def checked_variable(name: str) -> str:
    """`name`, where it can be the name of an environment variable. Raises SecretError: it may be the key itself."""
    digits = sum(char.isdigit() for char in name)
    pasted = contains_key(name) or _UNNAMED_KEY.search(name) or (len(name) >= 16 and digits >= 3)
    mixed = len(name) >= 20 and "_" not in name and name.lower() != name != name.upper()
    if name and _USUAL_NAME.fullmatch(name) is None and (_NAME.fullmatch(name) is None or pasted or mixed):
        raise SecretError(
            _(
                "it must be the name of an environment variable, and this may be the key itself: {use_variable}",
                use_variable=_USE_VARIABLE,
            )
        )
    return name


def checked_url(url: str) -> str:
    """`url`, where it holds no user name, password or key. Raises SecretError."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise SecretError(_("it is no address")) from None
    if "@" in parts.netloc:
        raise SecretError(
            _(
                "it contains a user name or password, and configs are stored with their results: {use_variable}",
                use_variable=_USE_VARIABLE,
            )
        )
    if contains_key(url) or any(_SECRET_NAME.search(name) for name, _value in query):
        raise SecretError(
            _(
                "it contains a key, and configs are stored with their results: {use_variable}",
                use_variable=_USE_VARIABLE,
            )
        )
    return url


def checked_text(text: str) -> str:
    """`text`, where it contains no key. Raises SecretError."""
    if contains_key(text):
        raise SecretError(
            _(
                "it looks like a key, and configs are stored with their results: {use_variable}",
                use_variable=_USE_VARIABLE,
            )
        )
    return text


def require_no_secrets(values: Mapping[str, Any]) -> None:
    """Refuse a key anywhere inside the table `values`; ${NAME} refers to an environment variable instead.

    Raises SecretError, which names the field but not its value.
    """
    for name, text in _texts(values):
        secret = _SECRET_NAME.search(name.rpartition(".")[2]) is not None and bool(text)
        if (secret and _REFERENCE.fullmatch(text.strip()) is None) or contains_key(text) or _UNNAMED_KEY.search(text):
            raise SecretError(
                _(
                    "'{name}' holds a key, and configs are stored with their results: put the key into an environment "
                    "variable and write ${{NAME}} with that variable's name",
                    name=name,
                )
            )


def _texts(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(values, str):
        yield name, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield from _texts(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _texts(value, name)
