"""Who is told while a run goes on: a terminal, a log, a notebook, or nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from terakoya.records import Finding, Step

TrialState = Literal["open", "running", "held", "taught", "done", "failed"]


@dataclass(frozen=True)
class Standing:
    """How a trial of a series stands: running here, held by another process, taught (its exam still closed) …"""

    name: str
    seed: int
    state: TrialState
    dev: float | None = None


class Listener(Protocol):
    """Told what happens, when it happens. Nothing here may change a result."""

    def stage(self, name: str, detail: str = "") -> None:
        """A new part of the run begins: "examples", "audit", "train", "score" …"""
        ...

    def step(self, step: Step, total: int) -> None:
        """One optimizer step is done, of `total`."""
        ...

    def finding(self, finding: Finding) -> None: ...

    def note(self, text: str) -> None:
        """A sentence for people."""
        ...

    def trials(self, look: Callable[[], Sequence[Standing]]) -> None:
        """A series has come a trial further; `look` tells how all of them stand, now and whenever it is asked again."""
        ...


class Silent:
    """Tells nobody."""

    def stage(self, name: str, detail: str = "") -> None:
        pass

    def step(self, step: Step, total: int) -> None:
        pass

    def finding(self, finding: Finding) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def trials(self, look: Callable[[], Sequence[Standing]]) -> None:
        pass
