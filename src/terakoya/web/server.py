"""Bind loopback, print a link with a token, serve the page until SIGTERM or Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from terakoya.errors import ConfigError, need
from terakoya.i18n import _
from terakoya.pipeline.table_preview import TABLE_FILES
from terakoya.serving.server import Address, bind, find_token
from terakoya.web.workspace import workspace_of

_SECONDS = 120.0  # until a request is read


@dataclass(frozen=True)
class Opened:
    """A page that is ready.

    url    under which it is reached
    home   folder that it works in
    token  that the browser must know
    open   whether other machines may reach it
    """

    url: str
    home: Path
    token: str = field(repr=False)
    open: bool = False

    @property
    def link(self) -> str:
        """The address with the token, for the browser that opens it first."""
        return f"{self.url}/?token={self.token}"


def open_page(
    given: Iterable[Path],
    address: Address,
    *,
    bases: Iterable[str] = (),
    overrides: Iterable[str] = (),
    on_ready: Callable[[Opened], None],
) -> None:
    """Serve the page until SIGTERM or Ctrl-C; trainings that it started go on.

    given      runs, tables and folders; the first folder without runs is the one that new things go to, else the
               working directory
    address    where to listen; on loopback too a token is needed
    bases      model folders and Hub names that trainings may start from, beside the built-in sizes
    overrides  KEY=VALUE settings of every training
    on_ready   called once the server listens
    Raises ConfigError where something named does not exist or is of no use here, for a bad token or an address that is
    not free, or where a package is missing.
    """
    need("starlette", extra="page")
    need("uvicorn", extra="page")
    need("python_multipart", extra="page")
    paths = tuple(given)
    for path in paths:
        if not path.exists():
            raise ConfigError(
                _("there is no such file or folder"),
                where=str(path),
                do=_("Name a run, a table or a folder; or nothing, for the folder you are in."),
            )
        if path.is_file() and path.suffix.lower() not in TABLE_FILES:
            raise ConfigError(
                _("this file is no table ({kinds})", kinds=", ".join(TABLE_FILES)),
                where=str(path),
                do=_("Name a run, a table or a folder; or nothing, for the folder you are in."),
            )
    from terakoya.serving.running import http_server
    from terakoya.serving.security import access_of, is_loopback, new_token
    from terakoya.web.application import make_page_app
    from terakoya.web.state import Page

    token = find_token(address)[0] or new_token()
    workspace = workspace_of(paths, bases, overrides)
    with bind(address.host, address.port) as listening:
        port = listening.getsockname()[1]
        access = replace(access_of(address.host, port, allow_hosts=address.allow_hosts, token=token), open_paths=())
        host = f"[{address.host}]" if ":" in address.host.strip("[]") else address.host
        opened = Opened(f"http://{host}:{port}", workspace.home, token, not is_loopback(address.host))
        app = make_page_app(Page(workspace), access, lambda: on_ready(opened))
        http_server(app, _SECONDS).run(sockets=[listening])
