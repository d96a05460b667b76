"""A run: a folder that says what did happen. One process writes it, anyone may read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal, Self

from terakoya.errors import CorruptError
from terakoya.i18n import both
from terakoya.runs import checkpoints, disk, environment
from terakoya.runs.journal import Journal, read_lines, record_line
from terakoya.runs.lock import Lock
from terakoya.runs.secrets import without_secrets
from terakoya.runs.validation import FORMAT, MANIFEST, check, new_folder, remove_temporary

State = Literal["running", "interrupted", "done", "failed", "stopped"]


def now() -> datetime:
    return datetime.now().astimezone()


class Run:
    """An open run folder. `Run.create` and `Run.resume` hold its lock, `Run.open` only reads.

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
        """A new folder NAME-YYYYMMDD-HHMMSS that nobody else has, locked; `facts` go into its manifest.

        `config` tells what is asked, as it reads from that folder. It is written before the manifest: a folder that is
        a run can be gone on with, however soon it was killed.
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
        """To read. Raises ConfigError (no such run), CorruptError (half-written), IncompatibleError (newer)."""
        check(path)
        return cls(path, clock)

    @classmethod
    def resume(cls, path: Path, clock: Callable[[], datetime] = now) -> Run:
        """To write on. Raises LockedError at once when another process holds it, and whatever `open` raises."""
        run = cls.open(path, clock)
        run._lock.acquire(wait=0.1)
        try:
            remove_temporary(path)
            checkpoints.sweep(path / "checkpoints")
        except BaseException:
            run.close()
            raise
        return run

    # ── what it says of itself ──────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(disk.read_json(self.path / MANIFEST))

    @property
    def state(self) -> State:
        """A run whose manifest says "running" and whose process is gone was interrupted."""
        told: State = self.manifest["state"]
        return "interrupted" if told == "running" and not self.is_being_written() else told

    def is_being_written(self) -> bool:
        """Whether some process holds the lock, this one included."""
        return self._lock.held or self._lock.taken()

    def note(self, **facts: Any) -> None:
        """Lay `facts` over the manifest; a mapping is laid over the mapping that stands there."""
        manifest = self.manifest
        for key, fact in facts.items():
            there = manifest.get(key)
            manifest[key] = {**there, **fact} if isinstance(there, dict) and isinstance(fact, dict) else fact
        self.write_json(MANIFEST, manifest)

    def go_on(self) -> None:
        """Say that the run is being written again."""
        times = self.manifest["times"]
        self.note(state="running", times={"resumed": [*times.get("resumed", []), self._time()], "ended": None})

    def finish(self, state: State, **facts: Any) -> None:
        """The last word: state and time, after everything appended is on the disk."""
        for journal in self._journals.values():
            journal.sync()
        self.note(state=state, times={"ended": self._time()}, **facts)

    # ── files ───────────────────────────────────────────────────────────────────────────────────────

    def write_text(self, name: str, text: str) -> Path:
        """All of it or nothing of it. `name` is a path inside the folder, written with slashes."""
        path = self._writable(name)
        disk.write_text(path, without_secrets(text))
        return path

    def write_json(self, name: str, value: Any) -> Path:
        path = self._writable(name)
        disk.write_json(path, without_secrets(disk.plain(value)))
        return path

    def append(self, name: str, record: Any, *, durable: bool = False) -> None:
        """One line more; it survives a kill when this returns, and a power cut when `durable`."""
        path = self._writable(name)
        if name not in self._journals:
            self._journals[name] = Journal(path)
        self._journals[name].append(without_secrets(disk.plain(record)), durable=durable)

    def restart(self, name: str, records: Iterable[Any] = ()) -> None:
        """Begin an appended file anew with these records, in one step: a kill leaves the old file or the new one."""
        path = self._writable(name)
        if journal := self._journals.pop(name, None):
            journal.close()
        disk.write_bytes(path, b"".join(record_line(without_secrets(disk.plain(record))) for record in records))

    def discard(self, name: str) -> None:
        """Remove a file, where there is one."""
        if journal := self._journals.pop(name, None):
            journal.close()
        self._writable(name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    def read_text(self, name: str) -> str:
        path = self._existing(name)
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CorruptError(
                both(f"not UTF-8 (byte {error.start})", f"UTF-8 ではない（{error.start}バイト目）"), where=str(path)
            ) from error

    def read_json(self, name: str) -> Any:
        return disk.read_json(self._existing(name))

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """Every whole record; [] where the file does not exist (yet)."""
        return list(read_lines(self.path / name))

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────

    def save_checkpoint(
        self, step: int, writer: checkpoints.Writer, *, keep: int = 2, spare: Collection[int] = ()
    ) -> Path:
        """`writer` fills the folder it is given; see `checkpoints.save`. What was appended is fsynced first."""
        folder = self._writable("checkpoints")
        for journal in self._journals.values():
            journal.sync()
        return checkpoints.save(folder, step, writer, owner=self.manifest["run"], keep=keep, spare=spare)

    def latest_checkpoint(self) -> checkpoints.Checkpoint:
        """The newest whole one, and findings about broken ones (renamed when the lock is ours)."""
        folder = self.path / "checkpoints"
        return checkpoints.latest(folder, owner=self.manifest["run"], set_aside=self._lock.held)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
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
        return self.path.joinpath(*parts)

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise CorruptError(
                both("this file of the run is missing", "実行のこのファイルがない"),
                where=str(path),
                do=both("`terakoya run RUN` makes what is missing.", "`terakoya run RUN` で、足りないものが作られる。"),
            )
        return path
