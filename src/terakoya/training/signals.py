"""Ctrl-C without half-updated weights: it waits for the end of a step, and interrupts at once where none is changed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class InterruptHandler:
    """While active, the first Ctrl-C only sets `requested`; a second one, or one inside `interruptible()`, raises."""

    def __init__(self) -> None:
        self.requested = False
        self._interruptible = False
        self._previous: Any = None

    def __enter__(self) -> InterruptHandler:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside, Ctrl-C raises KeyboardInterrupt at once: no weight is being changed."""
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested or self._interruptible:
            raise KeyboardInterrupt
        self.requested = True
