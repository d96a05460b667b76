"""However a run ends, its folder records it; and nothing is recorded twice because a run was resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.errors import DataError, Interrupted
from terakoya.i18n import both
from terakoya.progress import SilentListener
from terakoya.records import Finding
from terakoya.runs import Run
from terakoya.runs.lifecycle import enforce, record_finding, record_outcome

WARNED = Finding("rate", "warn", both("the rate is high", "学習率が高い"), where="step 3")


def test_what_was_noticed_stands_there_once(tmp_path: Path) -> None:
    """A resumed run repeats its checks; the same check elsewhere is another finding."""
    with Run.create(tmp_path, "k") as run:
        for finding in (WARNED, WARNED, Finding("rate", "warn", WARNED.what, where="step 9")):
            record_finding(run, finding)
        assert [line["where"] for line in run.read_lines("findings.jsonl")] == ["step 3", "step 9"]


def test_a_stop_ends_the_run_unless_it_is_wanted(tmp_path: Path) -> None:
    """Everything that was found is written down first."""
    stop = Finding("leak", "stop", "the exam is in train")
    with Run.create(tmp_path, "k") as run:
        enforce(run, [WARNED, stop], SilentListener(), anyway=True)
        with pytest.raises(DataError, match="leak: the exam is in train"):
            enforce(run, [WARNED, stop], SilentListener(), anyway=False)
        assert len(run.read_lines("findings.jsonl")) == 2


@pytest.mark.parametrize(
    ("error", "state"),
    [(Interrupted("x"), "interrupted"), (KeyboardInterrupt(), "interrupted"), (DataError("x"), "failed"),
     (ZeroDivisionError(), "failed")],
)  # fmt: skip
def test_every_end_is_written_down(tmp_path: Path, error: BaseException, state: str) -> None:
    """Who finds the folder next week knows what became of it, and how to go on."""
    with Run.create(tmp_path, "k") as run:
        with pytest.raises(type(error)) as raised, record_outcome(run):
            raise error
        assert run.manifest["state"] == state
    if state == "interrupted":
        assert f"terakoya run {run.path}" in str(raised.value)
