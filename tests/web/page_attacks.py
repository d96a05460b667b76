# ruff: noqa: E501 - tables of attacks
"""Two hundred requests that the page must refuse: raw bytes, and the status codes that may come back.

`{port}` stands for the server's own port, `{evil}` for that of a listener of the test, `{token}` for the right token,
`{run}` and `{table}` for ids that exist. Status 0 is a connection closed without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

SECRET = "/etc/passwd"
COOKIE = "terakoya_token={token}"
REFUSED = (400, 401, 403, 404, 405, 415, 421, 422)


@dataclass(frozen=True)
class Attack:
    """A request: what it tries, its bytes, and the statuses that may come back; any other is a hit."""

    name: str
    request: bytes
    statuses: tuple[int, ...] = REFUSED


def http(
    method: str,
    target: str,
    body: object = None,
    *,
    host: str | None = "127.0.0.1:{port}",
    cookie: str = COOKIE,
    **headers: str,
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *([f"Host: {host}"] if host is not None else [])]
    content = b""
    if body is not None:
        content = body if isinstance(body, bytes) else urlencode(body, doseq=True, safe="{}").encode()  # type: ignore[arg-type]
        kind = headers.pop("content_type", "application/x-www-form-urlencoded")
        headers = {"content_type": kind, "content_length": str(len(content)), **headers}
    if cookie:
        headers["cookie"] = cookie
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


def rebinding() -> Iterator[Attack]:
    """A name of another site that means 127.0.0.1, with the right cookie, for reading and for training."""
    hosts = (
        "evil.example", "evil.example:{port}", "127.0.0.1.nip.io:{port}", "localhost.evil.example:{port}",
        "localtest.me:{port}", "127.0.0.1:{port}.evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}0",
        "localhost:80", "127.1:{port}", "2130706433:{port}", "0x7f.0.0.1:{port}", "0177.0.0.1:{port}", "0.0.0.0:{port}",
        "[::ffff:7f00:1]:{port}", "[::]:{port}", "127.0.0.1:{port}/", "127.0.0.1:{port}@evil.example",
        "evil.example, 127.0.0.1:{port}", "*", "null", "-", "localhost.:{port}",
    )  # fmt: skip
    for host in hosts:
        yield Attack(f"Host {host}", http("GET", "/runs", host=host), (400, 421))
        yield Attack(
            f"training with Host {host}", http("POST", "/tables/{table}/train", {"minutes": ""}, host=host), (400, 421)
        )
    yield Attack("no Host", http("GET", "/runs", host=None), (400, 421))
    yield Attack("two Hosts", http("GET", "/runs", HOST="evil.example"), (400, 421))


def forgery() -> Iterator[Attack]:
    """A page of another site sends a form, or follows a link, with the cookie as if SameSite were not kept."""
    origins = (
        "http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1",
        "http://localhost:{port}", "http://127.0.0.1:{port}.evil.example", "http://evil.example:{port}", "file://",
        "chrome-extension://abcdefgh", "http://127.0.0.1:{port}@evil.example", "http://[::1", "127.0.0.1:{port}", "data:",
    )  # fmt: skip
    for origin in origins:
        for target in ("/tables/{table}/train", "/try", "/runs/{run}/stop", "/tables"):
            yield Attack(f"{target} from {origin}", http("POST", target, {"text": "x"}, Origin=origin), (403,))
    for site in ("cross-site", "same-site", "nonsense"):
        yield Attack(f"Sec-Fetch-Site {site}", http("GET", "/runs", Sec_Fetch_Site=site), (403,))
        yield Attack(
            f"POST, Sec-Fetch-Site {site}", http("POST", "/runs/{run}/resume", {"x": ""}, Sec_Fetch_Site=site), (403,)
        )
    for kind in ("text/plain", "application/json", "application/octet-stream", "text/xml"):
        yield Attack(f"a body of {kind}", http("POST", "/tables/{table}/train", b"x=y", content_type=kind), (415,))
    yield Attack(
        "multipart where no file belongs",
        http("POST", "/tables/{table}/train", b"--x--\r\n", content_type="multipart/form-data; boundary=x"),
        (415,),
    )
    for target in (
        "/tables/{table}/train",
        "/tables/{table}/check",
        "/runs/{run}/stop",
        "/runs/{run}/resume",
        "/try/table",
        "/tables",
    ):
        yield Attack(f"GET of {target}", http("GET", target), (404, 405))
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        yield Attack(f"{method} of a run", http(method, "/runs/{run}"), (405,))


def without_token() -> Iterator[Attack]:
    """No cookie, a wrong one, and tokens where they do not count."""
    for target in (
        "/",
        "/runs",
        "/runs/{run}",
        "/runs/{run}/record",
        "/try",
        "/static/page.js",
        "/?token=",
        "/?token=x",
        "/runs?token={token}x",
        "/health",
    ):
        yield Attack(f"{target} without a token", http("GET", target, cookie=""), (401,))
    for cookie in (
        "terakoya_token=",
        "terakoya_token=x",
        "terakoya_token={token}x",
        "other={token}",
        "terakoya_token = {token}0",
    ):
        yield Attack(f"cookie {cookie}", http("GET", "/runs", cookie=cookie), (401,))
    yield Attack(
        "a training without a token", http("POST", "/tables/{table}/train", {"minutes": ""}, cookie=""), (401,)
    )
    yield Attack(
        "an upload without a token",
        http("POST", "/tables", b"x", cookie="", content_type="multipart/form-data; boundary=x"),
        (401,),
    )


def paths() -> Iterator[Attack]:
    """Paths, addresses and commands where an id or a choice belongs."""
    for target in (
        f"/..{SECRET}", f"/static/../../..{SECRET}", "/static/..%2f..%2fapplication.py", "/static/%2e%2e%2fserver.py",
        "/static/htmx-LICENSE.txt", f"/runs/..%2f..{SECRET}", "/runs/%2fetc", "/runs/{run}/../../../etc/passwd", "/runs/{run}%00",
        "/runs/{run}/record/../config.toml", "/runs/{run}/config.toml", "/tables/..%2fx", f"/tables/file:%2f%2f{SECRET}/rows",
        "/jobs/..%2f..%2fjobs", "/jobs/%2e%2e", "/checks/..", "/predictions/..", "/predictions/..%2f..%2ftables/file",
        "//etc/passwd", "/.terakoya/journal.jsonl", "/.git/config", "/.env", "/proc/self/environ", "/runs/RUN", "/tables/0",
    ):  # fmt: skip
        yield Attack(f"address {target}", http("GET", target), (400, 404))
    for value in (
        SECRET,
        "../x",
        "http://127.0.0.1:{evil}/m",
        "file:///etc",
        "$(id)",
        "`id`",
        "; ls",
        "--trust=x",
        "tiny --anyway",
        "{{7*7}}",
        "tiny\x00",
        "google/gemma",
        "x" * 20_000,
    ):
        yield Attack(f"base {value[:20]!r}", http("POST", "/tables/{table}/train", {"base": value}), (422,))
    for name in ("source", "target", "codec", "minutes", "anyway"):
        for value in (SECRET, "--set", "__class__"):
            yield Attack(f"{name} {value}", http("POST", "/tables/{table}/train", {name: value}), (422,))
    for name in ("run", "other"):
        for value in (SECRET, "../runs", "http://127.0.0.1:{evil}/"):
            yield Attack(
                f"try {name} {value}",
                http("POST", "/try", {"run": "{run}" if name == "other" else value, name: value, "text": "x"}),
                (422,),
            )
    for value in ("tiny", "small"):
        yield Attack(f"two bases {value}", http("POST", "/tables/{table}/train", {"base": [value, SECRET]}), (422,))
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\na,b\r\n1,2\r\n--x--\r\n'
    for name in (
        "evil.py",
        "x.toml",
        "passwd",
        "x.csv.exe",
        "x.pkl",
        "x.pt",
        "x.zip",
        "x.html",
        ".csv/../../x.py",
        "x.safetensors",
    ):
        yield Attack(
            f"upload {name}",
            http(
                "POST", "/tables", part.replace("{name}", name).encode(), content_type="multipart/form-data; boundary=x"
            ),
            (422,),
        )


def all_attacks() -> list[Attack]:
    return [*rebinding(), *forgery(), *without_token(), *paths()]
