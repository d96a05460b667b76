"""Checkpoints and sealed folders: a kill never strands a run, a bit flip is noticed."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from terakoya.errors import CorruptError, DiskError, IncompatibleError
from terakoya.runs import Run, is_sealed, seal, verify

FILES = {"weights.safetensors": 3000, "optimizer.bin": 2000, "state/random.json": 100}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "runs", "kannume") as made:
        yield made


def writer(step: int) -> Callable[[Path], None]:
    """Files that say which step wrote them."""

    def write(folder: Path) -> None:
        for name, size in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(bytes([step % 256]) * size)

    return write


def whole(path: Path | None, step: int) -> bool:
    return path is not None and all((path / name).read_bytes() == bytes([step % 256]) * n for name, n in FILES.items())


def in_child(act: Callable[[], None], kill_after: float | None = None) -> int:
    """Run `act` in a forked process, killed with SIGKILL after so many seconds; its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def test_the_newest_whole_checkpoint_is_found(run: Run) -> None:
    """Resuming begins where the last save ended; two older ones are not kept for ever."""
    assert run.latest_checkpoint().path is None
    for step in (100, 200, 300):
        run.save_checkpoint(step, writer(step))
    found = run.latest_checkpoint()
    assert (found.step, found.findings) == (300, ())
    assert whole(found.path, 300)
    assert sorted(path.name for path in (run.path / "checkpoints").iterdir()) == ["00000200", "00000300"]


def test_two_checkpoints_stay_even_when_keep_is_one(run: Run) -> None:
    """With a single one, damage to it would strand the run."""
    for step in (1, 2, 3):
        run.save_checkpoint(step, writer(step), keep=1)
    assert len(list((run.path / "checkpoints").iterdir())) == 2


def test_the_best_checkpoint_is_spared(run: Run) -> None:
    """The best by the dev metric may be old."""
    for step in (1, 2, 3, 4):
        run.save_checkpoint(step, writer(step), also_keep={1})
    assert sorted(path.name for path in (run.path / "checkpoints").iterdir()) == ["00000001", "00000003", "00000004"]


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "flip", "added", "no seal", "other run", "other step"])
def test_a_broken_checkpoint_is_set_aside_and_the_one_before_serves(run: Run, damage: str) -> None:
    """No manual deleting: what is broken is renamed, reported as a finding, and training goes on."""
    run.save_checkpoint(100, writer(100))
    newest = run.save_checkpoint(200, writer(200))
    victim = newest / "weights.safetensors"
    if damage == "missing":
        victim.unlink()
    elif damage == "empty":
        victim.write_bytes(b"")
    elif damage == "half":
        victim.write_bytes(victim.read_bytes()[:1500])
    elif damage == "flip":
        data = bytearray(victim.read_bytes())
        data[1234] ^= 4
        victim.write_bytes(data)
    elif damage == "added":
        (newest / "adapter_model.safetensors").write_bytes(b"x")
    elif damage == "no seal":
        (newest / "seal.json").unlink()
    elif damage == "other run":
        seal(newest, step=200, owner="another-run")
    else:
        newest.rename(newest.with_name("00000999"))
    found = run.latest_checkpoint()
    assert found.step == 100
    assert whole(found.path, 100)
    assert [(finding.check, finding.level) for finding in found.findings] == [("checkpoint", "warn")]
    assert [path.name for path in (run.path / "checkpoints").glob(".broken-*")]
    assert run.latest_checkpoint().findings == ()


def test_a_reader_sets_nothing_aside(run: Run) -> None:
    """Looking at a run does not change it."""
    newest = run.save_checkpoint(200, writer(200))
    (newest / "optimizer.bin").unlink()
    assert Run.open(run.path).latest_checkpoint().findings
    assert newest.exists()


def test_a_kill_at_every_boundary_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """The process dies at the 1st, 2nd, 3rd … call that touches the disk, until one save gets through."""
    calls = 0
    while True:
        calls += 1
        run = Run.create(tmp_path / str(calls), "k")
        run.save_checkpoint(100, writer(100))
        run.save_checkpoint(200, writer(200))
        path = run.path
        run.close()
        status = in_child(partial(_save_and_die, path, calls))
        with Run.resume(path) as again:
            found = again.latest_checkpoint()
            assert found.step in (200, 300), f"killed at call {calls}"
            assert whole(found.path, found.step)
            assert not found.findings
            assert {item.name for item in (path / "checkpoints").iterdir()} <= {"00000100", "00000200", "00000300"}
        if status == 0:
            break
    assert found.step == 300
    assert calls > 20


def _save_and_die(path: Path, at: int) -> None:
    """Die (no handler runs) at the `at`-th of all fsyncs, opens for writing, renames, removals and new folders."""
    seen = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **rest: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == at:
                os._exit(9)
            return real(*args, **rest)

        return call

    run = Run.resume(path)
    for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "write"):
        setattr(os, name, dying(getattr(os, name)))
    real_write = Path.write_bytes
    Path.write_bytes = dying(real_write)  # type: ignore[method-assign]
    run.save_checkpoint(300, writer(300))


def test_a_hundred_random_kills_never_strand_a_run(tmp_path: Path) -> None:
    """Each time the newest checkpoint is whole and no older than the last one known to be saved."""
    run = Run.create(tmp_path, "k")
    path = run.path
    run.save_checkpoint(1, writer(1))
    run.close()
    rng = random.Random(7)
    known, torn, kills = 1, 0, 0
    # On a slow machine the first kills come before a save begins: they come later and later until enough fall inside.
    while kills < 100 or (torn < 10 and kills < 500):
        kills += 1
        in_child(lambda: _save_for_ever(path), kill_after=rng.uniform(0.003, 0.03 + 0.0004 * kills))
        torn += any((path / "checkpoints").glob(".tmp-*"))
        with Run.resume(path) as again:
            found = again.latest_checkpoint()
        assert not found.findings
        assert whole(found.path, found.step)
        assert found.step >= known
        known = found.step
    assert torn >= 10, "too few of the kills fell inside a save for this test to say anything"


def _save_for_ever(path: Path) -> None:
    run = Run.resume(path)
    step = run.latest_checkpoint().step
    while True:
        step += 1
        run.save_checkpoint(step, writer(step))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_save_that_fails_keeps_the_old_checkpoint_and_stops(run: Run, number: int) -> None:
    """A full disk in the middle of a save costs that save; the message says what is safe."""
    run.save_checkpoint(100, writer(100))

    def full(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(b"x")
        raise OSError(number, os.strerror(number))

    with pytest.raises(DiskError) as refusal:
        run.save_checkpoint(200, full)
    assert "The previous checkpoint is intact." in str(refusal.value)
    assert run.latest_checkpoint().step == 100
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["00000100"]


def test_a_save_without_space_is_refused_before_it_begins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next checkpoint is about as large as the last."""
    run.save_checkpoint(100, writer(100))
    monkeypatch.setattr("terakoya.runs.disk.free_bytes", lambda path: 1000)
    with pytest.raises(DiskError, match="needed here and 1,000 bytes are free"):
        run.save_checkpoint(200, writer(200))


# ── seals ───────────────────────────────────────────────────────────────────────────────────────────────


def test_every_flipped_bit_is_noticed_and_its_file_named(tmp_path: Path) -> None:
    """A thousand single bits in a model folder, its seal included: a thousand refusals that name the file."""
    folder = tmp_path / "model"
    folder.mkdir()
    writer(5)(folder)
    seal(folder, step=5)
    assert verify(folder) == {"step": 5}
    rng = random.Random(3)
    victims = [*FILES, "seal.json"]
    for turn in range(1000):
        path = folder / victims[turn % len(victims)]
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CorruptError) as refusal:
            verify(folder)
        assert str(path) in str(refusal.value)
        path.write_bytes(data)
    assert verify(folder) == {"step": 5}


def test_a_folder_without_a_seal_is_refused(tmp_path: Path) -> None:
    """A model folder that was being written when the light went out is not loaded."""
    (tmp_path / "config.json").write_text("{}")
    assert not is_sealed(tmp_path)
    with pytest.raises(CorruptError, match="incomplete"):
        verify(tmp_path)


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    """A sealed file that became a link can point anywhere."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.bin").write_bytes(b"abc")
    seal(tmp_path / "m")
    (tmp_path / "elsewhere").write_bytes(b"abc")
    (tmp_path / "m" / "a.bin").unlink()
    (tmp_path / "m" / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptError, match="leads out"):
        verify(tmp_path / "m")


def test_what_file_browsers_leave_does_no_harm(tmp_path: Path) -> None:
    """Opening a model folder on a Mac must not make it unusable."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    seal(tmp_path)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    verify(tmp_path)


def test_a_newer_seal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """'Update', not 'corrupt', where the folder is whole and this version is old."""
    (tmp_path / "a.bin").write_bytes(b"abc")
    monkeypatch.setattr("terakoya.runs.sealing.SEAL_FORMAT", 2)
    seal(tmp_path)
    monkeypatch.setattr("terakoya.runs.sealing.SEAL_FORMAT", 1)
    with pytest.raises(IncompatibleError, match="format 2"):
        verify(tmp_path)
