"""The command that opens the local page."""

from pathlib import Path
from typing import Annotated

import typer

from terakoya.cli.options import AllowHost, Lang, Overrides, Port, TokenFile, command
from terakoya.i18n import _


@command(
    _("Open the local page: look at tables and runs, train, try, compare and correct in the browser."),
    "terakoya open moods.csv",
    "open",
)
def open_(
    given: Annotated[
        list[Path] | None, typer.Argument(help=_("runs, tables and folders; by default this folder"))
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option("--base", help=_("a model folder or a Hub name to start trainings from; may be repeated")),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help=_("address to listen on; a token is always needed"))
    ] = "127.0.0.1",
    port: Port = 0,
    allow_host: AllowHost = None,
    token_file: TokenFile = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help=_("open the link in the browser"))] = False,
    overrides: Overrides = None,
    lang: Lang = "",
) -> int:
    from terakoya.cli import printing
    from terakoya.serving import Address
    from terakoya.web import Opened, open_page

    def on_ready(opened: Opened) -> None:
        printing.opened(opened.link, home=opened.home, public=opened.open, lang=lang)
        if browser:
            typer.launch(opened.link)

    address = Address(host, port, tuple(allow_host or ()), token_file)
    open_page(given or (), address, bases=base or (), overrides=overrides or (), on_ready=on_ready)
    return 0
