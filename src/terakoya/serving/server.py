"""Open skills, bind an address, serve until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from terakoya.errors import ConfigError, need
from terakoya.errors.files import read_text
from terakoya.i18n import _
from terakoya.serving.limits import Limits

TOKEN_VARIABLE = "TERAKOYA_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


@dataclass(frozen=True)
class Serving:
    """A server that is ready.

    url       under which it is reached
    models    names of the skills
    token     that requests need; "" is none
    new       whether the token was made now, so that nobody knows it yet
    open      whether other machines may reach it
    mcp       whether /mcp is served as well
    end       ends the server from another thread, as SIGTERM does
    """

    url: str
    models: tuple[str, ...]
    token: str = field(default="", repr=False)
    new: bool = False
    open: bool = False
    mcp: bool = False
    end: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)


@dataclass(frozen=True)
class Address:
    """Where a server listens, and who may come in.

    host         name or address to bind
    port         0 is any free one
    allow_hosts  further values of Host that are ours, as "name" or "name:port"
    token_file   a file that holds the token; None: the environment variable TERAKOYA_TOKEN, or else a new one where
                 other machines may reach the server, and none on loopback
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allow_hosts: tuple[str, ...] = ()
    token_file: Path | None = None


def serve(
    runs: Sequence[Path],
    address: Address,
    *,
    overrides: Sequence[str] = (),
    limits: Limits | None = None,
    mcp: str = "",
    on_ready: Callable[[Serving], None],
) -> None:
    """Serve trained skills until SIGTERM or Ctrl-C; what was begun is finished first.

    runs       run folders or model folders
    address    where to listen
    overrides  KEY=VALUE settings of decoding, for all of them
    limits     of requests; None: the usual ones
    mcp        "": HTTP for OpenAI's clients; "http": the skills as MCP tools too, under /mcp; "stdio": as MCP tools
               over standard input and output, and no HTTP
    on_ready   is called once the server listens; not for "stdio"
    Raises ConfigError without skills, for a bad token or an address that is not free, or where a package is missing.
    """
    if not runs:
        raise ConfigError(_("there is no skill to serve"), do=_("Name one: terakoya serve runs/RUN"))
    need("starlette", extra="serve")
    need("uvicorn", extra="serve")
    if mcp:
        need("mcp", extra="mcp")
    from terakoya.serving.app import Service
    from terakoya.serving.skills import open_skills

    service = Service(open_skills(runs, overrides), limits or Limits())
    if mcp == "stdio":
        from terakoya.serving.mcp_tools import run_stdio

        asyncio.run(run_stdio(service))
        return
    from terakoya.serving.running import run_http
    from terakoya.serving.security import access_of, is_loopback

    token, new = find_token(address)
    with bind(address.host, address.port) as listening:
        port = listening.getsockname()[1]
        access = access_of(address.host, port, allow_hosts=address.allow_hosts, token=token)
        host = f"[{address.host}]" if ":" in address.host.strip("[]") else address.host
        ready = Serving(
            f"http://{host}:{port}", tuple(service.skills), token, new, not is_loopback(address.host), bool(mcp)
        )
        run_http(service, access, listening, mcp=bool(mcp), on_ready=lambda end: on_ready(replace(ready, end=end)))


def find_token(address: Address) -> tuple[str, bool]:
    """The token of a server, and whether it was made now.

    address  of the server
    Returns ("", False) where none is needed. Raises ConfigError for one that is too short or holds other characters.
    """
    from terakoya.serving.security import is_loopback, new_token

    where = str(address.token_file) if address.token_file else TOKEN_VARIABLE
    given = read_text(address.token_file).strip() if address.token_file else os.environ.get(TOKEN_VARIABLE, "")
    if not given and not address.token_file:
        return ("", False) if is_loopback(address.host) else (new_token(), True)
    if not _TOKEN.fullmatch(given):
        raise ConfigError(
            _("a token has 16 to 512 letters, digits and characters of ._~+/=-"),
            where=where,
            do=_("Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"),
        )
    return given, False


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    host  name or address
    port  0 is any free one
    Raises ConfigError where the address is not ours or not free.
    """
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(
            _("the server cannot listen there ({error})", error=error),
            where=f"{host}:{port}",
            do=_("Choose another port with --port N (0 takes any free one), or another --host."),
        ) from error
    return listening
