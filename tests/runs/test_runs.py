"""Run folders: made without collision, opened or refused with reasons, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from terakoya.errors import ConfigError, CorruptError, DiskError, IncompatibleError, TerakoyaError
from terakoya.records import Finding, Step
from terakoya.runs import Journal, Run, disk, git_commit, machine, read_lines, runs_in, safe_name, versions, write_text

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"


def clock() -> datetime:
    return datetime(2026, 11, 21, 10, 15, 0, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "runs", "kannume", clock) as made:
        yield made


def test_a_run_folder_bears_name_and_time(run: Run) -> None:
    """A folder is found again by what was trained and when."""
    assert run.name == "kannume-20261121-101500"
    assert run.manifest["format"] == 1
    assert run.manifest["versions"]["python"] == versions()["python"]
    assert run.manifest["machine"]["cores"] >= 1


def test_two_runs_begun_in_the_same_second_get_two_folders(tmp_path: Path) -> None:
    """A second run never lands in the first one's folder."""
    names = []
    for _ in range(3):
        with Run.create(tmp_path, "kannume", clock) as made:
            names.append(made.name)
    assert names == ["kannume-20261121-101500", "kannume-20261121-101500-2", "kannume-20261121-101500-3"]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("漢数字 v2", "漢数字-v2"),
        ("../../etc/passwd", "etc-passwd"),
        ("a:b*c?", "a-b-c"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("x. ", "x"),
        ("", "run"),
        ("\u202etxt.exe", "txt.exe"),
        ("あ" * 200, "あ" * 33),
        ("a\x00b\x1b[31m", "ab[31m"),
    ],
)
def test_names_are_taken_by_windows_too(name: str, safe: str) -> None:
    """A run folder can be copied to any colleague's machine, and a name cannot climb out of its place."""
    assert safe_name(name) == safe


# ── opening ─────────────────────────────────────────────────────────────────────────────────────────────


def _no_folder(path: Path) -> None:
    (path.parent / "kannume-20261121-101501").mkdir()


def _a_file(path: Path) -> None:
    path.write_text("x")


def _half_written(path: Path) -> None:
    path.mkdir()
    (path / "config.toml").write_text("")


def _torn_manifest(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"format": 1, "sta')


def _not_ours(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text('{"name": "npm"}')


def _binary(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_bytes(b"\xff\xfe\x00")


def _newer(path: Path) -> None:
    shutil.copytree(FIXTURES / "format-2", path)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (_no_folder, ConfigError, "Did you mean 'kannume-20261121-101501'?"),
        (_a_file, ConfigError, "not a run folder"),
        (_half_written, CorruptError, "creation was interrupted"),
        (_torn_manifest, CorruptError, "manifest.json"),
        (_not_ours, CorruptError, "manifest.json"),
        (_binary, CorruptError, "manifest.json"),
        (_newer, IncompatibleError, "terakoya>=9.0.0"),
    ],
)
def test_what_is_no_run_of_ours_is_refused_with_its_reason(
    tmp_path: Path, make: Callable[[Path], None], kind: type[TerakoyaError], words: str
) -> None:
    """Whoever names the wrong folder learns which mistake it was, and nothing in it is touched."""
    path = tmp_path / "kannume-20261121-101500"
    make(path)
    before = sorted(item.name for item in tmp_path.rglob("*"))
    for opening in (Run.open, Run.resume):
        with pytest.raises(kind) as refusal:
            opening(path)
        assert words in str(refusal.value)
        assert str(path) in str(refusal.value)
    assert sorted(item.name for item in tmp_path.rglob("*")) == before


def test_a_run_of_the_first_format_still_opens() -> None:
    """Old runs open: what was released once is read for ever (the fixture is never regenerated)."""
    old = Run.open(FIXTURES / "format-1")
    assert old.state == "done"
    assert [line["step"] for line in old.read_lines("steps.jsonl")] == [10, 20]
    assert [line["prediction"] for line in old.read_lines("predictions.jsonl")] == ["15000", None]


def test_reading_a_run_changes_nothing(tmp_path: Path) -> None:
    """A run on a read-only disk, or a colleague's, can be looked at."""
    path = tmp_path / "old"
    shutil.copytree(FIXTURES / "format-1", path)
    before = {item: item.stat().st_mtime_ns for item in path.rglob("*")}
    old = Run.open(path)
    assert old.read_json("scores.json")["scores"]
    assert old.state == "done"
    assert old.latest_checkpoint().path is None
    assert {item: item.stat().st_mtime_ns for item in path.rglob("*")} == before


def test_a_missing_file_of_a_run_is_named(run: Run) -> None:
    """'scores.json is missing' and not a traceback."""
    with pytest.raises(CorruptError, match="missing") as refusal:
        run.read_json("scores.json")
    assert "scores.json" in refusal.value.where


# ── states ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_whose_process_is_gone_was_interrupted(tmp_path: Path) -> None:
    """A killed run cannot say so itself; the lock that nobody holds does."""
    made = Run.create(tmp_path, "kannume", clock)
    reader = Run.open(made.path)
    states = [reader.state]
    made.close()
    assert [*states, reader.state] == ["running", "interrupted"]
    with Run.resume(made.path, clock) as again:
        again.mark_resumed()
        assert reader.state == "running"
        again.finish("done", exam={"openings": 1})
    assert reader.state == "done"
    assert reader.manifest["times"]["ended"] == "2026-11-21T10:15:00+00:00"
    assert len(reader.manifest["times"]["resumed"]) == 1
    assert reader.manifest["exam"] == {"openings": 1}


def test_only_whole_runs_are_listed(tmp_path: Path, run: Run) -> None:
    """An index page does not stumble over a half-made folder."""
    (run.path.parent / "half").mkdir()
    assert runs_in(run.path.parent) == [run.path]
    assert runs_in(tmp_path / "nowhere") == []


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────


def test_records_come_back_as_they_were_written(run: Run) -> None:
    """Text stays text, a value that is not finite stays visible, and every line is valid JSON."""
    run.append("steps.jsonl", Step(1, 2.5, 2.5, 1e-3, 0.5, 64, 0.1, {"exact": 0.5}))
    run.append("steps.jsonl", Step(2, float("nan"), float("inf"), 1e-3, 0.5, 64, 0.1))
    run.append("findings.jsonl", Finding("audit", "warn", "改行\n\u2028と\ud800", rows=(1, 2)))
    steps = run.read_lines("steps.jsonl")
    assert steps[0]["dev"] == {"exact": 0.5}
    assert (steps[1]["loss"], steps[1]["plain"]) == ("NaN", "Infinity")
    finding = run.read_lines("findings.jsonl")[0]
    assert finding["what"] == "改行\n\u2028と\ufffd"
    assert finding["rows"] == [1, 2]


def test_an_appended_file_begun_anew_is_the_old_one_or_the_new_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step log is cut back to the checkpoint on a resume; a full disk at that moment loses nothing."""
    for step in range(5):
        run.append("steps.jsonl", {"step": step})
    with monkeypatch.context() as patch:
        _failing(patch, "fsync", errno.ENOSPC, 1)
        with pytest.raises(DiskError):
            run.rewrite("steps.jsonl", [{"step": 0}])
        assert len(run.read_lines("steps.jsonl")) == 5
    run.rewrite("steps.jsonl", [{"step": 0}, {"step": 1}])
    run.append("steps.jsonl", {"step": 2})
    assert [line["step"] for line in run.read_lines("steps.jsonl")] == [0, 1, 2]


def test_a_path_outside_the_run_is_never_written(run: Run) -> None:
    """A task's name or a split's cannot carry a file out of its folder."""
    for name in ("../evil.txt", "/tmp/evil.txt", "a/../../evil.txt"):
        with pytest.raises(AssertionError):
            run.write_text(name, "x")


def test_a_run_that_was_opened_to_read_is_not_written(run: Run) -> None:
    """Who does not hold the lock does not write."""
    with pytest.raises(AssertionError):
        Run.open(run.path).write_text("report.md", "x")


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_last_line_is_passed_over_and_then_dropped(tmp_path: Path, cut: int) -> None:
    """A kill in the middle of a line costs that line and nothing else."""
    path = tmp_path / "a.jsonl"
    whole = b'{"n": 1}\n{"n": 2}\n'
    torn = '{"n": 3, "text": "三万八千"}\n'.encode()
    path.write_bytes(whole + torn[:-cut])
    complete = cut == 1
    assert [line["n"] for line in read_lines(path)] == [1, 2] + [3] * complete
    journal = Journal(path)
    journal.append({"n": 4})
    journal.close()
    assert [line["n"] for line in read_lines(path)] == [1, 2] + [3] * complete + [4]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    """Only the last line can be torn by a kill: anything else is damage, and is said with its line."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": \n{"n": 3}\n')
    with pytest.raises(CorruptError, match="line 2"):
        list(read_lines(path))


# ── the disk says no ────────────────────────────────────────────────────────────────────────────────────


def _failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int, at: int) -> None:
    """Let the `at`-th `os.<call>` fail with this error number."""
    real, seen = getattr(os, call), [0]

    def fail(*args: Any, **rest: Any) -> Any:
        seen[0] += 1
        if seen[0] == at:
            raise OSError(number, os.strerror(number))
        return real(*args, **rest)

    monkeypatch.setattr(os, call, fail)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    """Either the old report or the whole new one; and the message has path and reason."""
    path = tmp_path / "report.md"
    write_text(path, "old")
    if call == "replace":
        real = Path.replace

        def fail(self: Path, target: Path) -> Path:
            if target == path:
                raise OSError(number, os.strerror(number))
            return real(self, target)

        monkeypatch.setattr(Path, "replace", fail)
    else:
        _failing(monkeypatch, call, number, 1)
    with pytest.raises(DiskError) as refusal:
        write_text(path, "new" * 1000)
    assert str(path) in str(refusal.value)
    if number in (errno.ENOSPC, errno.EDQUOT):
        assert "3,000 bytes are needed" in str(refusal.value)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["report.md"]


def test_a_full_disk_loses_no_record_and_leaves_no_half_one(tmp_path: Path) -> None:
    """A real limit, not a mock: the file may grow to 200 bytes. What fitted stays, the rest is refused in words."""
    path = tmp_path / "steps.jsonl"
    journal = Journal(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(DiskError, match="no space left"):
            for number in range(100):
                journal.append({"n": number, "text": "x" * 20})
                written += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < written < 100
    assert [line["n"] for line in read_lines(path)] == list(range(written))
    assert path.read_bytes().endswith(b"\n")
    journal.append({"n": written})
    journal.close()
    assert [line["n"] for line in read_lines(path)] == list(range(written + 1))


def test_too_little_space_is_said_before_the_first_byte(tmp_path: Path) -> None:
    """A minute before training and not in the middle of the night."""
    disk.require_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(DiskError, match="are needed here and"):
        disk.require_space(tmp_path, 10**18)


def test_an_error_that_is_ours_is_not_dressed_up(tmp_path: Path) -> None:
    """Only what the user can put right becomes a message."""
    with pytest.raises(FileNotFoundError), disk.disk_faults(tmp_path):
        (tmp_path / "nothing").read_text()


# ── secrets, machine, commit ────────────────────────────────────────────────────────────────────────────


def test_no_key_reaches_the_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider quotes the key in its error; the error becomes a finding; the finding must not hold the key."""
    canary = "sk-canary-0123456789abcdef"
    monkeypatch.setenv("OPENROUTER_API_KEY", canary)
    run.append("findings.jsonl", Finding("teacher", "stop", f"401 for {canary}", where=canary))
    run.write_text("report.md", f"key {canary}")
    run.write_json("scores.json", {"deep": [{"x": canary}]})
    run.update_manifest(provider=canary)
    found = [path for path in run.path.rglob("*") if path.is_file() and canary.encode() in path.read_bytes()]
    assert not found
    assert "[OPENROUTER_API_KEY]" in run.read_lines("findings.jsonl")[0]["what"]


def test_the_commit_of_the_config_is_remembered(tmp_path: Path) -> None:
    """A year later one knows which state of the task's code was run."""
    assert git_commit(tmp_path) is None
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "moods.toml").write_text("")
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)
    found = git_commit(tmp_path)
    assert found is not None
    assert len(found["commit"]) == 40
    assert not found["changed"]
    (tmp_path / "moods.toml").write_text("seed = 1")
    assert (git_commit(tmp_path) or {})["changed"]


def test_the_machine_is_described_without_names_of_people_or_hosts() -> None:
    """A record may be shown to anyone."""
    found = json.dumps(machine())
    assert os.uname().nodename not in found
    assert (machine()["memory"] or 0) > 10**8


def test_run_folders_need_nothing_heavy() -> None:
    """`terakoya report` and `compare` open runs where torch is not installed, and at once."""
    heavy = ("torch", "numpy", "pydantic", "altair", "jinja2")
    body = f"import sys, terakoya.runs; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
