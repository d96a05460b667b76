"""A server beside the caller's own work: in a notebook, or in a program that goes on."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import replace

from terakoya.errors import ConfigError
from terakoya.i18n import _
from terakoya.serving.server import Serving

Serve = Callable[[Callable[[Serving], None]], None]


def serve_in_background(serve: Serve) -> Serving:
    """Start a server in a thread of its own and return once it listens; it ends with the process at the latest.

    serve  serves until it is ended, and calls what it is given once it listens
    Returns the server; its `end()` takes nothing new, finishes what was begun and returns when that is done. Raises
    what `serve` raises before it listens.
    """
    begun: queue.Queue[Serving | BaseException] = queue.Queue()

    def run() -> None:
        try:
            serve(begun.put)
        except BaseException as error:  # raised again by the caller's thread, which waits for it
            begun.put(error)

    thread = threading.Thread(target=run, name="terakoya-serve", daemon=True)
    thread.start()
    found = begun.get()
    if isinstance(found, BaseException):
        raise found
    ready = found

    def end() -> None:
        ready.end()
        thread.join()

    return replace(ready, end=end)


def refuse_running_loop() -> None:
    """Raise ConfigError where this thread runs an event loop already, as a notebook does: a server needs its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigError(
        _("an event loop runs in this thread already, as in a notebook, and a server needs one of its own"),
        where="serve",
        do=_("Serve beside it: server = tk.serve(RUN, background=True); later: server.end()"),
    )
