"""What a reply is worth. HTTP 200 says little: an error, a web page, half an answer or a thought may be inside.

A `Fault` is no answer (ask again, leave the row, or stop). An `Answer` is one, maybe with a `defect` that bars it from
being data: it was paid for, so it is kept and told, never trimmed into shape.
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

from terakoya.generation.teacher.protocol import NANO, Reply
from terakoya.i18n import both, japanese

LONGEST_WAIT = 120.0  # seconds; a Retry-After beyond it is clamped
MOST_BYTES = 1 << 20  # of one body
Kind = Literal["busy", "down", "garbled", "refused", "hopeless"]

_THOUGHT = re.compile(r"</?(think|thinking|thought|reasoning)\b[^>]*>|<\|channel\|>|^\s*\[/?THINK\]", re.IGNORECASE)
_MODERATION = re.compile(r"moderat|content.?policy|content.?filter|flagged|safety", re.IGNORECASE)
_HOPELESS = {
    401: both("the key was refused", "鍵が拒まれた"),
    402: both("there is no credit left", "残高がない"),
    403: both("the key may not be used for this", "この鍵はこの用途に使えない"),
    404: both("the provider does not know this model or address", "提供元はこのモデルまたは所在を知らない"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `cost` in billionths of the currency as the provider reports it, None where it does not."""

    text: str
    defect: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer. `wait` is what the provider asked for, in seconds; `free` that it charges nothing."""

    kind: Kind
    what: str
    wait: float | None = None
    free: bool = False


def read_reply(reply: Reply) -> Answer | Fault:
    """An answer, or why there is none."""
    body = _json(reply.body)
    if reply.status != 200:
        return _by_status(reply.status, _message(body, reply.body), wait_of(reply.retry_after))
    if body is None:
        page = "html" in reply.content_type or reply.body.lstrip()[:1] == "<"
        return Fault(
            "garbled",
            both("a web page came instead of an answer", "回答の代わりにウェブページが来た")
            if page
            else both("the answer is no whole JSON", "回答が完全な JSON ではない"),
        )
    if body.get("error"):
        return _inside(body["error"], reply)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Fault("garbled", both("the answer holds no choice", "回答に候補がない"))
    if choices[0].get("error"):
        return _inside(choices[0]["error"], reply)
    return _answer(body, choices[0])


def wait_of(header: str, now: float | None = None) -> float | None:
    """Retry-After in seconds: a number or an HTTP date, held to 0…120; None where it says nothing we can use."""
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


def _answer(body: Mapping[str, Any], choice: Mapping[str, Any]) -> Answer:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        text.strip(),
        _defect(choice, message, content),
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _money(usage.get("cost")),
        body["model"] if isinstance(body.get("model"), str) else "",
    )


def _defect(choice: Mapping[str, Any], message: Mapping[str, Any], content: Any) -> str:
    """What bars this answer from being data; "" when nothing does."""
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
    if _THOUGHT.search(content):
        return "thinking left inside"
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in content):
        return "broken characters"
    return ""


def _inside(error: Any, reply: Reply) -> Fault:
    """An error inside HTTP 200. Its code counts like a status; without one it is worth one more try."""
    code = error.get("code") if isinstance(error, dict) else None
    message = _message({"error": error}, "")
    number = int(code) if isinstance(code, int | str) and str(code).isdigit() else 0
    if 400 <= number < 600:
        return _by_status(number, message, wait_of(reply.retry_after))
    return Fault("garbled", both(f"error inside the answer: {message}", f"回答の中にエラーがある：{message}"))


def _by_status(status: int, message: str, wait: float | None) -> Fault:
    said = f" ({message})" if message else ""
    if status == 429:
        return Fault("busy", both(f"too many requests{said}", f"要求が多すぎる{said}"), wait, free=True)
    if status == 403 and _MODERATION.search(message):
        return Fault("refused", both(f"refused by moderation{said}", f"審査で拒まれた{said}"), free=True)
    if status in _HOPELESS:
        return Fault(
            "hopeless",
            both(f"{_HOPELESS[status]}: HTTP {status}{said}", f"{japanese(_HOPELESS[status])}：HTTP {status}{said}"),
            free=True,
        )
    if status in {408, 409, 425} or status >= 500:
        # A gateway may say 502 after the model behind it has worked and charged: counted as spent.
        return Fault("down", f"HTTP {status}{said}", wait)
    return Fault("refused", f"HTTP {status}{said}", free=400 <= status < 500)


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
    """Billionths, rounded up; NaN, negative and other nonsense is as good as nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return math.ceil(value * NANO - 1e-6)
