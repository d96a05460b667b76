"""The application itself, and the options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from terakoya.cli.help import Command, Group
from terakoya.i18n import _, in_language, language


class OutputForm(StrEnum):
    """How predictions are written to standard output."""

    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    TEXT = "text"


app = typer.Typer(
    name="terakoya",
    cls=Group,
    help=_("Train small language models on narrow Japanese text-to-text skills, and report honestly what was learned."),
    epilog="terakoya run kannume",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RESUMABLE = _("a shipped experiment, a TOML file, or a run folder to resume")
AN_EXPERIMENT = _("a shipped experiment or a TOML file")
_SET = _("section.key=value; may be repeated")

Overrides = Annotated[list[str] | None, typer.Option("--set", help=_SET)]
RunDir = Annotated[Path, typer.Option("--run-dir", help=_("folder of the run folders"))]
Seed = Annotated[int | None, typer.Option("--seed", help=_("short for --set seed=N"))]
Lang = Annotated[str, typer.Option("--lang", help=_("language of messages: en or ja; by default the locale's"))]
Json = Annotated[bool, typer.Option("--json", help=_("one JSON document on standard output"))]
Trust = Annotated[
    list[Path] | None,
    typer.Option("--trust", help=_("let this task file (.py) of somebody else's folder run, until it changes")),
]
Encoding = Annotated[
    str,
    typer.Option("--encoding", help=_("encoding of tables and texts, as cp932; by default the file's mark, or UTF-8")),
]
Source = Annotated[str, typer.Option("--source", help=_("column of inputs"))]
Target = Annotated[str, typer.Option("--target", help=_("column of targets"))]
CodecName = Annotated[str, typer.Option("--codec", help=_("what targets are: text, number, quantity or labels"))]
ForSpreadsheet = Annotated[
    bool,
    typer.Option("--for-spreadsheet", help=_("write .csv that spreadsheets open as UTF-8, no cell being a formula")),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", help=_("a further name of this server, as NAME or NAME:PORT; may be repeated")),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help=_("file with the token that requests need; or the variable TERAKOYA_TOKEN")),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help=_("port to listen on; 0 is any free one"))]
Anyway = Annotated[bool, typer.Option("--anyway", help=_("continue despite findings of level stop"))]


def table_settings(encoding: str = "", source: str = "", target: str = "", codec: str = "") -> list[str]:
    """The options of a table as the settings that they are short for.

    encoding  of the file, "" is not given
    source    its column of inputs
    target    its column of targets
    codec     what its targets are
    """
    given = {"encoding": encoding, "source": source, "target": target, "codec": codec}
    return [f"task.{key}={value}" for key, value in given.items() if value]


def prompt_good_enough(lang: str = "") -> float:
    """The mean score that is good enough, from whoever sits at the terminal; 0 where nobody does.

    lang  "en" or "ja", "" for the locale's
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return 0.0
    from click import FloatRange

    question = _("From which mean score on, between 0 and 1, is the model good enough for you? (0: say nothing)")
    return float(typer.prompt(in_language(question, language(lang)), default=0.0, type=FloatRange(0, 1)))


def trust_files(files: Sequence[Path] | None) -> None:
    """Remember what the user trusts, before anything is opened.

    files  task files named with --trust
    """
    if files:
        from terakoya.config.trust import trust_file

        for file in files:
            trust_file(file)


def command(help: str, example: str, name: str | None = None) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a function as a command with its help and an example; `help` is a message."""
    return app.command(name, cls=Command, help=help, epilog=example)
