"""Checkpoints that a kill cannot tear: made in a hidden folder, sealed, then given their name.

A folder named by its step is complete by construction; should a disk damage it later, its seal tells, it is
set aside under `.broken-…`, and the one before serves.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from terakoya.errors import CorruptError
from terakoya.i18n import both, japanese
from terakoya.records import Finding
from terakoya.runs.disk import disk_faults, require_space, sync_folder
from terakoya.runs.sealing import seal, verify

_STEP = re.compile(r"[0-9]{8,}")
Writer = Callable[[Path], None]


@dataclass(frozen=True)
class Checkpoint:
    """The newest whole checkpoint (`path` None: there is none) and what was found on the way to it."""

    path: Path | None
    step: int
    findings: tuple[Finding, ...] = ()


def save(folder: Path, step: int, writer: Writer, *, owner: str, keep: int = 2, spare: Collection[int] = ()) -> Path:
    """Let `writer` fill a folder, then seal and name it. The older ones stand until the new one does.

    The newest `keep` (two at least) stay, and those of the steps in `spare`. Raises DiskError.
    """
    final, temporary = folder / f"{step:08d}", folder / f".tmp-{step:08d}"
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    needed = _size(max(_named(folder), default=None))
    require_space(folder, needed)
    try:
        with disk_faults(
            temporary,
            needed,
            saved=both("The checkpoint before this one is whole.", "一つ前のチェックポイントは無事である。"),
        ):
            temporary.mkdir()
            writer(temporary)
        seal(temporary, step=step, owner=owner)
        _give_name(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _rotate(folder, max(keep, 2), spare)
    return final


def latest(folder: Path, *, owner: str, set_aside: bool) -> Checkpoint:
    """The newest checkpoint that verifies; broken ones are set aside (where we may write) and reported."""
    findings: list[Finding] = []
    for path in sorted(_named(folder), reverse=True):
        try:
            facts = verify(path)
            if facts.get("step") != int(path.name) or facts.get("owner") != owner:
                raise CorruptError(
                    both(
                        f"this checkpoint belongs to {facts.get('owner')}, step {facts.get('step')}",
                        f"このチェックポイントは {facts.get('owner')} のステップ{facts.get('step')}のものである",
                    )
                )
        except CorruptError as error:
            findings.append(_set_aside(path, error) if set_aside else _finding(path, error))
            continue
        return Checkpoint(path, int(path.name), tuple(findings))
    return Checkpoint(None, 0, tuple(findings))


def sweep(folder: Path) -> None:
    """Remove what a killed save or rotation left; only for the one who holds the run's lock."""
    for pattern in (".tmp-*", ".old-*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def steps(folder: Path) -> list[int]:
    """Steps of the named checkpoints, oldest first; not verified."""
    return sorted(int(path.name) for path in _named(folder))


def _give_name(temporary: Path, final: Path) -> None:
    """The same step saved twice (after a resume) replaces the first; between the two renames the one before serves."""
    with disk_faults(final):
        if final.exists():
            final.rename(final.with_name(f".old-{final.name}"))
        temporary.rename(final)
        sync_folder(final.parent)


def _rotate(folder: Path, keep: int, spare: Collection[int]) -> None:
    """Renamed before it is emptied: a kill in the middle leaves no half folder under a good name."""
    for path in sorted(_named(folder))[:-keep]:
        if int(path.name) not in spare:
            with disk_faults(path):
                path.rename(path.with_name(f".old-{path.name}"))
    sweep(folder)


def _set_aside(path: Path, error: CorruptError) -> Finding:
    number = 0
    while (broken := path.with_name(f".broken-{path.name}" + (f"-{number}" if number else ""))).exists():
        number += 1
    with disk_faults(path):
        path.rename(broken)
    return _finding(broken, error)


def _finding(path: Path, error: CorruptError) -> Finding:
    return Finding(
        check="checkpoint",
        level="warn",
        what=both(
            f"a checkpoint is broken and was passed over: {error.what}",
            f"チェックポイントが壊れているので飛ばした：{japanese(error.what)}",
        ),
        where=error.where or str(path),
        do=both(
            "Training goes on from the one before it. Look at the disk when this happens again.",
            "学習は一つ前から続く。また起きるようならディスクを調べること。",
        ),
    )


def _named(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if _STEP.fullmatch(path.name) and path.is_dir()]


def _size(path: Path | None) -> int:
    total = 0
    for file in path.rglob("*") if path else ():
        with suppress(OSError):
            total += file.stat().st_size
    return total
