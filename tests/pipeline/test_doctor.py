"""`doctor` names a row as `audit` does: by its file and its line, whether a table or a task of one's own brings it."""

from __future__ import annotations

from pathlib import Path

import pytest

import terakoya
from terakoya.cli.main import main

TASK = """
from terakoya.records import Example
from terakoya.task import Task

def task():
    rows = [Example(f"語{n:03}", f"{n:03}語", origin="words.txt", row=n) for n in range(1, 121)]
    rows[4] = Example("語999", "あ" * 300, origin="words.txt", row=5)
    rows[70] = Example("語072", "違う", origin="words.txt", row=71)
    return Task(name="words", examples=tuple(rows))
"""


def _table(folder: Path, name: str = "words.csv", first: int = 0, empty: bool = False) -> None:
    rows = [f"語{n:03},{n:03}語" for n in range(first, first + 120)]
    rows[4] = "語999," if empty else "語999," + "あ" * 300
    rows[70] = f"語{first + 71:03},違う"
    (folder / name).write_text("\n".join(["source,target", *rows]))


def _config(folder: Path, task: str) -> Path:
    path = folder / "words.toml"
    path.write_text(f'[task]\n{task}\n[model]\nbase = "tiny"\nmax_target = 20\n[train]\nsteps = 20\n')
    return path


@pytest.mark.parametrize("command", ["audit", "doctor"])
@pytest.mark.parametrize(
    ("task", "files"),
    [
        ('data = "words.csv"', "words.csv"),
        ('data = "words.csv"\ndev = "dev.csv"\nexam = "exam.csv"', "words.csv, dev.csv, exam.csv"),
        ('use = "own.py"', "words.txt"),
    ],
    ids=["table", "tables", "task"],
)
def test_a_finding_names_file_and_row(
    task: str, files: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("words.csv", "dev.csv", "exam.csv")):
        _table(tmp_path, name, 200 * number)
    (tmp_path / "own.py").write_text(TASK)
    assert main([command, str(_config(tmp_path, task))]) in (0, 1, 3)
    printed = capsys.readouterr().out
    assert f"({files}, rows " in printed
    if command == "doctor":  # the row that does not fit
        assert f"{files.partition(',')[0]}, row {5 if 'own' in task else 6} (" in printed


def test_a_row_that_cannot_be_written_hides_no_other_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`doctor` ended with "a target is empty", without file, row or anything that the audit had found."""
    _table(tmp_path, empty=True)
    config = _config(tmp_path, 'data = "words.csv"')
    report = terakoya.doctor(config)
    checks = {finding.check for finding in report.findings if finding.level == "stop"}
    assert "rows" in checks and "unreadable-targets" in checks and not report.complete
    assert any(finding.where == "words.csv, row 6" for finding in report.findings)
    assert main(["doctor", str(config), "--lang", "ja"]) in (0, 1, 3)
    assert "words.csv" in capsys.readouterr().out
