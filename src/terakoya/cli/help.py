"""The help page of a command, and messages about what is wrong with a command line, in the reader's language.

Typer writes English only and measures Japanese as if it were half as wide. The page here has the same layout, looks
every text up in the catalogue, wraps by the width of characters and ends with an example.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from terakoya.cli.lines import columns
from terakoya.errors import Interrupted
from terakoya.i18n import _, in_language, language

_WIDTH = 100  # columns at most: longer lines are hard to read
_NAMES = 34  # columns at most for names of options; longer ones get a line of their own
_NO_BREAK_BEFORE = "、。，．：；）」』】！？ー・"
# What a line break never splits: [required], an English word, white space, a character.
_UNITS = re.compile(r"\[[^\]]{1,20}\]|[\x21-\x7e]+|\s+|.")
_OF_TYPER = (  # named here so that the catalogue has them; help_page finds them by their English
    _("Show this message and exit."),
    _("Install completion for the current shell."),
    _("Show completion for the current shell, to copy it or customize the installation."),
)
_USAGE_ERRORS = (
    _("No such option: {option} (Possible options: {options})"),
    _("No such option: {option} Did you mean {name}?"),
    _("No such option: {option}"),
    _("No such command {name}. Did you mean {names}?"),
    _("No such command {name}."),
    _("Missing command."),
    _("Missing argument {name}."),
    _("Missing option {name}."),
    _("Got unexpected extra argument(s) ({arguments})"),
    _("Got unexpected extra argument ({argument})"),
    _("Got unexpected extra arguments ({arguments})"),
    _("Option {option} requires an argument."),
    _("Option {option} requires {count} arguments."),
    _("Option {option} does not take a value."),
    _("Argument {name} takes {count} values."),
    _("Invalid value for {name}: {reason}"),
    _("Invalid value: {reason}"),
    _("Value {value} is not a valid {kind}."),
    _("Value must be an iterable."),
    _("{value} is not a valid {kind}."),
    _("Input should be a valid integer, unable to parse string as an integer"),
    _("Input should be a valid number, unable to parse string as a number"),
    _("{value} is not one of {choices}."),
    _("Unable to parse input string as an integer, exceeded maximum size"),
    _("Input should be a valid integer, got a number with a fractional part"),
    _("Input should be a finite number"),
    _("Input should be a valid boolean, unable to interpret input"),
    _("Input is not a valid path"),
    _("File"),
    _("Directory"),
    _("Path"),
    _("{kind} {path} does not exist."),
    _("{kind} {path} is a file."),
    _("{kind} {path} is a directory."),
    _("{kind} {path} is not readable."),
    _("{kind} {path} is not writable."),
)

_NOTHING_LOST = _("Stopped. Nothing had started that could be lost.")
_ADDED = {"required": _("required"), "default": _("default")}


class Command(TyperCommand):
    """A command whose help page is written here."""

    def get_help(self, ctx: Any) -> str:
        return help_page(self, ctx)


class Group(TyperGroup):
    """The command line as a whole, whose help page is written here."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; Ctrl-C and a reader that has gone leave in a form that typer does not handle itself."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise stopped(stop) from stop
        except BrokenPipeError as error:
            raise PipeClosed from error

    def get_help(self, ctx: Any) -> str:
        return help_page(self, ctx)


class PipeClosed(Exception):
    """Nobody reads the output any more."""


def stopped(stop: KeyboardInterrupt) -> Interrupted:
    """Ctrl-C as an error with words.

    stop  as it was caught; its first argument says what is saved
    """
    return Interrupted(stop.args[0] if stop.args and str(stop) else _NOTHING_LOST)


def help_page(command: Any, ctx: Any) -> str:
    """Usage, purpose, arguments, options, commands and an example, in the language of `ctx.obj`."""
    lang = (ctx.find_root().obj or {}).get("lang") or language()
    width = min(shutil.get_terminal_size().columns, _WIDTH)
    records = [(param.param_type_name, *_record(param, ctx, lang)) for param in command.get_params(ctx)]
    commands = [(name, _translated(one.help or "", lang)) for name, one in getattr(command, "commands", {}).items()]
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    blocks = [
        [in_language(_("Usage: {usage}", usage=usage), lang)],
        _wrapped(_translated(command.help or "", lang), width, 2),
        _table(_("Arguments:"), [row for kind, *row in records if kind == "argument"], width, lang),
        _table(_("Options:"), [row for kind, *row in records if kind == "option"], width, lang),
        _table(_("Commands:"), commands, width, lang),
    ]
    if command.epilog:
        blocks.append([in_language(_("Example:"), lang), f"  {command.epilog}"])
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def usage_message(text: str) -> str:
    """What typer says of a wrong command line, as a message; as it is, where it is not known."""
    for template in _USAGE_ERRORS:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(str(template)))
        found = re.fullmatch(pattern, text, flags=re.DOTALL)
        if found:
            return _(template.template, **{name: usage_message(value) for name, value in found.groupdict().items()})
    return text


def _record(param: Any, ctx: Any, lang: str) -> tuple[str, str]:
    """Names of a parameter, and its explanation with what typer adds: [required], [default: …]."""
    names, text = param.get_help_record(ctx) or ("", "")
    said = param.help or ""
    if set(param.opts) == set(ctx.help_option_names):
        names = ", ".join(sorted(param.opts, key=len))
    added = text.removeprefix(said).strip()
    for english, message in _ADDED.items():
        added = re.sub(rf"(?<=[\[ ]){english}(?=[\]:;])", in_language(message, lang), added)
    return names, "  ".join(part for part in (_translated(said, lang), added) if part)


def _translated(text: str, lang: str) -> str:
    """A text that typer keeps as a plain string: found again by its English."""
    return in_language(_(text), lang)


def _table(title: str, rows: Iterable[Iterable[str]], width: int, lang: str) -> list[str]:
    """Names in one column, explanations wrapped in the other."""
    pairs = [(name, text) for name, text in rows]
    column = max((columns(name) for name, _text in pairs if columns(name) <= _NAMES), default=0) + 4
    lines = [in_language(title, lang)] if pairs else []
    for name, text in pairs:
        wrapped = _wrapped(text, width, column)
        if columns(name) + 4 <= column and wrapped:
            wrapped[0] = f"  {name}".ljust(column - columns(name) + len(name)) + wrapped[0].strip()
            lines += wrapped
        else:
            lines += [f"  {name}", *wrapped]
    return lines


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    """Lines of at most `width` columns; Japanese breaks anywhere but before a closing mark, which takes along what
    stands before it.
    """
    lines: list[list[str]] = [[]]
    for unit in _UNITS.findall(text):
        if lines[-1] and columns("".join([*lines[-1], unit])) > width - indent:
            taken: list[str] = []
            while unit in _NO_BREAK_BEFORE and len(lines[-1]) > 1 and (not taken or taken[0] in _NO_BREAK_BEFORE):
                taken.insert(0, lines[-1].pop())
            lines.append(taken)
        if lines[-1] or unit.strip():
            lines[-1].append(unit)
    joined_lines = ["".join(units).rstrip() for units in lines]
    return [" " * indent + line for line in joined_lines if line]
