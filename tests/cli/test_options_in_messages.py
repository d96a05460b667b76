"""Every option that a message names can be typed in the command that prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import terakoya
from terakoya.cli import main as commands  # noqa: F401 - registers the commands
from terakoya.cli.options import app

pofile = pytest.importorskip("babel.messages.pofile")

CATALOGUE = Path(terakoya.__file__).parent / "locale" / "ja" / "LC_MESSAGES" / "terakoya.po"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
TYPED = re.compile(r"terakoya (?P<command>[a-z]+)")
TABLES = ("run", "train", "split", "doctor", "generate", "audit", "evaluate", "predict", "compare", "new", "sweep")
CONFIGS = ("run", "train", "split", "doctor", "generate", "audit", "evaluate", "predict", "sweep")
# Where a message stands → the commands that print it, where it names no command itself.
PRINTED_BY = {
    "data/audit/": ("audit", "doctor", "run"),
    "data/formats/": TABLES,
    "codec/choose.py": ("predict", "evaluate", "compare"),
    "codec/source_bound.py": ("run", "train", "predict", "evaluate"),
    "evaluation/compare.py": ("compare",),
    "evaluation/wrong_rows.py": ("audit",),
    "evaluation/out_of_fold.py": ("audit",),
    "evaluation/learning_curve.py": ("curve",),
    "evaluation/curve_parts.py": ("curve", "run"),
    "evaluation/ladder.py": ("ladder",),
    "pipeline/ladder.py": ("ladder",),
    "reporting/paper.py": ("report",),
    "pipeline/predict.py": ("predict",),
    "pipeline/data_commands.py": ("generate",),
    "pipeline/measure_commands.py": ("evaluate",),
    "pipeline/retrain.py": ("correct",),
    "runs/annotations.py": ("confirm",),
    "annotation/": ("correct",),
    "pipeline/scaffold/": ("new",),
    "generation/": ("generate",),
    "config/": CONFIGS,
    "pipeline/run.py": ("run", "train"),
    "runs/lifecycle.py": ("run", "train"),
    "runs/disk.py": ("run", "train", "sweep"),
    "training/": ("run", "train"),
    "registry.py": ("run", "predict", "evaluate", "compare", "audit", "doctor", "split"),
    "saved_model.py": ("predict", "evaluate", "compare"),
    "serving/": ("serve",),
    "decoding/withholding.py": ("predict", "serve"),
    "scoring/statistics/verdict.py": ("run",),
    "sweeps/": ("sweep",),
    "exporters/": ("export",),
    "cli/main.py": ("evaluate",),
    "cli/options.py": ("run", "train"),
    "cli/printing.py": ("run", "train"),
    "experiments/": CONFIGS,
}
# One message of several commands, whose options not all of them have.
ONLY = {("cli/main.py", "--with"): ("audit",), ("pipeline/data_commands.py", "--with"): ("audit",),
        ("config/sections/teacher.py", "--i-have-the-right"): ("generate",)}  # fmt: skip


def try_option(command: str, option: str, text: str) -> None:
    """The parser of the command accepts the option, with the value that stands behind it in the message."""
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    context = known.context_class(known, info_name=command)
    parameter = next(one for one in known.params if option in one.opts)
    given = re.search(rf"{option}[ =](?P<value>[a-z0-9][\w.=-]*)", text)
    value = given["value"].rstrip(".") if given and not given["value"].isalpha() else "1"
    flag = getattr(parameter, "is_flag", False)
    left = known.make_parser(context).parse_args([option] if flag else [option, value])[1]
    assert left == [], f"terakoya {command} {option} {value} leaves {left}"


def options_of(command: str) -> set[str]:
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name for parameter in found.params for name in parameter.opts}


def named_options() -> Iterator[tuple[str, str, str]]:
    """(option, where the message stands, its text), for every option that the catalogue names."""
    with CATALOGUE.open("rb") as file:
        catalogue = pofile.read_po(file, locale="ja")
    for message in catalogue:
        text = message.id if isinstance(message.id, str) else ""
        text = re.sub(r"llama-gguf-split --\S+|torchrun( --\S+)+", "", text)  # options of other programs
        for option in sorted(set(OPTION.findall(text))):
            for place, _line in message.locations:
                yield option, place.partition("src/terakoya/")[2], text


NAMED = sorted(set(named_options()))


@pytest.mark.parametrize(
    ("option", "place", "text"), NAMED, ids=[f"{option} {place}" for option, place, _text in NAMED]
)
def test_an_option_that_a_message_names_exists_where_it_is_printed(option: str, place: str, text: str) -> None:
    """'Say which it is: --encoding cp932' was printed by commands that had no such option."""
    typed = [found["command"] for found in TYPED.finditer(text[: text.rindex(option)])]
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    by_name = [command for command in typed[-1:] if command in known]
    by_place = next((printing for part, printing in PRINTED_BY.items() if place.startswith(part)), ())
    printing = by_name or ONLY.get((place, option)) or by_place
    assert printing, f"which command prints this? {place}: {text}"
    for command in printing:
        assert option in options_of(command), f"terakoya {command} has no {option}: {text}"
        try_option(command, option, text)


def test_options_were_found() -> None:
    """A catalogue that is read as empty would pass."""
    assert {"--encoding", "--set", "--source", "--codec"} <= {option for option, _place, _text in NAMED}


def typed_commands() -> Iterator[tuple[str, str, str]]:
    """(command, the word behind it, text), for every command line with an option that the catalogue names."""
    with CATALOGUE.open("rb") as file:
        catalogue = pofile.read_po(file, locale="ja")
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for message in catalogue:
        text = message.id if isinstance(message.id, str) else ""
        for found in re.finditer(r"terakoya (?P<command>[a-z]+) (?P<next>\S+)", text):
            if found["command"] in known and (found["next"].startswith("--") or " --" in text[found.end() :]):
                yield found["command"], found["next"], text


def test_a_command_line_in_a_message_names_what_the_command_needs() -> None:
    """'terakoya doctor --show-tokens' ends in a usage error when typed: doctor of what?"""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    seen = set(typed_commands())
    assert len({command for command, _next, _text in seen}) > 3
    for command, behind, text in seen:
        needed = [one for one in known[command].params if one.param_type_name == "argument" and one.required]
        assert not needed or not behind.startswith("--"), f"terakoya {command} needs {needed[0].name}: {text}"
