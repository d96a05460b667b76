"""Client of an OpenAI-compatible API, through the openai package with its aiohttp transport.

The package's own retries are off: every attempt must be in the ledger before it is sent. Its response models are not
used either: they accept an error inside HTTP 200, and reading the bytes directly halves the work per request.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

from terakoya.errors import need
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.responses import MOST_BYTES


class ApiTeacher:
    """A teacher behind an API. Each call of `send` is one attempt; calls may be concurrent.

    model        model name
    base_url     address of the API
    key          API key; "" where none is needed
    deadline     wall-clock seconds for a whole call, however slowly the bytes arrive
    connections  size of the connection pool
    redact       removes secrets from whatever is stored
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
    ) -> None:
        openai = need("openai", extra="teacher")
        httpx = need("httpx", extra="teacher")
        need("httpx_aiohttp", extra="teacher")  # without it the package falls back to a pool that is slow with hundreds
        self.name, self._deadline, self._redact = model, deadline, redact
        self._errors, self._response = (openai.APIStatusError, openai.APIConnectionError), httpx.Response
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = openai.DefaultAioHttpClient(
            limits=limits, timeout=deadline, transport=_bounded(httpx, limits), follow_redirects=False
        )
        self._client = openai.AsyncOpenAI(
            api_key=key or "none", base_url=base_url, max_retries=0, timeout=deadline, http_client=self._http
        )

    async def send(self, request: TeacherRequest) -> RawResponse:
        """Send `request` once. Raises NoResponse."""
        body = {
            "model": request.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in request.turns],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
        }
        start = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._post(body)
        except TimeoutError:
            raise NoResponse(f"no complete response within {self._deadline:g} s", sent=True) from None
        return RawResponse(
            response.status_code,
            self._redact(_text(response.content)),
            round(time.monotonic() - start, 4),
            response.headers.get("content-type", ""),
            _retry_after(response.headers),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def _post(self, body: dict[str, Any]) -> Any:
        status, connection = self._errors
        try:
            return await self._client.post(
                "/chat/completions",
                body=body,
                cast_to=self._response,
                options={"headers": {"Accept-Encoding": "identity"}},
            )
        except status as error:
            return error.response
        except connection as error:
            raise self._lost(error) from None
        except (_TooLarge, zlib.error) as error:
            raise NoResponse(str(error), sent=True) from None

    def _lost(self, error: BaseException) -> NoResponse:
        """Only a connection that was never established is certainly free of charge."""
        causes, cause = [], error.__cause__
        while cause is not None:
            causes.append(type(cause).__name__)
            cause = cause.__cause__
        never = any(name.startswith("ClientConnector") for name in causes)
        what = self._redact(str(error.__cause__ or error))[:200]
        return NoResponse(f"{'no connection' if never else 'the connection broke'}: {what}", sent=not never)


class _TooLarge(Exception):
    """A body larger than any response needs."""


def _bounded(httpx: Any, limits: Any) -> Any:
    """The aiohttp transport, which reads at most MOST_BYTES of a body, before and after unpacking."""
    transport: Any = need("httpx_aiohttp", extra="teacher").AiohttpTransport

    class Bounded(transport):  # type: ignore[misc]  # a class of an optional package, known only here
        async def handle_async_request(self, request: Any) -> Any:
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
            drop = {"content-encoding", "content-length", "transfer-encoding"}
            headers = [(name, value) for name, value in response.headers.multi_items() if name not in drop]
            return httpx.Response(
                response.status_code, headers=headers, content=_decompress(bytes(raw), encoding), request=request
            )

    return Bounded(limits=limits, verify=_trusted(httpx))


@cache
def _trusted(httpx: Any) -> Any:
    """The certificates that httpx trusts, read once: that costs more than the rest of a start."""
    return httpx.create_ssl_context()


def _decompress(raw: bytes, encoding: str) -> bytes:
    """Identity encoding is requested; a server that compresses all the same must not send a decompression bomb."""
    if encoding in {"", "identity"} or not raw:
        return raw
    if encoding not in {"gzip", "deflate"}:
        raise _TooLarge(f"the response has the encoding '{encoding[:20]}', which was not requested")
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)
    data = decompressor.decompress(raw, MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _TooLarge(f"the response decompresses to more than {MOST_BYTES:,} bytes")
    return data


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _retry_after(headers: Any) -> str:
    exact = headers.get("retry-after-ms", "")
    if exact.replace(".", "", 1).isdigit():
        return str(float(exact) / 1000)
    return str(headers.get("retry-after", ""))
