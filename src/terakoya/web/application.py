"""The ASGI application of the page: its routes behind the checks, and one form for every refusal."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from terakoya.errors import TerakoyaError
from terakoya.i18n import _
from terakoya.serving.errors import RequestError
from terakoya.serving.security import Access, SecurityMiddleware
from terakoya.web.rendering import render
from terakoya.web.state import Page
from terakoya.web.views import ROUTES

log = logging.getLogger("terakoya.web")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_STATIC = {"page.css": "text/css", "page.js": "text/javascript", "htmx.min.js": "text/javascript"}


def make_page_app(page: Page, access: Access, on_ready: Callable[[], None] = lambda: None) -> ASGIApp:
    """The application with its checks around it.

    page      what the views share
    access    who may come in
    on_ready  called when the first request can come
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        on_ready()
        yield
        page.close()

    handlers: dict[Any, Any] = {
        RequestError: _refused,
        TerakoyaError: _refused_by_us,
        HTTPException: _http_error,
        ClientDisconnect: _client_gone,
        Exception: _failed,
    }
    routes = [Route("/static/{name}", _static, methods=["GET"]), *ROUTES]
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.state.page = page
    app.router.redirect_slashes = False  # a redirect would take its host from the request
    return SecurityMiddleware(app, access, POLICY, exchange=True, refuse=_kept_out)


def _static(request: Request) -> Response:
    """Our own files; a name is looked up and never opened as a path."""
    kind = _STATIC.get(request.path_params["name"])
    if kind is None:
        raise HTTPException(404)
    data = resources.files("terakoya.web").joinpath("static", request.path_params["name"]).read_bytes()
    return Response(data, media_type=kind, headers={"cache-control": "private, max-age=600"})


def _kept_out(scope: Scope, error: RequestError) -> Response:
    words = _("Open the link that the terminal printed when this page was started: it holds the token.")
    return render(
        Request(scope), "refused.html.j2", status=error.status, words=words if error.status == 401 else error.message
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return render(request, "refused.html.j2", status=error.status, words=error.message)


async def _refused_by_us(request: Request, error: Exception) -> Response:
    assert isinstance(error, TerakoyaError)
    return render(request, "refused.html.j2", status=422, words=error.message)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: _("There is nothing under this address."), 405: _("This address does not take that method.")}
    response = render(request, "refused.html.j2", status=error.status_code, words=words.get(error.status_code, ""))
    response.headers.update(error.headers or {})
    return response


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    """Our own fault: the cause is logged and not sent."""
    text = "".join(traceback.format_exception(error))
    log.error("a request failed\n%s", "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text))
    words = _("This is a fault of Terakoya; the terminal where the page was started has the cause.")
    return render(request, "refused.html.j2", status=500, words=words)
