"""The three functions of the Python API, on a run that was made without a training where that is enough."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import terakoya as tk

sys.path.insert(0, str(Path(__file__).parent))
from exam_runs import finished_run


def test_an_exam_is_confirmed_from_python(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "one", items=60)
    (run / "config.toml").write_text('name = "one"\n[task]\ndata = "x.csv"\n', "utf-8")
    found = tk.confirm(run, write=tmp_path / "sample.csv")
    assert found.annotations.confirmation.rows == 0 or not found.annotations.confirmation.judged
    lines = (tmp_path / "sample.csv").read_text("utf-8-sig").splitlines()
    filled = [lines[0], *(line[: -len(",")] + "right," for line in lines[1:])]
    (tmp_path / "sample.csv").write_text("\n".join(filled), "utf-8")
    done = tk.confirm(str(run), read=str(tmp_path / "sample.csv"), who="ann")
    assert (done.annotations.confirmation.right, done.annotations.confirmation.complete) == (50, True)
    assert "50 of 50 are right" in done.words("en") and done.to_dict()["annotations"]["confirmation"]["right"] == 50


def test_wrong_input_is_refused_at_the_call(tmp_path: Path) -> None:
    for call in (
        lambda: tk.confirm(tmp_path / "nowhere"),
        lambda: tk.retrain(tmp_path / "nowhere"),
        lambda: tk.correct(tmp_path / "nowhere", "a", "b"),
    ):
        with pytest.raises(tk.TerakoyaError):
            call()
