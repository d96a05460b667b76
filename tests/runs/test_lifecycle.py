"""However a run ends, its folder records it; and nothing is recorded twice because a run was resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from terakoya.errors import (
    ConfigError,
    DataError,
    DiskError,
    IncompatibleError,
    Interrupted,
    PluginError,
    TerakoyaError,
)
from terakoya.i18n import Recorded
from terakoya.records import Finding
from terakoya.runs import Run
from terakoya.runs.lifecycle import enforce, record_finding, record_outcome
from terakoya.runs.progress import SilentListener

WARNED = Finding("rate", "warn", Recorded("the rate is high", {"ja": "学習率が高い"}), where="step 3")


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


def test_what_was_overridden_stays_overridden(tmp_path: Path) -> None:
    """ "Resume with: terakoya run RUN" must work as it stands; a new stop still ends the run."""
    stop, other = Finding("leak", "stop", "the exam is in train"), Finding("steps", "stop", "too few steps")
    with Run.create(tmp_path, "k") as run:
        enforce(run, [stop, stop], SilentListener(), anyway=True)
        assert run.manifest["overridden"] == ["leak"]
        run.mark_resumed()
        enforce(run, [stop], SilentListener(), anyway=False)
        with pytest.raises(DataError, match=": steps: too few steps\n"):
            enforce(run, [stop, other], SilentListener(), anyway=False)


@pytest.mark.parametrize("error", [ConfigError("x"), DataError("x"), PluginError("x"), IncompatibleError("x")])
def test_a_refused_run_leaves_no_folder_or_one_that_says_so(tmp_path: Path, error: TerakoyaError) -> None:
    """Nobody wants five empty run folders for five typing errors; what was found is kept to be read."""
    for found in (False, True):
        with Run.create(tmp_path, "k") as run:
            if found:
                record_finding(run, WARNED)
            with pytest.raises(type(error)), record_outcome(run):
                raise error
        assert run.path.exists() == found
        assert not found or Run.open(run.path).state == "refused"


def test_what_failed_after_training_began_was_not_refused(tmp_path: Path) -> None:
    """Its folder holds what was paid for in hours; so does one whose disk is full."""
    for error, trained in ((DataError("x"), True), (DiskError("x"), False)):
        with Run.create(tmp_path, "k") as run:
            if trained:
                run.append("steps.jsonl", {"step": 1})
            with pytest.raises(TerakoyaError), record_outcome(run):
                raise error
            assert run.manifest["state"] == "failed"


@pytest.mark.parametrize(
    ("error", "state"),
    [(Interrupted("x"), "interrupted"), (KeyboardInterrupt(), "interrupted"), (DiskError("x"), "failed"),
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
