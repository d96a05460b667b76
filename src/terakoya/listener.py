"""Who is told while a run goes on: a terminal, a log, a notebook, or nobody."""

from __future__ import annotations

from typing import Protocol

from terakoya.records import Finding, Step


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
