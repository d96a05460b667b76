"""A page opened in headless Chromium, over a pipe with the Chrome DevTools protocol: no driver, no port, no package."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from terakoya.errors import CorruptError
from terakoya.exporters.exporter import NoRuntimeError
from terakoya.exporters.line_process import parse_prediction
from terakoya.i18n import _
from terakoya.records import Prediction

VARIABLE = "TERAKOYA_BROWSER"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
# The browser reads commands from descriptor 3 and writes to 4.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 100) for word in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_OPEN = """(() => {
  const data = (id) => document.getElementById(id).textContent;
  try { globalThis.opened = openSkill(data("skill"), data("weights"), DIGEST); return true; } catch { return false; }
})()"""
_PREDICT = """(() => {
  const started = performance.now(), predictions = TEXTS.map((text) => opened.predict(text));
  return { predictions, milliseconds: performance.now() - started };
})()"""
_TOGETHER, _SECONDS = 64, 120


def find_browser() -> str | None:
    """Path of a Chromium: the one that the variable TERAKOYA_BROWSER names, else one on the PATH; None without one."""
    if os.name != "posix":  # the pipe needs descriptors that are inherited
        return None
    names = (os.environ.get(VARIABLE, ""), *_NAMES)
    return next((path for name in names if name and (path := shutil.which(name))), None)


class BrowserPage:
    """A page in a browser of its own.

    program       the browser
    artifact      the page
    milliseconds  that the predictions took so far
    Raises NoRuntimeError where the browser does not start, CorruptError where the page refuses its own data.
    """

    def __init__(self, program: str, artifact: Path) -> None:
        self.milliseconds = 0.0
        self._profile = tempfile.mkdtemp(prefix="terakoya-browser-")
        self._numbers, self._buffer, self._session = itertools.count(1), b"", ""
        ours, theirs = os.pipe(), os.pipe()
        # As root Chromium starts without its sandbox alone; the page is our own, and its policy lets nothing in.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        words = [program, *_FLAGS, *sandbox, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(ours[0]), str(theirs[1]), *words],
            pass_fds=(ours[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = ours[1], theirs[0]
        try:
            self.runtime = str(self._call("Browser.getVersion")["product"]).replace("/", " ").lower()
            self._open(artifact)
        except BaseException:
            self.close()
            raise

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction for each of `texts`, in their order."""
        found: list[Prediction] = []
        for first in range(0, len(texts), _TOGETHER):
            some = list(texts[first : first + _TOGETHER])
            received = self._value(_PREDICT.replace("TEXTS", json.dumps(some)))
            self.milliseconds += received["milliseconds"]
            found += [parse_prediction(text, one) for text, one in zip(some, received["predictions"], strict=True)]
        return found

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        for end in (self._to, self._from):
            os.close(end)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _open(self, artifact: Path) -> None:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        self._call("Page.enable")
        self._call("Page.navigate", url=artifact.resolve().as_uri())
        deadline = time.monotonic() + _SECONDS
        while self._value("document.readyState + (typeof openSkill)") != "completefunction":
            if time.monotonic() > deadline:
                raise _damaged(artifact)
            time.sleep(0.05)
        if not self._value(_OPEN):
            raise _damaged(artifact)

    def _value(self, script: str) -> Any:
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in found:
            raise CorruptError(
                _("the artifact ends with an error: {error}", error=str(found["exceptionDetails"].get("text", "")))
            )
        return found["result"].get("value")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except BrokenPipeError as error:
            raise _not_started() from error
        while True:
            received = self._receive()
            if received.get("id") == number:
                return dict(received.get("result") or {})

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _writing, _errors = select.select([self._from], [], [], _SECONDS)
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:  # it has gone, or does not respond
                raise _not_started()
            self._buffer += data
        line, _end, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))


def _damaged(artifact: Path) -> CorruptError:
    return CorruptError(
        _("the artifact is damaged: its data are not those that it was written with"),
        where=str(artifact),
        do=_("Export the skill again."),
    )


def _not_started() -> NoRuntimeError:
    return NoRuntimeError(
        _("the browser in which the page is proved does not respond"),
        do=_("Install Node (Debian: apt-get install nodejs), or name another Chromium in TERAKOYA_BROWSER."),
    )
