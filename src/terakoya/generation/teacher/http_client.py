"""Client of an OpenAI-compatible API, through the openai package with its aiohttp transport.

The package's own retries are off: every attempt must be in the ledger before it is sent. Its response models are not
used either: they accept an error inside HTTP 200, and reading the bytes directly halves the work per request.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import Any

from terakoya.errors import ConfigError, need
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.responses import MOST_BYTES
from terakoya.i18n import _

_SENT: ContextVar[list[bool]] = ContextVar("sent")  # of the request in this context: not empty once it is written


class ApiTeacher:
    """A teacher behind an API. Each call of `send` is one attempt; calls may be concurrent.

    model        model name
    base_url     address of the API
    key          API key; "" where none is needed
    deadline     wall-clock seconds for a whole call, however slowly the bytes arrive
    connections  size of the connection pool
    redact       removes secrets from whatever is stored
    extra        further fields of every request's body
    headers      further headers of every request
    max_tokens_name  the field that carries the length limit
    Raises ConfigError where the extra `teacher` is not installed.
    """

    paid = True

    def __init__(
        self,
        model: str,
        base_url: str,
        key: str,
        *,
        deadline: float = 60.0,
        connections: int = 64,
        redact: Callable[[str], str] = str,
        extra: Mapping[str, Any] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        max_tokens_name: str = "max_tokens",
    ) -> None:
        openai = need("openai", extra="teacher")
        self._httpx = httpx = need("httpx", extra="teacher")
        need("httpx_aiohttp", extra="teacher")  # without it the package falls back to a pool that is slow with hundreds
        self.name, self._deadline, self._redact = model, deadline, redact
        self._extra, self._headers, self.max_tokens_name = dict(extra), dict(headers), max_tokens_name
        self._status, self._response = openai.APIStatusError, httpx.Response
        # A ValueError is an address, key or header that cannot be written.
        self._broken = (openai.APIConnectionError, httpx.InvalidURL, ValueError, _TooLarge)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = openai.DefaultAioHttpClient(
            limits=limits, timeout=deadline, transport=_bounded(httpx, limits), follow_redirects=False
        )
        try:
            self._client = openai.AsyncOpenAI(
                api_key=key or "none", base_url=base_url, max_retries=0, timeout=deadline, http_client=self._http
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise ConfigError(
                _("this is no address of an API ({error})", error=redact(str(error))),
                where="[teacher] base_url",
                do=_('Write it as the provider names it: base_url = "https://…/v1".'),
            ) from None

    async def send(self, request: TeacherRequest) -> RawResponse:
        """Send `request` once. Raises NoResponse."""
        body = self.body_of(request)
        start = time.monotonic()
        sent: list[bool] = []
        _SENT.set(sent)
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._post(body)
        except TimeoutError:
            raise NoResponse(f"no complete response within {self._deadline:g} s", sent=bool(sent)) from None
        except self._broken as error:
            raise self._lost(error, sent=bool(sent)) from None
        return RawResponse(
            response.status_code,
            self._redact(_text(response.content)),
            round(time.monotonic() - start, 4),
            response.headers.get("content-type", ""),
            _retry_after(response.headers),
        )

    def body_of(self, request: TeacherRequest) -> dict[str, Any]:
        """The body of a chat completion for `request`."""
        body = {
            **self._extra,
            "model": request.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.turns],
            self.max_tokens_name: request.max_tokens,
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        return body

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _post(self, body: dict[str, Any]) -> Any:
        try:
            return await self._client.post(
                "/chat/completions",
                body=body,
                cast_to=self._response,
                options={"headers": {**self._headers, "Accept-Encoding": "identity"}},
            )
        except self._status as error:
            return error.response

    def _lost(self, error: BaseException, *, sent: bool) -> NoResponse:
        """Only a request of which nothing was written to a connection is certainly free of charge."""
        what = self._redact(str(error.__cause__ or error))[:200]
        return NoResponse(f"{'the connection broke' if sent else 'no connection'}: {what}", sent=sent)


class _TooLarge(Exception):
    """A body larger than any response needs."""


def _bounded(httpx: Any, limits: Any) -> Any:
    """The aiohttp transport, which reads at most MOST_BYTES of a body, before and after unpacking."""
    transport: Any = need("httpx_aiohttp", extra="teacher").AiohttpTransport

    class Bounded(transport):  # type: ignore[misc]  # a class of an optional package, known only here
        def get_client(self) -> Any:
            client = super().get_client()
            client.trace_configs.append(_sent_trace())
            return client

        async def handle_async_request(self, request: Any) -> Any:
            _require_sendable(request.headers.raw)
            response = await super().handle_async_request(request)
            raw = bytearray()
            try:
                async for chunk in response.stream:
                    raw += chunk
                    if len(raw) > MOST_BYTES:
                        raise _TooLarge(f"the response is larger than {MOST_BYTES:,} bytes")
            finally:
                await response.stream.aclose()
            encoding = response.headers.get("content-encoding", "identity").lower()
            drop = {b"content-encoding", b"content-length", b"transfer-encoding"}
            # As bytes: a name or value that is no ASCII must not cost the response.
            headers = [(name, value) for name, value in response.headers.raw if name.lower() not in drop]
            return httpx.Response(
                response.status_code, headers=headers, content=_decompress(bytes(raw), encoding), request=request
            )

    return Bounded(limits=limits, verify=trusted_certificates(httpx))


def _sent_trace() -> Any:
    """Notes that a request begins to be written to a connection: from then on the provider may have it."""

    async def note(session: Any, context: Any, event: Any) -> None:
        _SENT.get().append(True)

    trace = need("aiohttp", extra="teacher").TraceConfig()
    trace.on_request_headers_sent.append(note)
    trace.freeze()
    return trace


def _require_sendable(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise ValueError where a header, such as the key's, cannot be written: before it is tried on a connection."""
    for name, value in headers:
        if any((byte < 32 and byte != 9) or byte == 127 for byte in name + value):
            raise ValueError(f"the header {name.decode('latin-1')} contains control characters")


@cache
def trusted_certificates(httpx: Any) -> Any:
    """The certificates that the module `httpx` trusts, read once: that costs more than the rest of a start."""
    return httpx.create_ssl_context()


def _decompress(raw: bytes, encoding: str) -> bytes:
    """Identity encoding is requested; a server that compresses all the same must not send a decompression bomb."""
    if encoding in {"", "identity"} or not raw:
        return raw
    if encoding not in {"gzip", "deflate"}:
        raise _TooLarge(f"the response has the encoding '{encoding[:20]}', which was not requested")
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        data = decompressor.decompress(raw, MOST_BYTES + 1)
    except zlib.error:
        return raw  # not compressed after all, or damaged: it was paid for, and is kept as it came
    if len(data) > MOST_BYTES:
        raise _TooLarge(f"the response decompresses to more than {MOST_BYTES:,} bytes")
    return data


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _retry_after(headers: Any) -> str:
    with suppress(ValueError):  # absent, or no number
        return str(float(headers.get("retry-after-ms", "")) / 1000)
    return str(headers.get("retry-after", ""))
