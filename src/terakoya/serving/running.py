"""The event loop of the HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import FrameType

import h11
import uvicorn
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from terakoya.serving.app import Service, make_app
from terakoya.serving.security import Access

_MORE_SECONDS = 5  # after the time limit of a request, until a server that ends cuts what is left


def run_http(
    service: Service,
    access: Access,
    listening: socket.socket,
    *,
    mcp: bool,
    on_ready: Callable[[Callable[[], None]], None],
) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends at once.

    service    skills and what waits for them
    access     who may come in
    listening  the socket
    mcp        whether /mcp is served as well
    on_ready   is called when the first request can come, with a function that ends the server gracefully
    """
    routes: tuple[BaseRoute, ...] = ()
    tools: Callable[[], AbstractAsyncContextManager[None]] | None = None
    if mcp:
        from terakoya.serving.mcp_tools import http_endpoint

        route, manager = http_endpoint(service)
        routes, tools = (route,), manager.run

    @contextlib.asynccontextmanager
    async def while_running() -> AsyncIterator[None]:
        async with tools() if tools else contextlib.nullcontext():
            on_ready(lambda: server.handle_exit(signal.SIGTERM, None))
            yield

    app = make_app(service, access, routes=routes, while_running=while_running)
    server = _Server(_config(app, service.limits.seconds))
    server.run(sockets=[listening])


def http_server(app: ASGIApp, seconds: float) -> uvicorn.Server:
    """A server of any application, which ends gracefully at a first SIGTERM or SIGINT.

    app      what it serves
    seconds  until a request's headers are read
    """
    return _Server(_config(app, seconds))


def _config(app: ASGIApp, seconds: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_protocol(seconds),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(seconds) + _MORE_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
    )


def _protocol(seconds: float) -> type[H11Protocol]:
    """uvicorn's HTTP/1.1, but a connection whose request line and headers are not complete in time is closed."""

    class TimedProtocol(H11Protocol):
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def _watch(self) -> None:
            between_requests = self.conn.their_state is h11.IDLE
            if between_requests and self.timer is None:
                self.timer = self.loop.call_later(seconds, self.transport.close)
            elif not between_requests and self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self.timer is not None:
                self.timer.cancel()
            super().connection_lost(exc)

    return TimedProtocol


class _Server(uvicorn.Server):
    """uvicorn, but a signal that ended it gracefully is no failure of the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {kind: signal.signal(kind, self.handle_exit) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal, `sig`, ends gracefully, the second one at once; `frame` is not looked at."""
        self.force_exit, self.should_exit = self.should_exit, True
