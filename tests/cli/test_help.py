"""The help of every command: in the reader's language, with an example that can be run."""

from __future__ import annotations

import re
import shlex
import unicodedata

import pytest
import typer

from terakoya import __version__
from terakoya.cli.help import usage_message
from terakoya.cli.main import app, main
from terakoya.i18n import in_language

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
ENGLISH = re.compile(r"(?:\b[A-Za-z]{2,}[,;]? ){3}[A-Za-z]{2,}")


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


@pytest.fixture(autouse=True)
def _locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "80")


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_in_japanese(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names stay; no English sentence is left, and no line is wider than the terminal."""
    page = shown(capsys, name, "--help", "--lang", "ja")
    assert page.startswith(f"使い方：terakoya {name} ")
    for line in page.splitlines():
        assert columns(line) <= 80, line
    explained = page.split("例：")[0]
    assert not ENGLISH.search(explained.replace("[OPTIONS]", "")), explained
    assert len(re.findall("[ぁ-んァ-ヶ一-龥]", page)) > 20


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_an_example_that_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Advice must be followable: its command and options exist."""
    page = shown(capsys, name, "-h")
    assert "Example:\n" in page
    words = shlex.split(page.rsplit("Example:\n", 1)[1].partition(" > ")[0])
    assert words[:2] == ["terakoya", name]
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    command.make_context(name, words[2:], resilient_parsing=False)


def test_the_locale_decides_where_no_option_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--lang goes before it, wherever it stands."""
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    assert "オプション：" in shown(capsys, "--help")
    assert "オプション：" in shown(capsys, "run", "--help")
    assert "Options:" in shown(capsys, "--lang", "en", "run", "--help")
    assert "Options:" in shown(capsys, "run", "--lang=en", "-h")


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reports an error needs it."""
    assert shown(capsys, "--version").strip() == __version__


def test_the_language_may_stand_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`terakoya --lang ja list` is `terakoya list --lang ja`."""
    assert shown(capsys, "--lang", "ja", "list") == shown(capsys, "list", "--lang", "ja")
    assert "実験" in shown(capsys, "--lang", "ja", "list").splitlines()[0]


def test_every_experiment_and_series_is_described_in_japanese(capsys: pytest.CaptureFixture[str]) -> None:
    """`terakoya list` is where a newcomer chooses."""
    lines = shown(capsys, "list", "--lang", "ja").split("タスク")[0].splitlines()
    for line in lines:
        assert re.search("[ぁ-んァ-ヶ一-龥]", line), line


@pytest.mark.parametrize(
    ("words", "english", "japanese"),
    [
        (["rum"], "No such command 'rum'. Did you mean 'run'?", "コマンド 'rum' はない。'run' のことか。"),
        (["run"], "Missing argument 'experiment'.", "引数 'experiment' の指定がない。"),
        (["split", "kannume"], "Missing option '--output'.", "オプション '--output' の指定がない。"),
        (["run", "kannume", "--epoch"], "No such option: --epoch", "オプション --epoch はない。"),
        (["run", "kannume", "x"], "Got unexpected extra argument(s) (x)", "余分な引数がある（x）"),
        (
            ["run", "kannume", "--seed"],
            "Option '--seed' requires an argument.",
            "オプション '--seed' には値が必要である。",
        ),
        (
            ["run", "kannume", "--seed", "a"],
            "Invalid value for '--seed': ",
            "'--seed' の値が正しくない：整数として読めない",
        ),
    ],
)
def test_a_wrong_command_line_is_explained_in_both_languages(
    words: list[str], english: str, japanese: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What typer says is English; the reader's language is put in its place."""
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(english)
    assert main(["--lang", "ja", *words]) == 2
    assert capsys.readouterr().err == f"{japanese}\n"


def test_what_typer_may_say_tomorrow_is_shown_as_it_is() -> None:
    """An unknown message is better than none."""
    assert in_language(usage_message("Something new."), "ja") == "Something new."


def test_the_completion_script_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`terakoya --show-completion` works for the shell that is running."""
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash", raising=False)
    with pytest.raises(SystemExit) as end:
        main(["--show-completion"])
    assert end.value.code == 0
    assert "_TERAKOYA_COMPLETE" in capsys.readouterr().out
