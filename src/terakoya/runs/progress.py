"""Progress listeners: what a terminal, a log or a notebook receives while a run goes on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from terakoya.records import Finding, Step

TrialState = Literal["open", "running", "held", "trained", "done", "failed"]


@dataclass(frozen=True)
class TrialStatus:
    """Status of one trial of a sweep.

    name   of the trial
    seed   its seed
    state  "open", "running" (in this process), "held" (by another process), "trained" (its exam is not opened yet),
           "done" or "failed"
    dev    metric on the dev split; None where it is not known
    """

    name: str
    seed: int
    state: TrialState
    dev: float | None = None


_MARKS = {"note": "·", "warn": "!", "stop": "✗"}


class Listener(Protocol):
    """Receives events when they happen. Nothing here may change a result."""

    def stage(self, name: str, detail: str = "") -> None:
        """A stage of the run begins: `name` is "examples", "audit", "train", "score" …, `detail` a sentence."""
        ...

    def step(self, step: Step, total: int) -> None:
        """Optimizer step `step` of `total` is done."""
        ...

    def finding(self, finding: Finding) -> None:
        """A check produced `finding`."""
        ...

    def note(self, text: str) -> None:
        """A sentence `text` for people."""
        ...

    def progress(self, text: str) -> None:
        """How far a long stage is: one line `text` that replaces the one before it."""
        ...

    def trials(self, look: Callable[[], Sequence[TrialStatus]]) -> None:
        """A sweep has advanced; `look` returns the present status of all trials whenever it is called."""
        ...


class SilentListener:
    """Ignores all events."""

    def stage(self, name: str, detail: str = "") -> None:
        """Ignores `name` and `detail`."""

    def step(self, step: Step, total: int) -> None:
        """Ignores `step` and `total`."""

    def finding(self, finding: Finding) -> None:
        """Ignores `finding`."""

    def note(self, text: str) -> None:
        """Ignores `text`."""

    def progress(self, text: str) -> None:
        """Ignores `text`."""

    def trials(self, look: Callable[[], Sequence[TrialStatus]]) -> None:
        """Ignores `look`."""


class NotebookListener(SilentListener):
    """Shows a run in the cell of a notebook: the stages with their findings, and the newest step."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._newest = ""
        self._display: Any = None

    def stage(self, name: str, detail: str = "") -> None:
        """Begin a line for the stage `name`, with `detail` behind it."""
        self._lines += [self._newest] if self._newest else []
        self._newest = ""
        self._show(f"{name}: {detail}" if detail else name)

    def step(self, step: Step, total: int) -> None:
        """Show `step` of `total` in place of the one before."""
        dev = "".join(f"  {name} {value:.4f}" for name, value in (step.dev or {}).items())
        # Steps with dev values always, the others at most a hundred times: each one is a message to the browser.
        if dev or step.step in (1, total) or step.step % max(1, total // 100) == 0:
            self._newest = f"  step {step.step}/{total}  loss {step.loss:.4f}{dev}"
            self._show()

    def finding(self, finding: Finding) -> None:
        """Add `finding` with what to do about it."""
        do = f"\n      → {finding.do}" if finding.do and finding.level != "note" else ""
        self._show(f"  {_MARKS[finding.level]} {finding.check}: {finding.what}{do}")

    def note(self, text: str) -> None:
        """Add the sentence `text`."""
        self._show(f"  {text}")

    def progress(self, text: str) -> None:
        """Show the line `text` in place of the one before."""
        self._newest = f"  {text}"
        self._show()

    def _show(self, line: str = "") -> None:
        notebook: Any = importlib.import_module("IPython.display")

        self._lines += [line] if line else []
        text = notebook.Pretty("\n".join([*self._lines, *([self._newest] if self._newest else [])]))
        if self._display is None:
            self._display = notebook.display(text, display_id=True)
        else:
            self._display.update(text)


def clock(seconds: float) -> str:
    """A time left as people read it: 1:02:03, or 2:03 below an hour.

    seconds  at least 0
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def default_listener() -> Listener:
    """Who listens where nobody was named: a cell in a notebook, else nobody."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return NotebookListener() if type(shell).__name__ == "ZMQInteractiveShell" else SilentListener()
