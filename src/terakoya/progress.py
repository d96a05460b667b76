"""Progress listeners: what a terminal, a log or a notebook receives while a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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

    def trials(self, look: Callable[[], Sequence[TrialStatus]]) -> None:
        """Ignores `look`."""
