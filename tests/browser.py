"""A real headless browser over a pipe: no driver, no package, no port. Speaks the Chrome DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from terakoya.exporters.page.browser import LAUNCH, find_browser

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-pipe", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def found() -> str:
    """The browser's path. A missing one fails the test: scripts/install-browser.sh brings it."""
    path = find_browser()
    assert path, "no Chromium found: run scripts/install-browser.sh, or set TERAKOYA_BROWSER"
    return path


class Browser:
    """One page at a time; counts calls of `pwned()` and every request that leaves the page."""

    def __init__(self, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        words = [found(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(ours[0]), str(theirs[1]), *words],
            pass_fds=(ours[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = ours[1], theirs[0]
        os.set_blocking(self._from, False)
        self._numbers, self._buffer, self._session = itertools.count(1), b"", ""
        self.executed: list[str] = []
        self.requested: list[str] = []

    def open(self, path: Path, width: int = 1100) -> Self:
        """Load a file from disk and wait until nothing is loading."""
        self.executed.clear()
        self.requested.clear()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "CSS"):
            self.call(f"{domain}.enable")
        self.call("Runtime.addBinding", name="pwned")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self._page = path.as_uri()
        self.call("Page.navigate", url=self._page)
        deadline = time.monotonic() + 30
        while self.run("document.readyState") != "complete":
            assert time.monotonic() < deadline, "the page did not load"
        self.run("new Promise(done => setTimeout(done, 200))")
        return self

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def fonts(self, selector: str) -> dict[str, set[str]]:
        """The fonts that really drew the text of each element."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        drawn: dict[str, set[str]] = {}
        for node in self.call("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"]:
            text = self.call("DOM.getOuterHTML", nodeId=node)["outerHTML"]
            used = self.call("CSS.getPlatformFontsForNode", nodeId=node)["fonts"]
            drawn[text[text.index(">") + 1 : text.rindex("<")]] = {font["familyName"] for font in used}
        return drawn

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])
            self._note(answer)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def _note(self, event: dict[str, Any]) -> None:
        told = event.get("params", {})
        if event.get("method") == "Runtime.bindingCalled":
            self.executed.append(str(told["payload"]))
        if event.get("method") == "Network.requestWillBeSent":
            address = str(told["request"]["url"])
            if not address.startswith(("data:", "about:")) and not self._is_own(address):
                self.requested.append(address)

    def _is_own(self, address: str) -> bool:
        """Whether a request is for the page itself."""
        return address.partition("#")[0] == self._page

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, "the browser does not answer"
            try:
                data = os.read(self._from, 1 << 20)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            assert data, "the browser has gone"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))
