"""What reaches a terminal: no control or direction mark from data, names or errors; lines that fit; few without one."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata
from io import StringIO
from pathlib import Path

import pytest
from rich.table import Table

from terakoya.cli import live, printing
from terakoya.cli.lines import columns, fit, new_console, safe, safe_json, safe_lines
from terakoya.cli.live import ProgressDisplay
from terakoya.cli.main import main
from terakoya.errors import DataError
from terakoya.pipeline import commands
from terakoya.records import Finding, Step
from terakoya.runs.progress import TrialStatus

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e\u2066反\u200f\u2028x"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff]")
WIDE = "全角の試行名" * 30


def step(number: int, dev: dict[str, float] | None = None) -> Step:
    return Step(number, 1.0, 1.0, 1e-3, 1.0, 10, 0.1, dev=dev or {})


@pytest.mark.parametrize("point", [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F),
                                   *range(0x2066, 0x2070), 0xFEFF, 0xD800, 0xE0001, 0xE0041])  # fmt: skip
def test_no_control_or_direction_mark_is_printed(point: int) -> None:
    """A terminal obeys none of them, wherever they come from; in JSON their value stays."""
    shown = safe(f"a{chr(point)}b")
    assert chr(point) not in shown and shown.isprintable()
    document = safe_json(json.dumps({"x": chr(point)}, ensure_ascii=False))
    assert not RAW.search(document) and json.loads(document) == {"x": chr(point)}


@pytest.mark.parametrize(
    "text",
    [
        "👨‍👩‍👧",
        "🏳️‍🌈",
        "👩🏽‍💻",
        "❤️‍🔥",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "全角　空白",
        "が",
    ],
)
def test_what_belongs_to_a_text_stays(text: str) -> None:
    """Joined emoji, flags and full-width spaces are what people write."""
    assert safe(text) == text


def test_a_joiner_between_letters_is_shown() -> None:
    """It would make two names look the same."""
    assert safe("ad\u200dmin") == "ad\\u200dmin"


def test_whatever_a_console_prints_is_safe() -> None:
    """Cells of tables too, which nobody made safe by hand."""
    console = new_console()
    console.file = StringIO()
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    console.print(table)
    console.print(HOSTILE, "one\ntwo")
    output = console.file.getvalue()
    assert not RAW.search(output) and "反" in output and "one\ntwo" in output


def test_errors_tracebacks_and_names_are_safe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Standard error is a terminal as well."""
    printing.error_message(DataError(HOSTILE, where=HOSTILE, do=HOSTILE), lang="en")
    printing.notice(HOSTILE)
    printing.usage_error(HOSTILE)
    monkeypatch.setattr(commands, "list_", lambda: {"tasks": [(HOSTILE, HOSTILE)]})
    assert main(["list"]) == 0 and main(["list", "--json"]) == 0

    def broken() -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr(commands, "list_", broken)
    assert main(["list"]) == 70
    for words in (
        ["run", HOSTILE],
        ["run", HOSTILE + ".toml"],
        [HOSTILE],
        ["run", "--" + HOSTILE],
        ["run", "x", HOSTILE],
    ):
        assert main(words) == 2
    output = capsys.readouterr()
    assert not RAW.search(output.out + output.err)


def test_progress_shows_hostile_names_safely() -> None:
    """Stages, notes, findings and metrics come from files and plug-ins."""
    console = new_console()
    console.file = StringIO()
    display = ProgressDisplay(console, "ja")
    display.stage("examples", HOSTILE)
    display.note(HOSTILE)
    display.finding(Finding(HOSTILE, "stop", HOSTILE, where=HOSTILE, do=HOSTILE))
    display.trials(lambda: [TrialStatus(HOSTILE, 0, "done", 0.5)])
    display.step(step(1, {HOSTILE: 0.5}), 10)
    assert not RAW.search(console.file.getvalue())


def test_columns_count_cells_and_not_characters() -> None:
    """Japanese takes two, a combining mark none."""
    assert [columns(text) for text in ("", "abc", "漢字", "か\u3099", "ｶﾅ", "😀", "👨‍👩‍👧")] == [0, 3, 4, 2, 2, 2, 6]
    assert fit("漢字かな", 8) == "漢字かな" and fit("漢字かな", 7) == "漢字か…" and columns(fit("漢字かな", 6)) <= 6


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_live_line_fits_the_terminal_with_the_time_left_first(lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut is the end, and the time left is what one looks for."""
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    shown: list[str] = []
    monkeypatch.setattr("rich.live.Live.update", lambda self, text: shown.append(str(text)))
    console = new_console()
    console.file, console._force_terminal, console._width = StringIO(), True, 80
    display = ProgressDisplay(console, lang)
    for number in range(1, 4):
        clock[0] += 1000.0
        display.step(
            step(number, {"完全一致の割合": 0.123, "文字ごとの一致の割合": 0.5, "chrf-sentence": 0.7}), 123_456
        )
    display.close()
    assert all(columns(line) <= 80 for line in shown)
    assert re.match(r"(残り ?)?34292:30:00", shown[-1]), shown[-1]


def test_without_a_terminal_a_line_comes_every_ten_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a night is read by people: dev values wait for the next line."""
    clock = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    console = new_console()
    console.file = StringIO()
    display = ProgressDisplay(console)
    for number in range(1, 101):
        clock[0] += 0.5
        display.step(step(number, {"exact": number / 100} if number % 3 == 0 else None), 100)
        if number == 30:
            display.trials(lambda: [TrialStatus("a", 0, "done", 0.5)])
    lines = console.file.getvalue().splitlines()
    assert ["step" in line for line in lines] == [True, False, True, True]
    assert "dev exact 0.21" in lines[0] and "1 done; best on dev 0.5000: a" in lines[1]


def test_output_that_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale without Japanese gets escapes, and no error."""
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["list", "--lang", "ja"]) == 0
    assert b"\\u5b9f" in out.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_reader_that_has_gone_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`terakoya list | head -1`."""

    def gone() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(commands, "list_", gone)
    assert main(["list"]) == 141
    assert capsys.readouterr().err == ""


def test_line_breaks_stay_and_others_are_shown() -> None:
    """Messages have several lines; a separator that only some programs know is none."""
    assert safe_lines("a\nb\r\nc\u2028d\n") == "a\nb\nc\\u2028d\n"
    assert all(unicodedata.category(char) != "Cc" for char in safe("\r\n\t"))
