"""P26 and P27: two hundred attacks and no hit; no connection to anywhere, no process, no file."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from attacks import all_attacks
from serving import Running, chat, command, in_thread, raw, service_of, status_of
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from terakoya.saved_model import read_skill
from terakoya.serving.errors import RequestError
from terakoya.serving.security import Access, SecurityMiddleware, access_of, is_loopback, token_cookie

TOKEN = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def watched(moods: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """A server whose connections and new processes are recorded by strace."""
    folder = tmp_path_factory.mktemp("watched")
    trace = folder / "calls"
    strace = ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=connect,execve,execveat", "-o", str(trace)]
    (folder / "empty").mkdir()
    with command(str(moods), "--mcp-http", before=strace, cwd=folder / "empty") as running:
        yield running, trace


def test_two_hundred_attacks_and_no_hit(watched: tuple[Running, Path]) -> None:
    """Each gets a refusal of its kind, no response holds a file's content, and the server goes on as before."""
    running, trace = watched
    before = len(trace.read_text(encoding="utf-8").splitlines())
    attacks = all_attacks()
    assert len(attacks) >= 200
    hits = []
    with socket.create_server(("127.0.0.1", 0)) as evil:
        evil.settimeout(0.2)
        names = {b"{port}": str(running.port).encode(), b"{evil}": str(evil.getsockname()[1]).encode()}
        for attack in attacks:
            request = attack.request
            for name, value in names.items():
                if name in request:
                    request = with_length(request.replace(name, value))
            response = raw(running.port, request, timeout=3)
            leaked = any(word in response for word in (b"root:", b"[fonts]", b"Traceback", str(trace.parent).encode()))
            if status_of(response) not in attack.statuses or leaked:
                hits.append(f"{attack.name}: {status_of(response)}, not one of {attack.statuses}")
        with pytest.raises(TimeoutError):
            evil.accept()
    assert not hits, "\n".join(hits)
    assert chat(running.url, "妹が笑った").json()["choices"][0]["message"]["content"] == "うれしい"
    done = trace.read_text(encoding="utf-8").splitlines()[before:]
    assert not [line for line in done if "execve" in line or "AF_INET" in line]
    assert not list((trace.parent / "empty").iterdir())


def with_length(request: bytes) -> bytes:
    """The request with the length that its body has now."""
    head, separator, body = request.partition(b"\r\n\r\n")
    if not body or b"Content-Length" in head:  # those that lie about it are spelled this way
        return request
    return re.sub(rb"content-length: \d+", b"content-length: %d" % len(body), head) + separator + body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        ({"authorization": f"bearer  {TOKEN}"}, 200),
        ({"cookie": f"a=b; terakoya_token={TOKEN}"}, 200),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": TOKEN}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"cookie": "terakoya_token="}, 401),
        ({"cookie": f"other={TOKEN}"}, 401),
        ({"x-token": TOKEN}, 401),
        ({"cookie": f"terakoya_token={TOKEN}", "origin": "http://evil.example"}, 403),
        ({"cookie": f"terakoya_token={TOKEN}", "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_the_token_is_needed_where_there_is_one(moods: Path, headers: dict[str, str], status: int) -> None:
    """As a bearer's or as the page's cookie; a cookie that another site lets the browser send is of no use."""
    with in_thread(service_of(read_skill(moods, predict_only=True)), token=TOKEN) as url:
        response = httpx.get(f"{url}/v1/models?token={TOKEN}", headers=headers)
        assert response.status_code == status
        if status == 401:
            assert response.headers["www-authenticate"] == "Bearer" and TOKEN not in response.text


@pytest.mark.parametrize(
    ("host", "allow", "served", "refused"),
    [
        ("127.0.0.1", (), ("127.0.0.1:8000", "localhost:8000", "[::1]:8000", "LOCALHOST:8000"),
         ("192.168.0.2:8000", "me.example:8000", "127.0.0.1:9000", "127.0.0.1")),
        ("127.0.0.1", ("me.example", "other.example:9000"), ("me.example", "me.example:77", "other.example:9000"),
         ("other.example:8000", "a.me.example")),
        ("0.0.0.0", (), ("192.168.0.2:8000", "127.0.0.1:8000", "[fe80::1]:8000"),
         ("me.example:8000", "192.168.0.2.nip.io:8000", "192.168.0.2:9000")),
        ("192.168.0.2", (), ("192.168.0.2:8000", "203.0.113.7:8000"), ("localhost:8000", "me.example:8000")),
    ],
)  # fmt: skip
def test_which_hosts_are_ours(
    host: str, allow: tuple[str, ...], served: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    """Numeric addresses are ours where other machines may come (a rebinding needs a name); names only when allowed."""
    access = access_of(host, 8000, allow_hosts=allow)
    for name in served:
        access.check_sender(Headers({"host": name}))
        access.check_sender(Headers({"host": name, "origin": f"http://{name}", "sec-fetch-site": "same-origin"}))
    for name in refused:
        with pytest.raises(RequestError) as error:
            access.check_sender(Headers({"host": name}))
        assert error.value.status == 421


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.2", "example.org", "localhost.example.org", "")))


def test_a_link_with_the_token_becomes_a_cookie() -> None:
    """For pages: the token leaves the address at once, and the cookie is neither readable nor sent from other sites."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        response: Response = PlainTextResponse(Request(scope).url.path)
        await response(scope, receive, send)

    access = Access(frozenset({"testserver"}), 80, token=TOKEN)
    client = TestClient(SecurityMiddleware(page, access, exchange=True), follow_redirects=False)
    done = client.get(f"/runs?token={TOKEN}&lang=ja")
    assert done.status_code == 303 and done.headers["location"] == "/runs?lang=ja"
    assert done.headers["set-cookie"] == token_cookie(TOKEN)
    assert "HttpOnly; SameSite=Strict" in done.headers["set-cookie"]
    assert client.get("/runs").text == "/runs"  # with the cookie
    fresh = TestClient(SecurityMiddleware(page, access, exchange=True), follow_redirects=False)
    assert fresh.get("/runs?token=wrong-wrong-wrong-wrong").status_code == 401
    elsewhere = fresh.get(f"http://testserver//evil.example/a?token={TOKEN}").headers["location"]
    assert elsewhere == "/evil.example/a"
    assert fresh.get(f"/?token={TOKEN}", headers={"origin": "http://evil.example"}).status_code == 403
    plain = TestClient(SecurityMiddleware(page, access), follow_redirects=False)
    assert plain.get(f"/runs?token={TOKEN}").status_code == 401  # an API takes no token from an address


def test_every_response_is_marked(server: Running) -> None:
    """Nothing to frame, to sniff, to keep, or to read from another site; and the software is not named."""
    for path in ("/health", "/v1/models", "/none"):
        headers = httpx.get(f"{server.url}{path}").headers
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers and "access-control-allow-origin" not in headers
