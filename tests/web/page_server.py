"""A real server of the page, in a process of its own, started and ended as a person would."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

MOODS = Path(__file__).parent / "moods.csv"
FEW_STEPS = ("--set", "train.steps=30", "--set", "score.resamples=100")
MAIN = re.compile(r"<main.*</main>", re.DOTALL)


@dataclass
class PageServer:
    """A server that runs, and the link that it printed."""

    process: subprocess.Popen[str]
    link: str
    home: Path

    @property
    def url(self) -> str:
        return self.link.partition("/?")[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def token(self) -> str:
        return self.link.partition("token=")[2]

    def client(self, **headers: str) -> httpx.Client:
        """A browser's requests, after it has opened the link."""
        client = httpx.Client(base_url=self.url, follow_redirects=True, timeout=240, headers=headers)
        assert client.get(self.link).status_code == 200
        return client

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def page_server(
    home: Path, *words: str, settings: Sequence[str] = FEW_STEPS, before: Sequence[str] = ()
) -> Iterator[PageServer]:
    """`terakoya open` in the folder `home`."""
    command = [*before, sys.executable, "-m", "terakoya", "open", "--port", "0", "--lang", "en", *settings, *words]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = []
    link = None
    while link is None:
        line = process.stdout.readline()
        lines.append(line)
        assert line, "".join(lines)
        link = re.search(r"http://\S+", line)
    try:
        yield PageServer(process, link.group(), home)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def words_of(response: httpx.Response) -> str:
    """What a person reads of a page's main part."""
    found = MAIN.search(response.text)
    return re.sub(r"(<[^>]+>|\s)+", " ", found.group() if found else response.text)


def wait_for(client: httpx.Client, address: str, *wanted: str, seconds: float = 240) -> httpx.Response:
    """The page once it shows one of the words, each a pattern."""
    deadline = time.monotonic() + seconds
    while True:
        response = client.get(address)
        if any(re.search(word, response.text) for word in wanted):
            return response
        assert time.monotonic() < deadline, words_of(response)
        time.sleep(0.3)


def upload(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
    """The page of a table that was dropped."""
    return client.post("/tables", files={"file": (name, content)})


def train(client: httpx.Client, table: httpx.URL | str, **chosen: str) -> httpx.Response:
    """The page of a training that was started."""
    return client.post(f"{table}/train", data={"minutes": "", **chosen})
