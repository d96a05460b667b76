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
from typing import Any

from terakoya.generation.teacher.content import (
    Thinking,
    finish_of,
    has_reasoning_field,
    has_thinking,
    message_text,
)
from terakoya.generation.teacher.protocol import RawResponse
from terakoya.generation.teacher.provider_errors import ResponseFault, classify_error, error_code, error_in
from terakoya.generation.teacher.usage import parse_usage
from terakoya.i18n import _

LONGEST_WAIT = 120.0  # seconds; a Retry-After beyond it is clamped
MOST_BYTES = 1 << 20  # of one body
# Reasons of a response that no chat completions API sends: where nothing else ever arrived, the address is wrong.
PAGE, CHALLENGE, NO_COMPLETION = "page", "challenge", "no completion"

_CUT, _UNFINISHED, _THINKING = "cut by the length limit", "not finished", "thinking left inside"
_NO_TEXT, _EMPTY = "no text in the answer", "empty answer"
_THINK_LESS = _(
    "Raise teacher.max_tokens, or switch the model's thinking off by what its provider calls it, as in "
    '[teacher.extra] reasoning_effort = "none"; name another --output for it, because these are other requests.'
)
_ADVICE = {
    _CUT: _THINK_LESS,
    _NO_TEXT: _THINK_LESS,
    _EMPTY: _THINK_LESS,
    _UNFINISHED: _(
        "The provider's finish_reason means neither an end nor a limit; take another provider of this model."
    ),
    _THINKING: _(
        'Write thinking = "strip" in [teacher] to drop the thinking in front of each output, and run the same command '
        "again: the responses are read anew, not paid again."
    ),
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
    currency    of `cost`; "" where none is named
    unusable    names of reported values that cannot be used
    detail      more about the defect, for people; "" where there is no more
    """

    text: str
    defect: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: int | None = None
    model: str = ""
    currency: str = ""
    unusable: tuple[str, ...] = ()
    detail: str = ""


def parse_response(
    reply: RawResponse, max_tokens: int = 0, thinking: Thinking = "reject"
) -> TeacherResponse | ResponseFault:
    """The content of a raw response, or why it is unusable.

    reply       what arrived
    max_tokens  the request's limit: a response with fewer tokens that does not say how it ended is complete; 0: unknown
    thinking    "strip" drops thinking in front of the output, "reject" makes it a defect
    """
    body = _json(reply.body)
    wait = parse_retry_after(reply.retry_after)
    try:
        if reply.status != 200:
            return classify_error(reply.status, body, reply.body, wait)
        if body is None:
            return _no_json(reply)
        if error_in(body):
            return classify_error(error_code(body) or 200, body, reply.body, wait)
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ResponseFault("garbled", _("the response contains no choice"), reason=NO_COMPLETION)
        if choices[0].get("error"):
            inside = {"error": choices[0]["error"]}
            return classify_error(error_code(inside) or 200, inside, reply.body, wait)
        return _content(body, choices[0], max_tokens, thinking)
    except RecursionError:
        return ResponseFault("garbled", _("the response is nested too deeply"))


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


def defect_advice(defect: str) -> str:
    """What to do where every response has the `defect`; "" where nothing specific is known."""
    return _ADVICE.get(defect, "")


def _content(
    body: Mapping[str, Any], choice: Mapping[str, Any], max_tokens: int, thinking: Thinking
) -> TeacherResponse:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    usage, text = parse_usage(body), message_text(message, thinking)
    brief = usage.tokens_out is not None and 0 < usage.tokens_out < max_tokens
    defect = _defect(choice, message, text, brief)
    return TeacherResponse(
        text or "",
        defect,
        usage.tokens_in,
        usage.tokens_out,
        usage.cost,
        body["model"] if isinstance(body.get("model"), str) else "",
        usage.currency,
        usage.unusable,
        _detail(defect, choice, message),
    )


def _defect(choice: Mapping[str, Any], message: Mapping[str, Any], text: str | None, brief: bool) -> str:
    """What excludes this response from the data; "" if nothing does.

    The wording is part of the retry prompt: changing it would change requests that are paid.
    """
    finish = finish_of(choice)
    if finish == "cut":
        return _CUT
    if finish == "filtered" or message.get("refusal"):
        return "refused by the provider"
    if message.get("tool_calls") or message.get("function_call"):
        return "a tool call instead of text"
    if text is None:
        return _NO_TEXT
    if not text.strip():
        return _EMPTY
    if finish != "finished" and not (finish == "" and brief):
        return _UNFINISHED
    if has_thinking(text):
        return _THINKING
    if any("\ud800" <= char <= "\udfff" or char == "\0" for char in text):
        return "broken characters"
    return ""


def _detail(defect: str, choice: Mapping[str, Any], message: Mapping[str, Any]) -> str:
    if defect in {_NO_TEXT, _EMPTY} and has_reasoning_field(message):
        return "only thinking arrived"
    finish = finish_of(choice)
    return f"finish_reason {finish[:40] or 'absent'}" if defect == _UNFINISHED else ""


def _no_json(reply: RawResponse) -> ResponseFault:
    text = reply.body.lstrip()
    if "html" in reply.content_type or text[:1] == "<":
        return ResponseFault(
            "garbled", _("the response is a web page"), reason=CHALLENGE if _is_challenge(text) else PAGE
        )
    if text and text[:1] not in '{["' and not text.startswith("data:"):
        # Some servers respond at an address they do not have with one line of text and HTTP 200.
        fault = classify_error(200, None, reply.body, None)
        if fault.kind == "hopeless":
            return fault
    return ResponseFault("garbled", _("the response is not complete JSON"), reason=NO_COMPLETION)


def _is_challenge(page: str) -> bool:
    """Whether a web page is that of a protection in front of the API, which usually lets the next request pass."""
    return (
        re.search(r"just a moment|challenge|captcha|checking your browser|cloudflare", page, re.IGNORECASE) is not None
    )


def _json(text: str) -> dict[str, Any] | None:
    try:
        # A number of thousands of digits is a number all the same: as a float it is infinite, and refused as a value.
        value = json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 300 else float(digits))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
