"""A run: the folder that records one experiment. One process writes it, any may read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal, Self

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.runs import checkpoints, disk, environment
from terakoya.runs.journal import Journal, Kind, journal_bytes, read_lines
from terakoya.runs.lock import Lock
from terakoya.runs.sealing import SEAL, seal_files, verify_file
from terakoya.runs.secrets import without_secrets
from terakoya.runs.validation import FORMAT, MANIFEST, check, new_folder, remove_temporary

# What a run found out: sealed when it ends, and verified whenever it is read afterwards.
SEALED = (MANIFEST, "scores.json", "predictions.jsonl", "findings.jsonl")
State = Literal["running", "interrupted", "done", "failed", "refused", "stopped"]


def now() -> datetime:
    """The local time with its offset."""
    return datetime.now().astimezone()


class Run:
    """An open run folder. `Run.create` and `Run.resume` hold its lock, `Run.open` only reads.

    path   the folder
    clock  the time written into the manifest

    >>> with Run.create(Path("runs"), "kannume") as run:
    ...     run.write_text("config.toml", text)
    ...     run.append("steps.jsonl", step)
    ...     run.finish("done")
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = now) -> None:
        self.path, self._clock = path, clock
        self._lock = Lock(path / ".lock")
        self._journals: dict[str, Journal] = {}

    @classmethod
    def create(
        cls,
        parent: Path,
        name: str,
        clock: Callable[[], datetime] = now,
        *,
        config: Callable[[Path], str] | None = None,
        **facts: Any,
    ) -> Run:
        """A new, locked run folder NAME-YYYYMMDD-HHMMSS.

        parent  where it is created
        name    name of the experiment
        clock   the time used
        config  makes config.toml for the new folder. It is written before the manifest, so that every folder that
                counts as a run can be resumed, however early it was killed
        facts   further values of the manifest
        """
        stem = f"{disk.safe_name(name)}-{clock():%Y%m%d-%H%M%S}"
        run = cls(new_folder(parent, stem), clock)
        run._lock.acquire(wait=0.1)
        if config is not None:
            run.write_text("config.toml", config(run.path))
        manifest = {"format": FORMAT, "name": name, "run": run.path.name, "state": "running"}
        times: dict[str, Any] = {"started": run._time(), "ended": None, "resumed": []}
        manifest |= {"times": times, "versions": environment.versions(), "machine": environment.machine(), **facts}
        run.write_json(MANIFEST, manifest)
        return run

    @classmethod
    def open(cls, path: Path, clock: Callable[[], datetime] = now) -> Run:
        """Open the run at `path` for reading (`clock` as in `create`).

        Raises ConfigError (no such run), CorruptError (incomplete) or IncompatibleError (made by a newer version).
        """
        check(path)
        return cls(path, clock)

    @classmethod
    def resume(cls, path: Path, clock: Callable[[], datetime] = now) -> Run:
        """Open the run at `path` for writing (`clock` as in `create`).

        Raises LockedError where another process holds it, and whatever `open` raises.
        """
        run = cls.open(path, clock)
        run._lock.acquire(wait=0.1)
        try:
            remove_temporary(path)
            checkpoints.remove_leftovers(path / "checkpoints")
        except BaseException:
            run.close()
            raise
        return run

    # ── manifest ────────────────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def manifest(self) -> dict[str, Any]:
        """Content of manifest.json."""
        verify_file(self.path / MANIFEST)
        return dict(disk.read_json(self.path / MANIFEST))

    @property
    def state(self) -> State:
        """State in the manifest; "interrupted" where that says "running" and no process writes the run."""
        recorded: State = self.manifest["state"]
        return "interrupted" if recorded == "running" and not self.is_being_written() else recorded

    def is_being_written(self) -> bool:
        """Whether a process holds the lock, this one included."""
        return self._lock.held or self._lock.is_taken()

    def update_manifest(self, **facts: Any) -> None:
        """Update the manifest with `facts`; a mapping updates the mapping that is there."""
        manifest = self.manifest
        for key, fact in facts.items():
            old = manifest.get(key)
            manifest[key] = {**old, **fact} if isinstance(old, dict) and isinstance(fact, dict) else fact
        self.write_json(MANIFEST, manifest)

    def mark_resumed(self) -> None:
        """Record that the run is being written again."""
        times = self.manifest["times"]
        self.update_manifest(
            state="running", times={"resumed": [*times.get("resumed", []), self._time()], "ended": None}
        )

    def finish(self, state: State, **facts: Any) -> None:
        """Record the final `state`, the time and further `facts`, after everything appended is on the disk; then seal
        the results."""
        for journal in self._journals.values():
            journal.sync()
        self.update_manifest(state=state, times={"ended": self._time()}, sealed=True, **facts)
        self.seal_results()

    def discard(self) -> None:
        """Remove the folder of a run in which nothing happened; the manifest first, so that a rest of it is no run."""
        self.remove(MANIFEST)
        self.close()
        with disk.disk_faults(self.path):
            shutil.rmtree(self.path)

    def lacks_seal(self) -> bool:
        """Whether the run was killed between its end and the sealing of its results."""
        return bool(self.manifest.get("sealed")) and not (self.path / SEAL).is_file()

    def seal_results(self) -> None:
        """Seal manifest, scores, predictions and findings; writing one of them later removes the seal again."""
        assert self._lock.held, f"{self.path} was opened to be read; open it with Run.resume"
        seal_files(self.path, SEALED, run=self.path.name)

    # ── files ───────────────────────────────────────────────────────────────────────────────────────

    def write_text(self, name: str, text: str) -> Path:
        """Write `text` atomically, with secrets removed. `name` is a path inside the folder, with slashes."""
        path = self._writable(name)
        disk.write_text(path, without_secrets(text))
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write `value` atomically as JSON to the file `name`, with secrets removed."""
        path = self._writable(name)
        disk.write_json(path, without_secrets(disk.to_jsonable(value)))
        return path

    def append(self, name: str, record: Any, *, durable: bool = False) -> None:
        """Append `record` to the JSON Lines file `name`; it survives a kill, and a power failure where `durable`."""
        path = self._writable(name)
        if name not in self._journals:
            self._journals[name] = Journal(path)
        self._journals[name].append(without_secrets(disk.to_jsonable(record)), durable=durable)

    def rewrite(self, name: str, records: Iterable[Any] = ()) -> None:
        """Replace the JSON Lines file `name` atomically by one with `records`."""
        path = self._writable(name)
        if journal := self._journals.pop(name, None):
            journal.close()
        disk.write_bytes(path, journal_bytes(without_secrets(disk.to_jsonable(record)) for record in records))

    def remove(self, name: str) -> None:
        """Remove the file `name`, where it exists."""
        if journal := self._journals.pop(name, None):
            journal.close()
        self._writable(name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether the file or folder `name` exists."""
        return (self.path / name).exists()

    def read_text(self, name: str) -> str:
        """Text of the file `name`. Raises CorruptError where it is missing or not UTF-8."""
        path = self._existing(name)
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            byte = error.start
            raise CorruptError(_("not UTF-8 (byte {byte})", byte=byte), where=str(path)) from error

    def read_json(self, name: str) -> Any:
        """Value of the JSON file `name`. Raises CorruptError where it is missing or incomplete."""
        return disk.read_json(self._existing(name))

    def read_lines(self, name: str, require: Mapping[str, Kind] | None = None) -> list[dict[str, Any]]:
        """Every complete record of the JSON Lines file `name`; [] where it does not exist (yet).

        require  value name → type that every record must have, see `journal.read_lines`
        """
        verify_file(self.path / name)
        return list(read_lines(self.path / name, require))

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────

    def save_checkpoint(
        self, step: int, writer: checkpoints.Writer, *, keep: int = 2, also_keep: Collection[int] = ()
    ) -> Path:
        """Save a checkpoint of training step `step`; what was appended is fsynced first.

        writer     writes the files into the folder that it is given
        keep       number of newest checkpoints kept (at least two)
        also_keep  steps whose checkpoints are kept as well
        """
        folder = self._writable("checkpoints")
        for journal in self._journals.values():
            journal.sync()
        return checkpoints.save(folder, step, writer, owner=self.manifest["run"], keep=keep, also_keep=also_keep)

    def latest_checkpoint(self) -> checkpoints.LatestCheckpoint:
        """The newest valid checkpoint, and findings about damaged ones (renamed where this process holds the lock)."""
        folder = self.path / "checkpoints"
        return checkpoints.find_latest(folder, owner=self.manifest["run"], rename_broken=self._lock.held)

    # ── closing ─────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Fsync, close all files and release the lock."""
        try:
            for journal in self._journals.values():
                journal.close()
        finally:
            self._journals.clear()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _time(self) -> str:
        return self._clock().isoformat(timespec="seconds")

    def _writable(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        assert parts and ".." not in parts and not PurePosixPath(name).is_absolute(), f"'{name}' lies outside the run"
        assert self._lock.held, f"{self.path} was opened to be read; open it with Run.resume"
        if name in SEALED and (self.path / SEAL).is_file():
            with disk.disk_faults(self.path):
                (self.path / SEAL).unlink()
                disk.sync_folder(self.path)
        return self.path.joinpath(*parts)

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise CorruptError(
                _("this file of the run is missing"),
                where=str(path),
                do=_("`terakoya run RUN` creates what is missing."),
            )
        verify_file(path)
        return path
