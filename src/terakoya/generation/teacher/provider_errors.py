"""What a provider's error means: classified by its code and text before its status, each with advice that fits.

Providers disagree about statuses: no credit comes as 402, 403, 429 or 400, a wrong key as 400, a rate limit as 503, and
some send everything with 200. What they write is more reliable. `tests/generation/provider_errors.jsonl` holds what
real providers sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from terakoya.generation.teacher.error_classes import CLASSES, ErrorClass, Kind, words
from terakoya.i18n import _, joined

_MOST_TEXT = 4000  # characters of an error that are searched
_TIMES = {"ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class ResponseFault:
    """Why a response is unusable.

    kind    "busy" (rate limited), "down" (transient), "garbled", "refused" (this request), "hopeless" (every request)
    what    in words
    wait    seconds that the provider demands, None where it does not
    free    whether nothing is charged
    reason  the name of the class of error ("credit", "key", …), "" where none was recognised
    do      what to do about it, "" where nothing specific is known
    """

    kind: Kind
    what: str
    wait: float | None = None
    free: bool = False
    reason: str = ""
    do: str = ""


_BY_NAME = {one.name: one for one in CLASSES}
_BY_STATUS = {401: "key", 402: "credit", 403: "permission", 405: "address", 410: "model"}

_PARAMETER = words(r"""
    (unsupported|unknown|unrecogni[sz]ed|unexpected|invalid)[ _](request\ )?
        (parameter|argument|field|keyword|value|name|property|option)
    | extra[ _]?(inputs|fields)?[ _]?(are\ )?(not[ _]permitted|forbidden) | additional\ propert
    | (parameter|field|argument|value|'|`|")[^.]{0,40}\ (is|are)\ (not\ (supported|permitted|allowed|available)
        |unsupported|deprecated)
    | does\ not\ support\ (the\ )?(parameter|field|argument|'|`|[\d.]+\ with|\w+_\w+)
    """)  # fmt: skip
_QUOTED = re.compile(r"""['"`]([A-Za-z_][\w.]{1,40})['"`]""")
_NAMED = re.compile(r"(?:parameter|argument|field|name|supplied)s?:?\s+([A-Za-z_]\w{1,40})\b")
_TOO_HIGH = re.compile(r"too (large|high|big)|at most|less than|maximum|exceeds", re.IGNORECASE)
_WAIT = re.compile(
    r"(?:try(?: again)?|retry) (?:in|after) ((?:[\d.]+\s*[a-z]+\s*)+)|retrydelay\W+([\d.]+s)", re.IGNORECASE
)
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|seconds?|sec|s|minutes?|min|m|hours?|h)", re.IGNORECASE)


def classify_error(status: int, body: Mapping[str, Any] | None, raw: str, wait: float | None) -> ResponseFault:
    """What the error `body` means: by its code and text where they are known, else by the status.

    status  HTTP status, or the numeric code inside a response with HTTP 200; 0: none
    body    the parsed error object, None where it is no JSON object
    raw     the text of the body
    wait    seconds by the header Retry-After, None where absent
    """
    message, text = error_message(body, raw), _searched(body, raw)
    if fault := _by_parameter(status, body, text, message):
        return fault
    found = _BY_NAME["length"] if status == 413 else _by_text(status, text)
    demanded = (
        wait if wait is not None or (status != 429 and (found is None or found.kind != "busy")) else _wait_in(text)
    )
    if found is None:
        return _by_status(status, body, message, demanded)
    fault = _fault(found, status, message)
    return replace(fault, wait=demanded, free=found.kind in ("hopeless", "busy") or 400 <= status < 500)


def address_fault(what: str) -> ResponseFault:
    """The fault of an address that responds, but not as a chat completions API; `what` says how it responds."""
    known = _BY_NAME["address"]
    return ResponseFault("hopeless", joined(": ", (known.what, what)), reason=known.name, do=known.do)


def error_message(body: Mapping[str, Any] | None, raw: str) -> str:
    """The provider's own words, one line, without control characters.

    body  the parsed error object, None where it is no JSON object
    raw   the text of the body, used where there is no object
    """
    text = next(_messages(body), "") if body is not None else re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", raw)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]


def error_in(body: Mapping[str, Any]) -> bool:
    """Whether the object `body` of a response with HTTP 200 reports an error instead of containing choices."""
    if body.get("error") or body.get("errors"):
        return True
    if body.get("choices"):
        return False
    wrapped = body.get("base_resp")
    if isinstance(wrapped, Mapping) and wrapped.get("status_code"):
        return True
    return any(body.get(name) for name in ("detail", "error_msg", "error_message", "error_code", "fault")) or (
        "message" in body and ("code" in body or body.get("object") == "error" or body.get("success") is False)
    )


def error_code(body: Mapping[str, Any]) -> int:
    """The numeric code (400 to 599) inside the error object `body`, 0 where there is none."""
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        error = body
    for name in ("code", "status", "status_code"):
        value = error.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch(r"[45]\d\d", str(value)):
            return int(value)
    return 0


def _by_text(status: int, text: str) -> ErrorClass | None:
    for one in CLASSES:
        if one.pattern.search(text) is None:
            continue
        if one.name == "overload" and status == 429:
            return None
        if one.name == "moderation" and not (status in {0, 200, 400, 403, 422, 451} and "account" not in text.lower()):
            continue
        return one
    return None


def _by_parameter(status: int, body: Mapping[str, Any] | None, text: str, message: str) -> ResponseFault | None:
    """A parameter that the provider does not take: every request has it, so every request will fail."""
    if status not in {0, 200, 400, 422} or body is None:
        return None
    name = _parameter(body, message) if _PARAMETER.search(text) or _parameter(body, "") else ""
    field = name.rpartition(".")[2]
    if not field or name.startswith(("messages", "input", "prompt")) or field in {"content", "role"}:
        return None
    if field == "model":
        return _fault(_BY_NAME["model"], status, message)
    if _BY_NAME["length"].pattern.search(text) or _BY_NAME["moderation"].pattern.search(text):
        return None
    what = _("the provider does not accept the parameter '{name}': {message}", name=field, message=message)
    return ResponseFault("hopeless", what, free=True, reason="parameter", do=_parameter_advice(field, message))


def _parameter_advice(name: str, message: str) -> str:
    if name == "max_tokens" and ("max_completion_tokens" in message or not _TOO_HIGH.search(message)):
        return _('Write max_tokens_name = "max_completion_tokens" in [teacher], then run the same command again.')
    if name in {"max_tokens", "max_completion_tokens"} and _TOO_HIGH.search(message):
        return _("Lower teacher.max_tokens, then run the same command again.")
    if name == "max_completion_tokens":
        return _('Write max_tokens_name = "max_tokens" in [teacher], then run the same command again.')
    if name == "temperature":
        return _('Write temperature = "unset" in [teacher], then run the same command again.')
    return _("Change or remove '{name}' in teacher.extra, then run the same command again.", name=name)


def _parameter(body: Mapping[str, Any], message: str) -> str:
    """The parameter that an error names: in its field `param`, in a validator's location, or quoted in its text."""
    error = body.get("error", body)
    if isinstance(error, Mapping) and isinstance(error.get("param"), str) and error["param"]:
        return str(error["param"])
    detail = body.get("detail")
    if (
        isinstance(detail, list)
        and detail
        and isinstance(detail[0], Mapping)
        and isinstance(detail[0].get("loc"), list)
    ):
        keys = [str(part) for part in detail[0]["loc"] if isinstance(part, str) and part not in {"body", "query"}]
        return ".".join(keys)
    found = _QUOTED.search(message) or _NAMED.search(message)
    return found.group(1) if found else ""


def _by_status(status: int, body: Mapping[str, Any] | None, message: str, wait: float | None) -> ResponseFault:
    detail = f" ({message})" if message else ""
    if status == 429:
        return ResponseFault("busy", _("too many requests{detail}", detail=detail), wait, free=True, reason="rate")
    if status == 404:
        reason = "model" if body is not None and "model" in message.lower() else "address" if body is None else ""
        if reason:
            return replace(_fault(_BY_NAME[reason], status, message), free=True)
        what = _("the provider does not know this model or address: HTTP 404{detail}", detail=detail)
        return ResponseFault("hopeless", what, free=True, do=_("Check teacher.model and teacher.base_url."))
    if status in _BY_STATUS:
        return replace(_fault(_BY_NAME[_BY_STATUS[status]], status, message), free=True)
    if 300 <= status < 400:
        return address_fault(_("it redirects with HTTP {status}", status=status))
    if status in {408, 409, 425} or status >= 500:
        # A gateway may say 502 after the model behind it has worked and charged: counted as spent.
        return ResponseFault("down", f"HTTP {status}{detail}", wait)
    if not 400 <= status < 500:
        return ResponseFault("garbled", _("error inside the response: {message}", message=message), wait)
    return ResponseFault("refused", f"HTTP {status}{detail}", free=True)


def _fault(one: ErrorClass, status: int, message: str) -> ResponseFault:
    detail = f" ({message})" if message else ""
    code = f": HTTP {status}" if status not in {0, 200} else ""
    what = joined("", (one.what, code, detail))
    return ResponseFault(one.kind, what, free=True, reason=one.name, do=one.do)


def _messages(value: Any) -> Iterator[str]:
    """The texts of an error object, the likeliest message first."""
    if isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, Mapping):
        names = ("error", "message", "error_msg", "error_message", "msg", "detail", "base_resp", "status_msg", "errors",
                 "fault", "faultstring", "title", "error_description")  # fmt: skip
        for name in names:
            if value.get(name):
                yield from _messages(value[name])
        if not any(value.get(name) for name in names):
            yield json.dumps(value, ensure_ascii=False)
    elif isinstance(value, list):
        for item in value:
            yield from _messages(item)


def _searched(body: Mapping[str, Any] | None, raw: str) -> str:
    """All that the error says, as text: keys are searched too, because some say it there."""
    if body is None:
        return re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", raw[: 4 * _MOST_TEXT], flags=re.DOTALL)[:_MOST_TEXT]
    shown = {name: value for name, value in body.items() if name not in {"choices", "usage", "model", "id"}}
    return json.dumps(shown, ensure_ascii=False)[:_MOST_TEXT]


def _wait_in(text: str) -> float | None:
    """Seconds that the text demands ("try again in 7m12s"), at most two minutes; None where it names none."""
    found = _WAIT.search(text)
    if found is None:
        return None
    amounts = _AMOUNT.findall(found.group(1) or found.group(2))
    seconds = sum(float(number) * _TIMES[_unit(unit)] for number, unit in amounts)
    return min(seconds, 120.0) if amounts else None


def _unit(unit: str) -> str:
    unit = unit.lower().removesuffix("s") if unit.lower() not in {"s", "ms"} else unit.lower()
    return {"hour": "h"}.get(unit, unit)
