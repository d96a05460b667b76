"""What is shown on a terminal while a run or a sweep is at work."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from terakoya.cli import live
from terakoya.cli.lines import columns
from terakoya.cli.live import ProgressDisplay, status_summary, status_table
from terakoya.generation.balance import BalanceRules
from terakoya.generation.output import GeneratedRow, RejectedRow
from terakoya.generation.recipe import find_recipe
from terakoya.generation.run import Generation, RequestSettings
from terakoya.generation.teacher.retries import TeacherClient
from terakoya.i18n import in_language
from terakoya.records import Step
from terakoya.runs.progress import TrialStatus

TRIALS = [
    TrialStatus("model.width=16", 0, "done", 0.25),
    TrialStatus("model.width=24", 0, "trained", 0.5),
    TrialStatus("model.width=32", 0, "running"),
    TrialStatus("model.width=40", 0, "held"),
    TrialStatus("model.width=48", 0, "failed"),
    TrialStatus("model.width=56", 0, "open"),
]


def printed(thing: object, width: int = 80) -> str:
    out = StringIO()
    Console(file=out, width=width).print(thing)
    return out.getvalue()


def step(number: int) -> Step:
    return Step(number, 1.0, 1.0, 1e-3, 1.0, 10, 0.1)


def test_running_trials_come_first_in_the_table() -> None:
    """A glance shows how far the sweep is and which trial leads."""
    lines = printed(status_table(TRIALS, "en")).splitlines()
    assert [line.split()[0] for line in lines[1:7]] == ["running", "elsewhere", "done", "trained", "failed", "open"]
    assert "0.5000" in next(line for line in lines if "width=24" in line)
    assert (
        "1 running, 1 elsewhere, 1 done, 1 trained, 1 failed, 1 open; best on dev 0.5000: model.width=24"
        in " ".join(" ".join(lines[7:]).split())
    )
    assert "他で実行中" in printed(status_table(TRIALS, "ja"))


def test_a_table_of_hundreds_fits_a_terminal() -> None:
    """What does not fit is counted below."""
    many = [TrialStatus(f"trial-{number}", number, "open") for number in range(300)] + TRIALS
    shown = printed(status_table(many, "en"))
    assert len(shown.splitlines()) < 24
    assert "301 open" in shown


def test_the_table_stays_while_lines_are_printed_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read again when it is old: other processes work on the same sweep."""
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    statuses, out = list(TRIALS), StringIO()
    display = ProgressDisplay(Console(file=out, width=100, force_terminal=True, highlight=False, markup=False))
    display.trials(lambda: statuses)
    assert display.live is not None
    display.stage("train", "12 steps")
    assert display.live is not None, "the table is gone while something is printed"
    statuses[3] = TrialStatus("model.width=40", 0, "done", 0.75)
    display.step(step(1), 12)
    assert "0.7500" not in printed(display.table)
    clock[0] += live.REFRESH_SECONDS
    display.step(step(2), 12)
    assert "0.7500" in printed(display.table)
    display.close()
    assert "step 2/12" in out.getvalue() and "train: 12 steps" in out.getvalue()


def test_without_a_terminal_a_line_sums_up_the_trials() -> None:
    """A log of a night holds a line for each trial and no table."""
    out = StringIO()
    display = ProgressDisplay(Console(file=out, width=100), "ja")
    display.trials(lambda: TRIALS)
    assert out.getvalue().split() == in_language(status_summary(TRIALS), "ja").split()


def test_names_of_trials_control_no_terminal() -> None:
    """They come from a file."""
    assert "\x1b[" not in printed(status_table([TrialStatus("a\x1b[31m", 0, "open")], "en"))


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_generation_shows_one_line_of_eighty_columns_with_the_time_left_first(lang: str) -> None:
    """Its line is longest where labels and reasons are Japanese: two columns a character."""
    client, settings = cast(TeacherClient, Paid()), RequestSettings("stub", 9, None, 0)
    generation = Generation(find_recipe("emoji-v1", Path()), settings, BalanceRules(1000), iter(()), client)
    start = generation._recent[0][0]
    for number in range(100):
        generation.rows.append(GeneratedRow(f"文{number}", "🍎", "", "", "", ("🍎",)))
        generation.counter.add(("🍎", "とても長い絵文字でない名前"))
    generation.rejections.add(RejectedRow("文", "", "rewrite", "source-in-the-answer", "長い理由", ("答え",)))
    text = generation.progress(start + 10.0)
    assert text.startswith("1:30 left; 100 of 1,000 rows; 10.0 per second")
    assert columns(in_language(text, lang)) > 80
    display = ProgressDisplay(Console(file=Terminal(), width=80, force_terminal=True), lang)
    display.progress(text)
    shown = str(display.live.get_renderable())
    display.close()
    assert columns(shown) <= 80
    assert "1:30" in shown[:10]


def test_without_a_terminal_a_generation_prints_one_line_in_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice a second would fill a log."""
    clock, out = [0.0], StringIO()
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    display = ProgressDisplay(Console(file=out, width=80))
    for number in range(120):
        clock[0] = number / 2
        display.progress(f"{number} rows")
    assert len(out.getvalue().splitlines()) == 6


class Paid:
    """A client of which only the cost is read."""

    total_cost = 0.25
