"""What stands on a terminal while something goes on."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from terakoya.cli import live
from terakoya.cli.live import Telling, summed_up, table_of
from terakoya.i18n import in_language
from terakoya.progress import Standing
from terakoya.records import Step

TRIALS = [
    Standing("model.width=16", 0, "done", 0.25),
    Standing("model.width=24", 0, "taught", 0.5),
    Standing("model.width=32", 0, "running"),
    Standing("model.width=40", 0, "held"),
    Standing("model.width=48", 0, "failed"),
    Standing("model.width=56", 0, "open"),
]


def printed(thing: object, width: int = 80) -> str:
    out = StringIO()
    Console(file=out, width=width).print(thing)
    return out.getvalue()


def step(number: int) -> Step:
    return Step(number, 1.0, 1.0, 1e-3, 1.0, 10, 0.1)


def test_the_table_shows_first_what_is_being_worked_on() -> None:
    """Whoever looks up from other work sees how far it is, and what leads."""
    lines = printed(table_of(TRIALS, "en")).splitlines()
    assert [line.split()[0] for line in lines[1:7]] == ["running", "elsewhere", "done", "taught", "failed", "open"]
    assert "0.5000" in next(line for line in lines if "width=24" in line)
    assert "1 running, 1 elsewhere, 1 done, 1 taught, 1 failed, 1 open; best on dev 0.5000: model.width=24" in " ".join(
        " ".join(lines[7:]).split()
    )
    assert "他で実行中" in printed(table_of(TRIALS, "ja"))


def test_a_table_of_hundreds_fits_a_terminal() -> None:
    """What does not fit is counted below."""
    many = [Standing(f"trial-{number}", number, "open") for number in range(300)] + TRIALS
    shown = printed(table_of(many, "en"))
    assert len(shown.splitlines()) < 24
    assert "301 open" in shown


def test_the_table_stays_on_a_terminal_while_lines_pass_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at anew where it is old: other processes work on the same series."""
    clock = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    standings, out = list(TRIALS), StringIO()
    telling = Telling(Console(file=out, width=100, force_terminal=True, highlight=False, markup=False))
    telling.trials(lambda: standings)
    assert telling.live is not None
    telling.stage("train", "12 steps")
    assert telling.live is not None, "the table is gone while something is printed"
    standings[3] = Standing("model.width=40", 0, "done", 0.75)
    telling.step(step(1), 12)
    assert "0.7500" not in printed(telling.table)
    clock[0] += live.LOOK_EVERY
    telling.step(step(2), 12)
    assert "0.7500" in printed(telling.table)
    telling.close()
    assert "step 2/12" in out.getvalue() and "train: 12 steps" in out.getvalue()


def test_without_a_terminal_a_line_tells_how_the_series_stands() -> None:
    """A log of a night holds a line for each trial and no table."""
    out = StringIO()
    telling = Telling(Console(file=out, width=100), "ja")
    telling.trials(lambda: TRIALS)
    assert out.getvalue().split() == in_language(summed_up(TRIALS), "ja").split()


def test_names_of_trials_obey_no_terminal() -> None:
    """They come from a file."""
    assert "\x1b[" not in printed(table_of([Standing("a\x1b[31m", 0, "open")], "en"))
