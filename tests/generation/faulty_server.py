"""An OpenAI-compatible server that injects faults and counts what it charges. Runs in its own process, on 127.0.0.1.

Responses are a function of the prompt, so that every run of a generation gets the same ones. A `script` says what
goes wrong with the n-th request; `sold` (a file, one line for each response that is charged) is written before the
response is sent.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import multiprocessing
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

JSON = "application/json"
PRICE = 200_000  # billionths charged for one response: not less than prices and tokens of the tests allow
EMOJI = [
    "🍎",
    "🍊",
    "🍋",
    "🍌",
    "🍉",
    "🍇",
    "🍓",
    "🍒",
    "🍑",
    "🥝",
    "🍅",
    "",
    "🌽",
    "🥕",
    "🥔",
    "🍞",
    "🧀",
    "🍖",
    "🍔",
    "🍟",
    "🍕",
    "🌮",
    "🍣",
    "🍜",
    "🍦",
    "🍩",
    "🍪",
    "🎂",
    "🍫",
    "☕",
]

Script = Callable[[int, dict[str, Any]], str]


@dataclass(frozen=True)
class ServerPlan:
    """How the server behaves. `script(n, request)` names what happens to the n-th request ("": a usual response)."""

    script: Script = lambda number, request: ""
    delay: tuple[float, float] = (0.0, 0.0)  # seconds, drawn between the two
    response: Callable[[dict[str, Any]], str] | None = None
    sold: Path | None = None
    seen: Path | None = None  # one line of JSON for each request: its body and its headers
    cost: float | None = PRICE / 1e9
    seed: int = 0
    usage: dict[str, Any] = field(default_factory=lambda: {"prompt_tokens": 30, "completion_tokens": 5})


def usual_response(request: dict[str, Any]) -> str:
    """A post for the rewriting prompt, two or three emoji for the other one."""
    prompt = request["messages"][0]["content"]
    text = prompt.rpartition("<文>")[2].partition("</文>")[0]
    if "書き換え" in prompt:
        return f"今日は{text.rstrip('。！')}って話！"
    digest = hashlib.sha256(text.encode()).digest()
    return " ".join(dict.fromkeys(EMOJI[byte % len(EMOJI)] for byte in digest[: 2 + digest[0] % 2]))


class Server:
    def __init__(self, plan: ServerPlan, handle: socket.socket) -> None:
        self.plan, self.handle, self.number = plan, handle, 0
        self.pending = self.most = 0  # requests without a response, now and at most
        self.random = random.Random(plan.seed)
        self.sold = os.open(plan.sold, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if plan.sold else -1

    async def serve(self) -> None:
        server = await asyncio.start_server(self.connection, sock=self.handle, limit=1 << 22)
        async with server:
            await server.serve_forever()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await self.read(reader):
                if not await self.reply(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        head = await reader.readuntil(b"\r\n\r\n")
        names = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(names.get("content-length", 0)))
        request = json.loads(body) if body else {}
        if self.plan.seen is not None and body:
            with self.plan.seen.open("a", encoding="utf-8") as seen:
                line = {"body": request, "headers": names, "time": time.monotonic()}
                seen.write(json.dumps(line) + "\n")
        return {**request, "_path": head.split(b" ", 2)[1].decode()}

    async def reply(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        number, self.number = self.number, self.number + 1
        if request["_path"] == "/count":
            self.number -= 1
            await self.send(writer, 200, json.dumps({"requests": self.number, "most": self.most}))
            return True
        self.pending += 1
        self.most = max(self.most, self.pending)
        try:
            return await self.respond(number, request, writer)
        finally:
            self.pending -= 1

    async def respond(self, number: int, request: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        fault = self.plan.script(number, request)
        await asyncio.sleep(self.random.uniform(*self.plan.delay))
        if fault.startswith("response:"):
            await self.send(writer, 200, self.sell(request, fault.removeprefix("response:")))
        elif fault:
            return await FAULTS[fault.split(":")[0]](self, request, writer, fault.partition(":")[2])
        else:
            await self.send(writer, 200, self.sell(request, (self.plan.response or usual_response)(request)))
        return True

    def sell(self, request: dict[str, Any], text: str, **changes: Any) -> str:
        """One response, charged for before it is sent."""
        mark = f"{number_of(request)}-{time.monotonic_ns()}"
        if self.sold >= 0:
            os.write(self.sold, f"{mark}\t{PRICE}\n".encode())
        usage = dict(self.plan.usage) | ({"cost": self.plan.cost} if self.plan.cost is not None else {})
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"} | changes
        return json.dumps(
            {"id": mark, "model": request.get("model"), "choices": [choice], "usage": usage}, ensure_ascii=False
        )

    async def send(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        body: str | bytes,
        kind: str = "application/json",
        extra: str = "",
    ) -> None:
        data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{extra}\r\n"
        writer.write(head.encode() + data)
        await writer.drain()


def number_of(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request.get("messages"), ensure_ascii=False).encode()).hexdigest()[:12]


async def status(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    """ "status:429", "status:429:7" with Retry-After, "status:429:date" with a date, "status:403::text" with words."""
    code, _, rest = argument.partition(":")
    wait, _, words = rest.partition(":")
    wait = formatdate(time.time() + 2, usegmt=True) if wait == "date" else wait
    error = {"error": {"message": words or f"said {code}", "code": int(code)}}
    await server.send(
        writer, int(code), json.dumps(error, ensure_ascii=False), extra=f"Retry-After: {wait}\r\n" if wait else ""
    )
    return True


async def raw(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    """ "raw:429:{json}": a status with exactly this body."""
    code, _, data = argument.partition(":")
    await server.send(writer, int(code), data, "text/html" if data.startswith("<") else JSON)
    return True


async def html(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    await server.send(writer, 200, "<html><body>Just a moment…</body></html>", "text/html")
    return True


async def body(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    await server.send(writer, 200, argument)
    return True


async def cut(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    """Cut before anything, after the headers, or in the middle of the body."""
    data = server.sell(request, usual_response(request)).encode()
    if argument != "before":
        writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        )
        writer.write(data[: len(data) // 2] if argument == "middle" else b"")
        await writer.drain()
    return False


async def slow(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    """One byte now and then, for ever: no read ever times out."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
    for _ in range(600):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)
    return False


async def hang(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    await asyncio.sleep(30)
    return False


async def large(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    data = b'{"x": "' + b"a" * (3 << 20) + b'"}'
    if argument == "gzip":
        await server.send(writer, 200, _bomb(), extra="Content-Encoding: gzip\r\n")
    else:
        await server.send(writer, 200, data)
    return True


@cache
def _bomb() -> bytes:
    """64 MiB in 64 KiB."""
    return gzip.compress(b"a" * (64 << 20), 1)


async def changed(server: Server, request: dict[str, Any], writer: asyncio.StreamWriter, argument: str) -> bool:
    """ "changed:{json}": a response whose choice is changed."""
    changes = json.loads(argument)
    await server.send(writer, 200, server.sell(request, usual_response(request), **changes))
    return True


FAULTS = {
    "status": status, "html": html, "body": body, "cut": cut, "slow": slow, "hang": hang, "large": large,
    "changed": changed, "raw": raw,
}  # fmt: skip


@dataclass(frozen=True)
class Running:
    url: str
    port: int
    process: Any

    def requests(self) -> int:
        """How many requests it has seen."""
        return self._counts()["requests"]

    def most_pending(self) -> int:
        """How many requests it has had to respond to at once, at most."""
        return self._counts()["most"]

    def _counts(self) -> dict[str, int]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
            link.sendall(b"GET /count HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while b"}" not in data:
                data += link.recv(4096)
        counts: dict[str, int] = json.loads(data.partition(b"\r\n\r\n")[2])
        return counts


@contextmanager
def running(plan: ServerPlan) -> Iterator[Running]:
    """The server in a forked process; ended with the block."""
    handle = socket.socket()
    handle.bind(("127.0.0.1", 0))
    handle.listen(512)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_serve, args=(plan, handle), daemon=True)
    process.start()
    port = handle.getsockname()[1]
    handle.close()
    try:
        yield Running(f"http://127.0.0.1:{port}/v1", port, process)
    finally:
        process.kill()
        process.join()


def _serve(plan: ServerPlan, handle: socket.socket) -> None:
    asyncio.run(Server(plan, handle).serve())
