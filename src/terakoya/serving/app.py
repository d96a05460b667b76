"""The ASGI application: routes, and one form for every refusal."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terakoya.decoding.token_log_probs import TokenLogProb, token_log_probs
from terakoya.errors import TerakoyaError
from terakoya.models.protocol import Query
from terakoya.serving.batching import Batcher, Queue
from terakoya.serving.counters import CONTENT_TYPE, Counters
from terakoya.serving.errors import RequestError, error_body, json_response
from terakoya.serving.limits import Limits
from terakoya.serving.openapi import description
from terakoya.serving.requests import Given, parse_chat, parse_completion, read_json
from terakoya.serving.responses import Responder, reason
from terakoya.serving.security import Access, SecurityMiddleware
from terakoya.serving.skills import Output, ServedSkill

log = logging.getLogger("terakoya.serving")
Parse = Callable[[Any, Mapping[str, ServedSkill], Limits], tuple[ServedSkill, Given]]


class Service:
    """Skills, what waits for them, and what was counted: the state behind the routes.

    skills  by name
    limits  of the server
    """

    def __init__(self, skills: Mapping[str, ServedSkill], limits: Limits) -> None:
        self.skills, self.limits = skills, limits
        self.queue, self.counters = Queue(limits), Counters()
        self._batchers = {name: self._batcher(skill) for name, skill in skills.items()}

    def _batcher(self, skill: ServedSkill) -> Batcher:
        def on_batch(texts: int, seconds: float) -> None:
            self.counters.batch(skill.name, texts, seconds)

        return Batcher(skill.predict, self.queue, on_batch)

    async def predict(self, skill: ServedSkill, queries: tuple[Query, ...]) -> list[Output]:
        """The predictions of `skill` for `queries`. Raises RequestError: 422 for a text that the model cannot read,
        429 and 504."""
        outputs = await self._batchers[skill.name].submit(queries)
        for number, output in enumerate(outputs, 1):
            if not output.fits:
                message = f"Text {number} is empty, or longer than the model can read."
                raise RequestError(422, message, code="context_length_exceeded")
            self.counters.prediction(skill.name, reason(output))
        return outputs

    async def log_probs(self, skill: ServedSkill, given: Given, outputs: list[Output]) -> list[list[TokenLogProb]]:
        """The tokens of the `outputs` of `skill` for the queries that were `given`."""
        pairs = list(zip(given.queries, outputs, strict=True))

        def scored() -> list[list[TokenLogProb]]:
            model = skill.skill.model
            return [token_log_probs(model, query, one.prediction, given.logprobs or 0) for query, one in pairs]

        return await self._batchers[skill.name].alone(scored)

    def close(self) -> None:
        """End the threads."""
        for batcher in self._batchers.values():
            batcher.close()

    # ── routes ──────────────────────────────────────────────────────────────────────────────────────

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions: `request` is a conversation."""
        return await self._respond(request, parse_chat)

    async def completion(self, request: Request) -> Response:
        """POST /v1/completions: `request` holds one text or several."""
        return await self._respond(request, parse_completion)

    async def _respond(self, request: Request, parse: Parse) -> Response:
        value = await read_json(request, self.limits)
        skill, given = parse(value, self.skills, self.limits)
        outputs = await unless_disconnected(request, self.predict(skill, given.queries))
        wanted = given.logprobs is not None
        tokens = await unless_disconnected(request, self.log_probs(skill, given, outputs)) if wanted else []
        responder = Responder(skill.name, given, outputs, tokens)
        if given.stream:
            return StreamingResponse(responder.events(), media_type="text/event-stream")
        return json_response(responder.whole())

    async def models(self, request: Request) -> Response:
        """GET /v1/models, whatever else the `request` holds."""
        return json_response({"object": "list", "data": [_model(skill) for skill in self.skills.values()]})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{model}: `request` names one by its name, which is looked up and never opened as a path."""
        skill = self.skills.get(request.path_params["model"])
        if skill is None:
            raise RequestError(404, "There is no such model.", code="model_not_found", param="model")
        return json_response(_model(skill))

    async def health(self, request: Request) -> Response:
        """GET /health, for whoever watches the server; `request` needs no token."""
        return json_response({"status": "ok"})

    async def metrics(self, request: Request) -> Response:
        """GET /metrics, whatever else the `request` holds."""
        return PlainTextResponse(self.counters.text(self.queue.waiting), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """GET /openapi.json, whatever else the `request` holds."""
        return json_response(description(self.limits))


def _model(skill: ServedSkill) -> dict[str, Any]:
    return {"id": skill.name, "object": "model", "created": skill.created, "owned_by": "terakoya"}


async def unless_disconnected(request: Request, work: Awaitable[Any]) -> Any:
    """The result of `work`, which is cancelled where the client of `request` has gone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
            with suppress(asyncio.CancelledError, RequestError):
                await one


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_app(
    service: Service,
    access: Access,
    *,
    routes: tuple[BaseRoute, ...] = (),
    while_running: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> ASGIApp:
    """The application with its checks around it.

    service        state behind the routes
    access         who may come in
    routes         further ones
    while_running  entered when the server starts, and left when it ends
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if while_running is None:
            yield
        else:
            async with while_running():
                yield
        service.close()

    own = [
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.completion, methods=["POST"]),
        Route("/v1/models", service.models, methods=["GET"]),
        Route("/v1/models/{model}", service.model, methods=["GET"]),
        Route("/health", service.health, methods=["GET"]),
        Route("/metrics", service.metrics, methods=["GET"]),
        Route("/openapi.json", service.openapi, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {
        RequestError: _refusal,
        HTTPException: _http_error,
        ClientDisconnect: _client_gone,
        TerakoyaError: _failed,
        Exception: _failed,
    }
    app = Starlette(routes=[*own, *routes], exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would take its host from the request
    paths = frozenset(route.path for route in (*own, *routes) if isinstance(route, Route))
    return CountingMiddleware(SecurityMiddleware(app, access), service.counters, paths)


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return error.response()


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {404: "There is no such path.", 405: "This path has no such method."}.get(error.status_code, "Refused.")
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    headers = dict(error.headers or {})
    return json_response(error_body(error.status_code, message, code), status=error.status_code, headers=headers)


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; it is counted


async def _failed(_request: Request, error: Exception) -> Response:
    """Our own fault, or a codec's of somebody else's: the cause is logged and not sent."""
    text = "".join(traceback.format_exception(error))
    # Whatever the client sent may stand in it, and nothing of that may steer the terminal.
    log.error("a request failed\n%s", "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text))
    return json_response(
        error_body(500, "The prediction failed; the server's log has the cause.", "internal"), status=500
    )


class CountingMiddleware:
    """Counts every request with its status, those that are refused at the door too.

    app       what stands behind
    counters  that count
    paths     that are counted by name
    """

    def __init__(self, app: ASGIApp, counters: Counters, paths: frozenset[str]) -> None:
        self.app, self.counters, self.paths = app, counters, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, by ASGI's `scope`, `receive` and `send`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.counters.request(path, status, time.monotonic() - started)
