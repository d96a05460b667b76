"""Which requests come in at all: Host allow-list, Origin check, token. Every HTTP door of Terakoya stands behind it.

A page of another site can make a browser send requests to a server on the same machine. Three things keep it out: the
`Host` must be one of ours (against DNS rebinding, where the other site's name suddenly means 127.0.0.1); an `Origin`
must be that same host, and `Sec-Fetch-Site` must not say that another site sent it (against cross-site request
forgery); and a token is needed for any address but loopback.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from terakoya.serving.errors import RequestError

COOKIE = "terakoya_token"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_HEADER_BYTES, _TARGET_BYTES = 32 * 1024, 8 * 1024  # of one request
_ONCE = ("host", "origin", "authorization", "content-length", "content-type")


@dataclass(frozen=True)
class Access:
    """Who may come in.

    names         host names and addresses under which the server is reached, lower case, at `port`
    port          that the server listens on
    extra_hosts   further values of Host, as "name" (any port) or "name:port"
    any_address   whether any numeric address is one of ours too: a rebinding attack needs a name
    token         without which nothing is served but `open_paths`; "" is none
    open_paths    what is served without a token
    """

    names: frozenset[str]
    port: int
    extra_hosts: frozenset[str] = frozenset()
    any_address: bool = False
    token: str = ""
    open_paths: tuple[str, ...] = ("/health",)

    def check(self, path: str, headers: Headers) -> None:
        """Let a request in, or refuse it.

        path     of the request
        headers  of the request
        Raises RequestError: what `check_sender` raises, and 401 without the token.
        """
        self.check_sender(headers)
        if self.token and path not in self.open_paths and not self._has_token(headers):
            raise RequestError(
                401,
                "A token is needed: Authorization: Bearer TOKEN. The server printed it when it started.",
                code="invalid_token",
                headers={"www-authenticate": "Bearer"},
            )

    def check_sender(self, headers: Headers) -> None:
        """Refuse what another site has a browser send.

        headers  of the request
        Raises RequestError: 400 without one Host, 421 for another Host, 403 for another origin.
        """
        for name in _ONCE:
            if len(headers.getlist(name)) > 1:
                raise RequestError(400, f"The header {name} was sent more than once.", code="repeated_header")
        host = headers.get("host", "")
        if not host:
            raise RequestError(400, "The header Host is missing.", code="missing_host")
        if not self._is_ours(host):
            raise RequestError(
                421, "This server is not known under that name; --allow-host NAME makes it known.", code="unknown_host"
            )
        self._check_origin(host, headers)

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].strip("[]").lower()
        bare = host.lower()
        if bare in self.extra_hosts or name in self.extra_hosts:
            return True
        if int(found["port"] or 80) != self.port:
            return False
        return name in self.names or (self.any_address and _is_address(name))

    def _check_origin(self, host: str, headers: Headers) -> None:
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RequestError(403, "Requests from another site's page are refused.", code="cross_site")
        origin = headers.get("origin")
        if origin is None:
            return
        try:
            parts = urlsplit(origin)
            same = parts.scheme in ("http", "https") and _with_port(parts.netloc, parts.scheme) == _with_port(
                host, parts.scheme
            )
        except ValueError:
            same = False
        if not same:
            raise RequestError(403, "Requests from another site's page are refused.", code="cross_site")

    def _has_token(self, headers: Headers) -> bool:
        kind, _space, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same_token(given.strip(), self.token):
            return True
        return any(same_token(value, self.token) for value in _cookies(headers.get("cookie", "")))


def _check_size(scope: Scope) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _TARGET_BYTES:
        raise RequestError(414, "The address is too long.", code="address_too_long")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _HEADER_BYTES:
        raise RequestError(431, "The headers are too large.", code="headers_too_large")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_port(host: str, scheme: str) -> str:
    host = host.lower()
    return host if re.search(r":[0-9]+$", host) else f"{host}:{443 if scheme == 'https' else 80}"


def _cookies(header: str) -> list[str]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [value for name, _equals, value in pairs if name == COOKIE]


def same_token(given: str, token: str) -> bool:
    """Whether `given` is the `token`, in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def new_token() -> str:
    """A random token of 256 bits."""
    return secrets.token_urlsafe(32)


def token_cookie(token: str) -> str:
    """The value of Set-Cookie by which a browser keeps the `token`: no script reads it, no other site sends it."""
    return f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"


class SecurityMiddleware:
    """Checks each request before anything else sees it, and marks each response as nothing to frame, sniff or keep.

    app       what stands behind
    access    who may come in
    policy    Content-Security-Policy of responses that set none themselves
    exchange  whether GET with ?token=TOKEN sets the cookie and goes on without it, for what people open by a link
    refuse    the response to a request that is refused, made of its scope and the error; None: JSON, for programs
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        policy: str = _POLICY,
        exchange: bool = False,
        refuse: Callable[[Scope, RequestError], Response] | None = None,
    ) -> None:
        self.app, self.access, self.policy, self.exchange, self.refuse = app, access, policy, exchange, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, by ASGI's `scope`, `receive` and `send`."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # websockets: there are none
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._with_headers(message.get("headers", []))}
            await send(message)

        headers = Headers(scope=scope)
        try:
            _check_size(scope)
            response = self._exchanged(scope, headers)
            if response is None:
                self.access.check(scope["path"], headers)
        except RequestError as error:
            response = self.refuse(scope, error) if self.refuse else error.response()
        await (response or self.app)(scope, receive, guarded_send)

    def _exchanged(self, scope: Scope, headers: Headers) -> Response | None:
        """The redirect that turns the token of a link into a cookie; None where the request is no such link."""
        if not self.exchange or scope["method"] != "GET" or b"token=" not in scope["query_string"]:
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = query.pop("token", [])
        if len(given) != 1 or not same_token(given[0], self.access.token):
            return None
        self.access.check_sender(headers)
        rest = urlencode([(name, value) for name, values in query.items() for value in values])
        # The path is of one segment at least and of one host: "//evil" would be another site's address.
        path = "/" + scope.get("raw_path", scope["path"].encode()).decode("latin-1").split("?")[0].lstrip("/\\")
        location = f"{path}?{rest}" if rest else path
        return Response(status_code=303, headers={"location": location, "set-cookie": token_cookie(given[0])})

    def _with_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = {name.lower() for name, _value in headers}
        wanted = {**_HEADERS, "content-security-policy": self.policy}
        added = [(name.encode(), value.encode()) for name, value in wanted.items() if name.encode() not in present]
        return [*headers, *added]


def access_of(host: str, port: int, *, allow_hosts: Sequence[str] = (), token: str = "") -> Access:
    """Who may come in at an address.

    host         that the server is bound to
    port         that it listens on
    allow_hosts  further values of Host, as "name" or "name:port"
    token        without which nothing is served; "" is none
    """
    name = host.strip("[]").lower()
    names = {name} if name not in ("0.0.0.0", "::", "") else set()
    if is_loopback(host) or not names:
        names |= set(LOOPBACK_NAMES)
    extra = frozenset(one.lower() for one in allow_hosts)
    return Access(frozenset(names), port, extra, any_address=not is_loopback(host), token=token)


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
