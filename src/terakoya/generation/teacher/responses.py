"""Parsing a teacher's raw response. HTTP 200 says little: the body may be an error, a web page or a truncated text.

A `ResponseFault` leads to a retry, a rejected row or the end of the generation. A `TeacherResponse` may have a `defect`
that excludes it from the data: it was paid for, so it is stored and reported, never repaired.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

from terakoya.generation.teacher.protocol import NANO, RawResponse
from terakoya.i18n import both, japanese

LONGEST_WAIT = 120.0  # seconds; a Retry-After beyond it is clamped
MOST_BYTES = 1 << 20  # of one body
Kind = Literal["busy", "down", "garbled", "refused", "hopeless"]

_REASONING = re.compile(r"</?(think|thinking|thought|reasoning)\b[^>]*>|<\|channel\|>|^\s*\[/?THINK\]", re.IGNORECASE)
_MODERATION = re.compile(r"moderat|content.?policy|content.?filter|flagged|safety", re.IGNORECASE)
_HOPELESS = {
    401: both("the key was rejected", "API キーが拒否された"),
    402: both("there is no credit left", "残高がない"),
    403: both("the key does not permit this use", "この API キーはこの用途に使えない"),
    404: both("the provider does not know this model or address", "提供元にこのモデルまたは URL がない"),
}


@dataclass(frozen=True, slots=True)
class TeacherResponse:
    """A complete response.

    text        the content, stripped
    defect      what excludes it from the data; "" where nothing does
    tokens_in   prompt tokens, `tokens_out` response tokens, as reported; None: not reported
    tokens_out  see `tokens_in`
    cost        in billionths of the currency as reported; None: not reported
    model       the model that the provider names
    """

    text: str
    defect: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class ResponseFault:
    """Why a response is unusable.

    kind  "busy" (rate limited), "down" (transient), "garbled", "refused" (this request), "hopeless" (every request)
    what  in words
    wait  seconds that the provider demands, None where it does not
    free  whether nothing is charged
    """

    kind: Kind
    what: str
    wait: float | None = None
    free: bool = False


def parse_response(reply: RawResponse) -> TeacherResponse | ResponseFault:
    """The content of the raw response `reply`, or why it is unusable."""
    body = _json(reply.body)
    if reply.status != 200:
        return _by_status(reply.status, _message(body, reply.body), parse_retry_after(reply.retry_after))
    if body is None:
        page = "html" in reply.content_type or reply.body.lstrip()[:1] == "<"
        return ResponseFault(
            "garbled",
            both("the response is a web page", "応答がウェブページである")
            if page
            else both("the response is not complete JSON", "応答が完全な JSON ではない"),
        )
    if body.get("error"):
        return _inside(body["error"], reply)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ResponseFault("garbled", both("the response contains no choice", "応答に候補（choices）がない"))
    if choices[0].get("error"):
        return _inside(choices[0]["error"], reply)
    return _content(body, choices[0])


def parse_retry_after(header: str, now: float | None = None) -> float | None:
    """Seconds to wait by the header Retry-After, clamped to 0…120; None where it is absent or unusable.

    header  a number of seconds or an HTTP date
    now     seconds since the epoch; default: the clock
    """
    header = header.strip()
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - (time() if now is None else now)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


def _content(body: Mapping[str, Any], choice: Mapping[str, Any]) -> TeacherResponse:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return TeacherResponse(
        text.strip(),
        _defect(choice, message, content),
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _money(usage.get("cost")),
        body["model"] if isinstance(body.get("model"), str) else "",
    )


def _defect(choice: Mapping[str, Any], message: Mapping[str, Any], content: Any) -> str:
    """What excludes this response from the data; "" if nothing does.

    The wording is part of the retry prompt: changing it would change requests that are paid.
    """
    finish = choice.get("finish_reason")
    if finish == "length":
        return "cut by the length limit"
    if finish == "content_filter" or message.get("refusal"):
        return "refused by the provider"
    if message.get("tool_calls") or message.get("function_call"):
        return "a tool call instead of text"
    if not isinstance(content, str):
        return "no text in the answer"
    if not content.strip():
        return "empty answer"
    if finish != "stop":
        return "not finished"
    if _REASONING.search(content):
        return "thinking left inside"
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in content):
        return "broken characters"
    return ""


def _inside(error: Any, reply: RawResponse) -> ResponseFault:
    """An error inside HTTP 200. Its code is treated as a status; without a code the request is retried."""
    code = error.get("code") if isinstance(error, dict) else None
    message = _message({"error": error}, "")
    number = int(code) if isinstance(code, int | str) and str(code).isdigit() else 0
    if 400 <= number < 600:
        return _by_status(number, message, parse_retry_after(reply.retry_after))
    return ResponseFault("garbled", both(f"error inside the response: {message}", f"応答の中にエラーがある：{message}"))


def _by_status(status: int, message: str, wait: float | None) -> ResponseFault:
    detail = f" ({message})" if message else ""
    if status == 429:
        return ResponseFault("busy", both(f"too many requests{detail}", f"要求が多すぎる{detail}"), wait, free=True)
    if status == 403 and _MODERATION.search(message):
        return ResponseFault(
            "refused", both(f"refused by moderation{detail}", f"モデレーションで拒否された{detail}"), free=True
        )
    if status in _HOPELESS:
        reason = _HOPELESS[status]
        return ResponseFault(
            "hopeless",
            both(f"{reason}: HTTP {status}{detail}", f"{japanese(reason)}：HTTP {status}{detail}"),
            free=True,
        )
    if status in {408, 409, 425} or status >= 500:
        # A gateway may say 502 after the model behind it has worked and charged: counted as spent.
        return ResponseFault("down", f"HTTP {status}{detail}", wait)
    return ResponseFault("refused", f"HTTP {status}{detail}", free=400 <= status < 500)


def _json(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _message(body: Mapping[str, Any] | None, raw: str) -> str:
    """The provider's own words, one line, without control characters."""
    error = (body or {}).get("error", (body or {}).get("message", "" if body else raw))
    if isinstance(error, dict):
        error = error.get("message", "")
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]


def _count(value: Any) -> int | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40
    return value if ok else None


def _money(value: Any) -> int | None:
    """Billionths, rounded up; None for NaN, negative and other invalid values."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return math.ceil(value * NANO - 1e-6)
