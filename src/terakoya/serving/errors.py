"""Refusals of requests, in the form that OpenAI's clients turn into exceptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class RequestError(Exception):
    """A request that is refused.

    status   of HTTP, 4xx or 5xx
    message  what is wrong, in English; it never repeats what the client sent
    code     short name, for programs
    param    the field at fault; "" is none
    headers  further ones of the response
    """

    def __init__(
        self, status: int, message: str, *, code: str, param: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The refusal as a response."""
        return json_response(
            error_body(self.status, self.message, self.code, self.param), status=self.status, headers=self.headers
        )


def error_body(status: int, message: str, code: str, param: str = "") -> dict[str, Any]:
    """The body of a refusal.

    status   of HTTP
    message  what is wrong
    code     short name
    param    the field at fault; "" is none
    """
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param or None, "code": code}}


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response in UTF-8.

    value    JSON-ready
    status   of HTTP
    headers  further ones
    """
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Response(content, status, dict(headers or {}), "application/json")
