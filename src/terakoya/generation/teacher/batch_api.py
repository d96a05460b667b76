"""A provider's batch interface, as OpenAI defines it: upload a file of requests, create a batch, poll, download.

Everything but creating a batch may be repeated freely. A batch carries our key in its metadata, so that one whose
creation got no response can be found in the list of all batches.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from terakoya.generation.teacher.http_client import ApiTeacher, trusted_certificates
from terakoya.generation.teacher.protocol import NoResponse, RawResponse, TeacherRequest
from terakoya.generation.teacher.responses import MOST_BYTES

METADATA = "terakoya"  # name of our key in a batch's metadata
ENDED = frozenset({"completed", "expired", "cancelled", "failed"})
_TRANSFER = 1800.0  # seconds for one file, of hundreds of megabytes perhaps
_LISTED, _MOST_LISTS = 100, 50  # batches listed by one call, and calls at most


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the provider says about a batch.

    id         its id
    status     "validating", "in_progress", "finalizing", or one of ENDED
    files      ids of the files of its outputs and errors
    completed  requests that it says were completed, or failed after they were made; None where it does not say
    errors     why the whole batch failed, in its words
    """

    id: str
    status: str
    files: tuple[str, ...]
    completed: int | None
    errors: str


class BatchApi(ApiTeacher):
    """The batch interface beside an API, made with what an ApiTeacher takes.

    Each method is one call; it raises NoResponse where no response arrived.
    """

    @cached_property
    def _calls(self) -> Any:
        """The client of these calls: their bodies are files and lists, which the SDK's client does not bound."""
        return self._httpx.AsyncClient(
            base_url=str(self._client.base_url).rstrip("/"),
            headers={"Authorization": f"Bearer {self._client.api_key}", "Accept-Encoding": "identity", **self._headers},
            timeout=self._deadline,
            follow_redirects=False,
            verify=trusted_certificates(self._httpx),
        )

    async def close(self) -> None:
        """Close all connections."""
        if "_calls" in vars(self):
            await self._calls.aclose()
        await super().close()

    def lines_of(self, requests: Sequence[tuple[str, TeacherRequest]]) -> str:
        """The input file of a batch, one request a line.

        requests  (custom id, request)
        """
        bodies = ((name, self.body_of(request)) for name, request in requests)
        return "".join(
            json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"
            for name, body in bodies
        )

    async def upload(self, name: str, content: str) -> RawResponse:
        """Upload the file `name` with the input `content`; a file costs nothing, however often it is uploaded."""
        file = (f"{name}.jsonl", content.encode("utf-8"), "application/jsonl")
        return await self._call("POST", "/files", files={"file": file}, data={"purpose": "batch"}, timeout=_TRANSFER)

    async def create(self, file: str, key: str) -> RawResponse:
        """Create the batch of the uploaded `file`, with our `key` in its metadata: from here on it may cost money."""
        body = {
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {METADATA: key},
        }
        return await self._call("POST", "/batches", json=body)

    async def retrieve(self, batch: str) -> RawResponse:
        """What the provider says about `batch`, an id."""
        return await self._call("GET", f"/batches/{batch}")

    async def find(self, key: str) -> RawResponse:
        """The batch with our `key` in its metadata, as `retrieve` returns it; an empty object where there is none.

        Raises NoResponse where there are more batches than are looked through.
        """
        after: dict[str, str] = {}
        for _page in range(_MOST_LISTS):
            reply = await self._call("GET", "/batches", params={"limit": str(_LISTED), **after})
            page = _object(reply)
            listed = page.get("data")
            if reply.status != 200 or not isinstance(listed, list):
                return reply
            for one in listed:
                if isinstance(one, dict) and (one.get("metadata") or {}).get(METADATA) == key:
                    return RawResponse(200, json.dumps(one))
            if not page.get("has_more") or not listed:
                return RawResponse(200, "{}")
            after = {"after": str(listed[-1].get("id"))}
        # Not found is not the same as not there: a batch that is created again is paid twice.
        raise NoResponse(f"none of the newest {_LISTED * _MOST_LISTS} batches is ours, and there are more", sent=True)

    async def download(self, file: str, path: Path) -> RawResponse | None:
        """Write the content of the provider's `file` to `path`; on success None, else what arrived instead."""
        try:
            async with (
                asyncio.timeout(_TRANSFER),
                self._calls.stream("GET", f"/files/{file}/content") as response,
            ):
                if response.status_code != 200:
                    body = (await response.aread())[:MOST_BYTES]
                    return RawResponse(response.status_code, self._redact(body.decode("utf-8", "replace")))
                with path.open("wb") as output:
                    path.chmod(0o600)
                    async for chunk in response.aiter_raw():
                        output.write(chunk)
        except TimeoutError:
            raise NoResponse(f"no complete file within {_TRANSFER:g} s", sent=True) from None
        except self._httpx.HTTPError as error:
            raise self._lost(error, sent=True) from None
        return None

    def redact(self, text: str) -> str:
        """`text` without secrets."""
        return self._redact(text)

    async def _call(self, method: str, path: str, timeout: float = 0.0, **options: Any) -> RawResponse:
        seconds = timeout or self._deadline
        try:
            async with asyncio.timeout(seconds):
                response = await self._calls.request(method, path, timeout=seconds, **options)
        except TimeoutError:
            raise NoResponse(f"no complete response within {seconds:g} s", sent=True) from None
        except self._httpx.HTTPError as error:
            raise self._lost(error, sent=True) from None
        return RawResponse(
            200 if response.is_success else response.status_code,  # some say 201 of what they made
            self._redact(response.content[:MOST_BYTES].decode("utf-8", "replace")),
            content_type=response.headers.get("content-type", ""),
            retry_after=str(response.headers.get("retry-after", "")),
        )


def status_of(reply: RawResponse) -> BatchStatus | None:
    """The status in a `reply`; None where it holds no batch."""
    value = _object(reply)
    if not isinstance(value.get("id"), str) or not isinstance(value.get("status"), str):
        return None
    counts = value.get("request_counts")
    counts = counts if isinstance(counts, dict) else {}
    completed = [counts.get(name) for name in ("completed", "failed")]
    known = [one for one in completed if isinstance(one, int)]
    files = (value.get("output_file_id"), value.get("error_file_id"))
    return BatchStatus(
        value["id"],
        value["status"],
        tuple(one for one in files if isinstance(one, str) and one),
        sum(known) if known else None,
        "; ".join(_messages(value.get("errors")))[:400],
    )


def id_in(reply: RawResponse) -> str:
    """The id of the object that a `reply` holds; "" where it holds none."""
    found = _object(reply).get("id")
    return found if isinstance(found, str) else ""


def response_of(line: str) -> tuple[str, RawResponse | NoResponse] | None:
    """(custom id, outcome) in a `line` of an output or error file; None where it holds no custom id.

    A request that the provider says it did not execute was not sent; one that failed without a response may have been.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    name = value.get("custom_id") if isinstance(value, dict) else None
    if not isinstance(name, str):
        return None
    response, error = value.get("response"), value.get("error")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        body = response.get("body")
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        return name, RawResponse(response["status_code"], text)
    code = str(error.get("code", "")) if isinstance(error, dict) else ""
    return name, NoResponse(
        code or "an error without a response", sent=code not in {"batch_expired", "batch_cancelled"}
    )


def _messages(errors: Any) -> Iterator[str]:
    listed = errors.get("data") if isinstance(errors, dict) else errors
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("message"):
            yield str(one["message"])


def _object(reply: RawResponse) -> dict[str, Any]:
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and reply.status == 200 else {}
