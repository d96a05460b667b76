"""Ctrl-C without torn weights: it waits for the end of a step, and breaks in at once where nothing is being changed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Shield:
    """While held, the first Ctrl-C only sets `asked`; a second one, or one inside `open()`, raises as usual."""

    def __init__(self) -> None:
        self.asked = False
        self._open = False
        self._before: Any = None

    def __enter__(self) -> Shield:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Here an interruption may break in: the weights are whole."""
        self._open = True
        try:
            yield
        finally:
            self._open = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or self._open:
            raise KeyboardInterrupt
        self.asked = True
