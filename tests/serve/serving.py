"""Servers for the tests: the command as users start it, and a service of the test's own in a thread."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from terakoya.saved_model import Skill
from terakoya.serving.app import Service, make_app
from terakoya.serving.limits import Limits
from terakoya.serving.running import _config
from terakoya.serving.security import Access, access_of
from terakoya.serving.server import bind
from terakoya.serving.skills import ServedSkill


@dataclass(frozen=True)
class Running:
    port: int
    process: subprocess.Popen[str]
    words: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def command(
    *arguments: str, before: Sequence[str] = (), cwd: Path | None = None, until: str = r":(\d+)/v1"
) -> Iterator[Running]:
    """`terakoya serve …` on a free port, when it has printed what `until` matches; ended by SIGTERM."""
    words = [*before, sys.executable, "-m", "terakoya", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
    assert process.stdout is not None
    try:
        said = read_until(process, until)
        found = re.search(r":(\d+)/v1", said)
        assert found, said
        yield Running(int(found[1]), process, said)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What the process prints until the pattern is found."""
    assert process.stdout is not None
    said = ""
    while not re.search(pattern, said):
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        said += line
    return said


@contextmanager
def in_thread(service: Service, **changes: Any) -> Iterator[str]:
    """A service of the test's own behind real sockets; `changes` are those of its `Access`."""
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        access: Access = replace(access_of("127.0.0.1", port), **changes)
        server = uvicorn.Server(_config(make_app(service, access), service.limits.seconds))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def service_of(skill: Skill, limits: Limits | None = None, name: str = "moods") -> Service:
    return Service({name: ServedSkill(name, skill, 0)}, limits or Limits())


def chat(url: str, text: str, **more: Any) -> httpx.Response:
    body: dict[str, Any] = {"model": "moods", "messages": [{"role": "user", "content": text}], **more}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def raw(port: int, request: bytes, timeout: float = 10.0) -> bytes:
    """What comes back for these bytes, to the end of the connection or of the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        received = b""
        while True:
            try:
                chunk = connection.recv(65536)
            except (TimeoutError, ConnectionResetError):
                return received
            if not chunk:
                return received
            received += chunk
            head, separator, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if separator and length and len(body) >= int(length[1]):
                return received


def status_of(response: bytes) -> int:
    """0 where the server closed the connection without a word."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", response)
    return int(found[1]) if found else 0


def events(response: httpx.Response) -> list[Any]:
    """The events of a stream, [DONE] checked and left out."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
