# ruff: noqa: E501 - tables of attacks
"""Two hundred requests that must not come through: raw bytes, and the status codes that may come back.

`{port}` stands for the server's own port, `{evil}` for that of a listener of the test, to which nobody may connect.
Status 0 is a connection closed without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
SECRET = "/etc/passwd"


@dataclass(frozen=True)
class Attack:
    """A request.

    name      what it tries
    request   its bytes
    statuses  that may come back; any other is a hit
    """

    name: str
    request: bytes
    statuses: tuple[int, ...]


def http(method: str, target: str, body: Any = None, *, host: str | None = "127.0.0.1:{port}", **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *([f"Host: {host}"] if host is not None else [])]
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None:
        headers = {"content_type": "application/json", "content_length": str(len(content)), **headers}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def chat(text: str = "猫", model: Any = "moods", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def rebinding() -> Iterator[Attack]:
    """A name of another site that means 127.0.0.1, and tricks with ports and spellings."""
    hosts = (
        "evil.example", "evil.example:{port}", "127.0.0.1.nip.io:{port}", "localhost.evil.example:{port}",
        "localtest.me:{port}", "127.0.0.1:{port}.evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}0",
        "localhost:80", "127.0.0.1:", "127.0.0.1:{port}:{port}", "127.1:{port}", "2130706433:{port}",
        "0x7f.0.0.1:{port}", "0177.0.0.1:{port}", "0.0.0.0:{port}", "[::ffff:7f00:1]:{port}", "[::]:{port}",
        "127.0.0.1:{port}/", "127.0.0.1:{port}@evil.example", "evil.example#@127.0.0.1:{port}",
        "127.0.0.1:{port},evil.example", "evil.example, 127.0.0.1:{port}", "localhost%00.evil.example:{port}",
        "１２７.0.0.1:{port}".encode().decode("latin-1"), "localhost.:{port}", "*", "null", "-",
    )  # fmt: skip
    refused = (400, 421)
    for host in hosts:
        yield Attack(f"Host {host}", http("GET", "/v1/models", host=host), refused)
    for host in hosts[:15]:
        yield Attack(f"POST with Host {host}", http("POST", CHAT, chat(), host=host), refused)
    yield Attack("no Host", http("GET", "/v1/models", host=None), refused)
    yield Attack("empty Host", http("GET", "/v1/models", host=""), refused)
    yield Attack("two Hosts", http("GET", "/v1/models", HOST="evil.example"), refused)
    yield Attack("HTTP/1.0 without Host", b"GET /v1/models HTTP/1.0\r\n\r\n", refused)
    absolute = http("GET", "http://evil.example/v1/models")
    yield Attack("absolute address of another site", absolute, (400, 404, 421))
    forwarded = http("GET", "/v1/models", host="evil.example", X_Forwarded_Host="127.0.0.1:{port}")
    yield Attack("X-Forwarded-Host", forwarded, refused)


def forgery() -> Iterator[Attack]:
    """A page of another site sends a request, or follows a link."""
    origins = (
        "http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1",
        "http://localhost:{port}", "http://127.0.0.1:{port}.evil.example", "http://evil.example:{port}",
        "file://", "chrome-extension://abcdefgh", "http://127.0.0.1:{port}@evil.example", "http://[::1", "127.0.0.1:{port}",
        "http://127.0.0.1:{port} http://evil.example", "data:",
    )  # fmt: skip
    for origin in origins:
        yield Attack(f"Origin {origin}", http("POST", CHAT, chat(), Origin=origin), (403,))
    for origin in origins[:13]:
        yield Attack(f"GET with Origin {origin}", http("GET", "/v1/models", Origin=origin), (403,))
    for site in ("cross-site", "same-site", "nonsense"):
        yield Attack(f"Sec-Fetch-Site {site}", http("GET", "/metrics", Sec_Fetch_Site=site), (403,))
        yield Attack(f"POST, Sec-Fetch-Site {site}", http("POST", CHAT, chat(), Sec_Fetch_Site=site), (403,))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                 "text/plain; application/json", "application/json-patch+json", "application/json; charset=utf-7",
                 "application/json, text/plain"):  # fmt: skip
        yield Attack(f"a form's {kind}", http("POST", CHAT, chat(), content_type=kind), (415,))
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        yield Attack(f"{method} of a completion", http(method, CHAT, chat()), (405,))
        yield Attack(f"{method} of a model", http(method, "/v1/models/moods"), (405,))
    yield Attack("CONNECT", http("CONNECT", "127.0.0.1:{evil}"), (400, 404, 405))
    for target in (CHAT, COMPLETIONS, f"{CHAT}?model=moods&prompt=x"):
        yield Attack(f"GET of {target}", http("GET", target), (405,))
    preflight = http("OPTIONS", CHAT, Origin="http://evil.example", Access_Control_Request_Method="POST")
    yield Attack("preflight", preflight, (403,))


def traversal() -> Iterator[Attack]:
    """Paths to files, in the address, as a model's name, and in fields that do not exist."""
    refused = (400, 404)
    for target in (
        f"/..{SECRET}", f"/../../../..{SECRET}", f"/v1/models/../../..{SECRET}", f"/v1/models/..%2f..%2f..{SECRET}",
        "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/v1/models/..%252f..%252fetc%252fpasswd",
        "/v1/models/%2fetc%2fpasswd", "/v1/models/..%5c..%5cwindows%5cwin.ini", "/v1/models/%00", "/v1/models/moods%00.json",
        "//etc/passwd", "/v1/models//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/file:%2f%2f%2fetc%2fpasswd",
        "/v1/models/%5c%5c127.0.0.1%5cshare", "/v1/models/moods:$DATA", "/v1/models/~root", "/static/../../../etc/passwd",
        "/v1/models/moods/config.toml", "/v1/models/%c0%ae%c0%ae%c0%afetc", "/.git/config", "/.env", "/proc/self/environ",
    ):  # fmt: skip
        yield Attack(f"address {target}", http("GET", target), refused)
    for name in ("../moods", SECRET, "runs/moods", "./moods", "file:///etc/passwd", "http://127.0.0.1:{evil}/m",
                 "moods\u0000", "\\\\127.0.0.1\\share", "moods/../moods", "moods ", "MOODS", "$(id)", "`id`", "; ls",
                 "{{7*7}}", "%s%s%n"):  # fmt: skip
        yield Attack(f"model {name!r}", http("POST", CHAT, chat(model=name)), (404,))
    for name in (["moods"], {"path": SECRET}, 1, None, True, "m" * 300):
        yield Attack(f"model {str(name)[:20]}", http("POST", COMPLETIONS, {"model": name, "prompt": "x"}), (422,))


def fields() -> Iterator[Attack]:
    """A path, a URL or a command as a field: refused, or without effect (and a prediction as if it were not there)."""
    for number, extra in enumerate((
        {"base_url": "http://127.0.0.1:{evil}/"}, {"file": SECRET}, {"run": SECRET}, {"tokenizer": "../x"},
        {"chat_template": "{{ cycler.__init__.__globals__ }}"}, {"trust_remote_code": True}, {"lora": SECRET},
        {"overrides": ["task.use=evil.py"]}, {"webhook": "http://127.0.0.1:{evil}/"}, {"command": "id"},
        {"__class__": "x"}, {"guided_regex": "(a+)+$"},
    )):  # fmt: skip
        yield Attack(f"field {number}: {next(iter(extra))}", http("POST", CHAT, chat(**extra)), (200,))
    tool = {"type": "function", "function": {"name": "sh"}}
    image = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:{evil}/a.png"}}
    for name, body in (
        ("an image by URL", {"model": "moods", "messages": [{"role": "user", "content": [image]}]}),
        ("tools", chat(tools=[tool])),
        ("a file part", {"model": "moods", "messages": [{"role": "user", "content": [{"type": "file", "file": SECRET}]}]}),
        ("a role of its own", {"model": "moods", "messages": [{"role": "root", "content": "x"}]}),
        ("a schema", chat(response_format={"type": "json_schema", "json_schema": {"$ref": "http://127.0.0.1:{evil}/"}})),
    ):  # fmt: skip
        yield Attack(name, http("POST", CHAT, body), (422,))
    for text in ("http://127.0.0.1:{evil}/猫", "file:///etc/passwd", "$(curl http://127.0.0.1:{evil}/)",
                 "<script src=http://127.0.0.1:{evil}/>"):  # fmt: skip
        yield Attack(f"text {text}", http("POST", CHAT, chat(text)), (200,))


def malformed() -> Iterator[Attack]:
    """What is no request, or two of them."""
    json_post = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    small = b'{"model": "moods", "prompt": "x"}'
    for name, request, statuses in (
        ("two lengths", f"{json_post}Content-Length: 33\r\nContent-Length: 2\r\n\r\n".encode() + small, (400,)),
        ("length and chunks", f"{json_post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
         (400, 422)),
        ("a negative length", f"{json_post}Content-Length: -1\r\n\r\n".encode(), (400,)),
        ("a huge length", f"{json_post}Content-Length: 99999999999999999999999\r\n\r\n".encode(), (400, 0)),
        ("a wrong chunk", f"{json_post}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode(), (400,)),
        ("an unknown encoding", f"{json_post}Transfer-Encoding: gzip\r\n\r\n".encode(), (400, 501)),
        ("a line break in a header", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: a\r\n b\0\r\n\r\n", (400,)),
        ("a header of 100 kB", http("GET", "/health", X="a" * 100_000), (400, 431)),
        ("a target of 100 kB", http("GET", "/" + "a" * 100_000), (400, 404, 414)),
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
        ("a websocket", http("GET", "/v1/models", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
                             Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="), (200, 400, 403, 404)),
        ("h2c", http("GET", "/health", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="x"),
         (200, 400)),
        ("a compressed body", http("POST", COMPLETIONS, b"\x1f\x8b\x08\x00", content_encoding="gzip"), (400, 415)),
        ("a deep body", http("POST", COMPLETIONS, b"[" * 200_000), (400,)),
        ("an entity bomb", http("POST", COMPLETIONS, b"<!DOCTYPE x [<!ENTITY a 'a'>]>", content_type="application/xml"),
         (415,)),
        ("a pickle", http("POST", COMPLETIONS, b"\x80\x04cos\nsystem\n.", content_type="application/octet-stream"),
         (415,)),
    ):  # fmt: skip
        yield Attack(name, request, statuses)


def protocol() -> Iterator[Attack]:
    """The door of the MCP tools."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    accept = {"Accept": "application/json, text/event-stream"}
    for name, params in (
        ("a file's tool", {"name": SECRET, "arguments": {"text": "x"}}),
        ("a path as argument", {"name": "moods", "arguments": {"text": "x", "path": SECRET}}),
        ("no text", {"name": "moods", "arguments": {"text": {"$ref": SECRET}}}),
    ):
        yield Attack(f"MCP: {name}", http("POST", "/mcp", {**call, "params": params}, **accept), (200, 400))
    for method in ("resources/read", "prompts/get", "completion/complete", "logging/setLevel"):
        body = {**call, "method": method, "params": {"uri": f"file://{SECRET}", "name": "x", "level": "debug"}}
        yield Attack(f"MCP: {method}", http("POST", "/mcp", body, **accept), (200, 400, 404))
    yield Attack("MCP: another site", http("POST", "/mcp", call, Origin="http://evil.example", **accept), (403,))
    yield Attack("MCP: another Host", http("POST", "/mcp", call, host="evil.example", **accept), (421,))
    yield Attack("MCP: a form", http("POST", "/mcp", call, content_type="text/plain", **accept), (400, 406, 415))
    yield Attack("MCP: DELETE", http("DELETE", "/mcp"), (400, 404, 405))


def all_attacks() -> list[Attack]:
    return [*rebinding(), *forgery(), *traversal(), *fields(), *malformed(), *protocol()]
