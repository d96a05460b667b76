"""P26 and P27 for the page: two hundred attacks and no hit; uploads stay where they belong; nothing follows a path."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from exam_runs import finished_run
from page_attacks import all_attacks
from page_server import MOODS, PageServer, page_server, upload

STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageServer, Path]]:
    """A server whose connections and new processes are recorded by strace."""
    home, trace = tmp_path_factory.mktemp("attacked"), tmp_path_factory.mktemp("trace") / "calls"
    (home / "moods.csv").write_bytes(MOODS.read_bytes())
    finished_run(home / "runs", "finished", items=20)
    before = ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=connect,execve,execveat", "-o", str(trace)]
    with page_server(home, before=before) as running:
        yield running, trace


def raw(port: int, request: bytes) -> bytes:
    """What comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            head, separator, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if separator and length and len(body) >= int(length[1]):
                break
        return received


def test_two_hundred_attacks_and_no_hit(watched: tuple[PageServer, Path]) -> None:
    """Each is refused; nothing is trained, no process starts, no connection leaves, no file changes."""
    server, trace = watched
    client = server.client()
    table = re.search(r"/tables/(\w+)", client.get("/").text)
    run = re.search(r"/runs/(\w+)", client.get("/runs").text)
    assert table is not None and run is not None
    lines = len(trace.read_text(encoding="utf-8").splitlines())
    files = sorted(server.home.rglob("*"))
    attacks = all_attacks()
    assert len(attacks) >= 200
    hits = []
    with socket.create_server(("127.0.0.1", 0)) as evil:
        evil.settimeout(0.2)
        names = {
            b"{port}": str(server.port), b"{evil}": str(evil.getsockname()[1]), b"{token}": server.token,
            b"{table}": table.group(1), b"{run}": run.group(1),
        }  # fmt: skip
        for attack in attacks:
            request = attack.request
            for name, value in names.items():
                request = request.replace(name, value.encode())
            response = raw(server.port, with_length(request))
            found = STATUS.match(response)
            status = int(found[1]) if found else 0
            leaked = any(word in response for word in (b"root:", b"Traceback", str(server.home).encode()))
            if status not in attack.statuses or leaked:
                hits.append(f"{attack.name}: {status}, not one of {attack.statuses}")
        with pytest.raises(TimeoutError):
            evil.accept()
    assert not hits, "\n".join(hits)
    assert client.get("/").status_code == 200
    assert sorted(server.home.rglob("*")) == files
    done = trace.read_text(encoding="utf-8").splitlines()[lines:]
    assert not [line for line in done if "execve" in line or "AF_INET" in line]


def with_length(request: bytes) -> bytes:
    """The request with the length that its body has now."""
    head, separator, body = request.partition(b"\r\n\r\n")
    return re.sub(rb"content-length: \d+", b"content-length: %d" % len(body), head) + separator + body


def test_the_link_becomes_a_cookie_that_no_script_and_no_other_site_sees(server: PageServer) -> None:
    """HttpOnly, SameSite=Strict, and the token gone from the address."""
    answer = httpx.get(server.link)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie


def test_every_response_has_the_strict_policy(client: httpx.Client, finished: str) -> None:
    """Also a refusal, and what is not HTML."""
    for address in ("/", "/runs", finished, "/nowhere", "/static/page.js", "/compare"):
        response = client.get(address)
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'") and "unsafe" not in policy
        assert response.headers["x-frame-options"] == "DENY" and response.headers["x-content-type-options"] == "nosniff"
        assert " style=" not in response.text and not re.search(r"<[^>]* on\w+=", response.text)


@pytest.mark.parametrize(
    "name",
    ["../../../evil.csv", "/etc/evil.csv", "..\\..\\evil.csv", "evil\x00.csv", ".csv", "-rf.csv", "a" * 400 + ".csv",
     "<img src=x>.csv", "名前.CSV", "con.csv", "~.tsv"],
)  # fmt: skip
def test_an_upload_stays_in_its_folder_whatever_it_is_called(client: httpx.Client, home: Path, name: str) -> None:
    """The name is made anew; the content is read by the one reader."""
    before = {path for path in home.parent.rglob("*") if path.is_file()}
    content = MOODS.read_text(encoding="utf-8") + f"名前は,{'うれしい'}\n" + "x,うれしい\n" * len(name)
    response = upload(client, name, content.encode())
    new = {path for path in home.parent.rglob("*") if path.is_file()} - before
    if name == ".csv":  # a name without a suffix is no table
        assert response.status_code == 422 and not new
        return
    assert response.status_code == 200, response.text
    kept = [path for path in new if path.suffix in (".csv", ".tsv")]
    assert len(kept) == 1 and kept[0].parent.parent == home / ".terakoya" / "tables"
    assert re.fullmatch(r"[\w-]+\.\w+", kept[0].name)


def test_what_is_no_table_is_refused_with_its_reason(client: httpx.Client) -> None:
    """Binary, empty, only a header, a huge cell: said in words, never a 500."""
    for content in (b"\x00\xff\xfe" * 99, b"a,b\n", b"\n\n", b'"unclosed\n' * 9, b"PK\x03\x04" + b"x" * 99, b"a\nb\n"):
        response = upload(client, "x.csv", content)
        assert response.status_code == 422 and 'role="alert"' in response.text, content
    assert upload(client, "x.csv", b"").status_code == 422


def test_a_link_out_of_the_folder_is_no_table(client: httpx.Client, home: Path) -> None:
    """A symbolic link to elsewhere is not listed."""
    (home / "linked.csv").symlink_to("/etc/passwd")
    try:
        assert "linked.csv" not in client.get("/").text
    finally:
        (home / "linked.csv").unlink()


def test_a_body_beyond_the_limit_is_refused(client: httpx.Client) -> None:
    """A form without a file holds a megabyte at most."""
    response = client.post("/try", data={"text": "x" * (2 << 20)})
    assert response.status_code == 413
