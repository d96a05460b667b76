"""What a config may add to a teacher's requests: fields of the body, and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from terakoya.config.secret_values import require_no_secrets
from terakoya.i18n import _

T = TypeVar("T")

_POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_OWN_HEADERS = frozenset({
    "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "accept-encoding", "connection",
})  # fmt: skip
_INSTEAD = {
    "model": "teacher.model",
    "messages": "teacher.recipe",
    "temperature": "teacher.temperature",
    "max_tokens": "teacher.max_tokens",
    "max_completion_tokens": "teacher.max_tokens and teacher.max_tokens_name",
    "max_output_tokens": "teacher.max_tokens and teacher.max_tokens_name",
}
# One whole response is paid for and read; more would cost more than is reserved, or arrive in pieces.
_FIXED: Mapping[str, Any] = {"stream": False, "n": 1, "best_of": 1}


def checked_pool(pool: dict[str, T]) -> dict[str, T]:
    """The table `teacher.pool`, where every name can stand in a ledger and in a column. Raises ValueError."""
    for name in pool:
        if _POOL_NAME.fullmatch(name) is None:
            raise ValueError(
                _(
                    "'{name}' is no name of a teacher: up to 40 letters of A to Z, digits, hyphens and underscores",
                    name=name,
                )
            )
    return pool


def checked_rates(rates: dict[str, float]) -> dict[str, float]:
    """The table `teacher.rates` with its codes in capitals. Raises ValueError for what is no code of a currency."""
    for code in rates:
        if not re.fullmatch(r"[A-Za-z]{3}", code):
            raise ValueError(_("'{code}' is no currency code of three letters, such as EUR", code=code))
    return {code.upper(): rate for code, rate in rates.items()}


def checked_extra(extra: dict[str, Any]) -> dict[str, Any]:
    """The table `teacher.extra`, where it sets nothing that has a setting of its own. Raises ValueError."""
    require_no_secrets(extra)
    for name, setting in _INSTEAD.items():
        if name in extra:
            raise ValueError(_("'{name}' has a setting of its own: {setting}", name=name, setting=setting))
    for name, only in _FIXED.items():
        if name in extra and extra[name] != only:
            value = str(only).lower()
            raise ValueError(
                _("'{name}' can only be {value}: each request gets one whole response", name=name, value=value)
            )
    return extra


def checked_headers(headers: dict[str, str]) -> dict[str, str]:
    """The table `teacher.headers`, where every header can be sent and none holds a key. Raises ValueError."""
    require_no_secrets(headers)
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError(_("'{name}' is no name of a header", name=name))
        if name.lower() in _OWN_HEADERS:
            raise ValueError(_("the header '{name}' is set by the program itself", name=name))
        if _HEADER_VALUE.fullmatch(value) is None:
            raise ValueError(_("the header '{name}' may hold visible ASCII characters only", name=name))
    return headers
