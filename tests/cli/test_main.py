"""The command line: one clear message and a code of its own for every kind of fault, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terakoya.cli.main import main
from terakoya.pipeline import commands

HEADER = "source,target\n"
ROWS = "".join(f"問い{number}番,答え{number % 3}\n" for number in range(40))


def table(folder: Path, content: bytes | str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    config = folder / "t.toml"
    config.write_text(f'[task]\ndata = "{name}"\n[train]\nsteps = 2\n[model]\nbase = "tiny"\n', encoding="utf-8")
    return config


BAD_TABLES = [
    ("empty", b"", 3, "empty"),
    ("header only", HEADER, 3, "row"),
    ("no such column", "src,target\na,b\n", 3, "source"),
    ("column twice", "source,source,target\na,b,c\n", 3, "source"),
    ("ragged", HEADER + ROWS + "a,b,c\n", 3, "42"),
    ("shift_jis", (HEADER + ROWS).encode("cp932"), 3, "cp932"),
]


@pytest.mark.parametrize(("content", "code", "word"), [case[1:] for case in BAD_TABLES], ids=[c[0] for c in BAD_TABLES])
def test_a_bad_table_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str, code: int, word: str
) -> None:
    """Whoever brings a broken file learns which one, where, and what to do."""
    config = table(tmp_path, content)
    assert main(["run", str(config), "--run-dir", str(tmp_path / "runs")]) == code
    output = capsys.readouterr().err
    assert word in output
    assert "t.csv" in output
    assert "Traceback" not in output


BAD_COMMANDS = [
    (["run", "kannumee"], 2, "kannume"),
    (["run", "kannume", "--set", "train.stepps=3"], 2, "steps"),
    (["run", "kannume", "--set", "train.schedule=cosin"], 2, "cosine"),
    (["run", "kannume", "--set", "steps"], 2, "section.key=value"),
    (["run", "kannume", "--set", "task.options.form=1"], 2, "forms"),
    (["run", "kannume", "--set", "task.notation=group"], 2, "groups"),
    (["run", "none.toml"], 2, "no such config"),
    (["rum"], 2, "rum"),
    (["predict", "no-run", "三"], 2, "no-run"),
    (["evaluate", "no-run", "--data", "x.csv"], 2, "no-run"),
    (["report", "no-run"], 2, "no-run"),
    (["compare", "a", "b"], 2, "a"),
]


@pytest.mark.parametrize(("words", "code", "hint"), BAD_COMMANDS, ids=[" ".join(case[0]) for case in BAD_COMMANDS])
def test_a_wrong_command_line_names_the_nearest_right_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    hint: str,
) -> None:
    """A typing error costs a second, not a search through the manual."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    output = capsys.readouterr().err
    assert hint in output
    assert "Traceback" not in output


def test_one_json_document_stands_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that reads us needs no luck: prose goes to standard error."""
    config = table(tmp_path, HEADER + ROWS)
    code = main(["audit", str(config), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == int(any(finding["level"] == "stop" for finding in document["findings"]))
    assert main(["list", "--json"]) == 0
    assert "kannume" in json.loads(capsys.readouterr().out)["experiments"]


def test_an_internal_error_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only internal errors show a traceback, and say how to report them."""

    def broken() -> None:
        raise RuntimeError("wires crossed")

    monkeypatch.setattr(commands, "list_", broken)
    assert main(["list"]) == 70
    output = capsys.readouterr().err
    assert "Traceback" in output
    assert "report" in output


def test_terminal_output_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data may hold escape sequences; a terminal must never receive them."""
    config = table(tmp_path, HEADER + ROWS + "\x1b[2Jquiz,\x1b]0;owned\x07\n")
    main(["audit", str(config)])
    output = capsys.readouterr()
    assert "\x1b" not in output.out + output.err
