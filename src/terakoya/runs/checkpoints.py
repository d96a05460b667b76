"""Atomic checkpoints: written to a hidden folder, sealed, then renamed.

A folder named by its step is complete by construction. If a disk damages it later, its seal does not verify: it is
renamed to `.broken-…`, and the previous one is used.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from terakoya.errors import CorruptError
from terakoya.i18n import _
from terakoya.records import Finding
from terakoya.runs.disk import disk_faults, require_space, sync_folder
from terakoya.runs.sealing import seal, verify

_STEP = re.compile(r"[0-9]{8,}")
Writer = Callable[[Path], None]


@dataclass(frozen=True)
class LatestCheckpoint:
    """The newest valid checkpoint.

    path      its folder; None where there is none
    step      its training step; 0 where there is none
    findings  about newer checkpoints that are damaged
    """

    path: Path | None
    step: int
    findings: tuple[Finding, ...] = ()


def save(
    folder: Path, step: int, writer: Writer, *, owner: str, keep: int = 2, also_keep: Collection[int] = ()
) -> Path:
    """Write a checkpoint atomically; older ones are removed only once it exists.

    folder     the folder of all checkpoints
    step       training step
    writer     writes the files into the folder that it is given
    owner      name of the run, sealed with the checkpoint
    keep       number of newest checkpoints kept (at least two)
    also_keep  steps whose checkpoints are kept as well
    Returns the checkpoint's folder. Raises DiskError.
    """
    final, temporary = folder / f"{step:08d}", folder / f".tmp-{step:08d}"
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    needed = _size(max(_named(folder), default=None))
    require_space(folder, needed)
    try:
        with disk_faults(
            temporary,
            needed,
            saved=_("The previous checkpoint is intact."),
        ):
            temporary.mkdir()
            writer(temporary)
        seal(temporary, step=step, owner=owner)
        _rename_into_place(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _rotate(folder, max(keep, 2), also_keep)
    return final


def find_latest(folder: Path, *, owner: str, rename_broken: bool) -> LatestCheckpoint:
    """The newest checkpoint in `folder` that verifies; damaged ones are reported.

    owner          name of the run that must have written it
    rename_broken  whether damaged ones are renamed (only the holder of the run's lock may)
    """
    findings: list[Finding] = []
    for path in sorted(_named(folder), reverse=True):
        try:
            facts = verify(path)
            if facts.get("step") != int(path.name) or facts.get("owner") != owner:
                found, at = facts.get("owner"), facts.get("step")
                raise CorruptError(_("this checkpoint belongs to {found}, step {at}", found=found, at=at))
        except CorruptError as error:
            findings.append(_rename_broken(path, error) if rename_broken else _finding(path, error))
            continue
        return LatestCheckpoint(path, int(path.name), tuple(findings))
    return LatestCheckpoint(None, 0, tuple(findings))


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed save or rotation left in `folder`; only the holder of the run's lock may call it."""
    for pattern in (".tmp-*", ".old-*"):
        for path in folder.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def saved_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`, oldest first; not verified."""
    return sorted(int(path.name) for path in _named(folder))


def _rename_into_place(temporary: Path, final: Path) -> None:
    """A step saved twice (after a resume) replaces the first; between the two renames the previous one is used."""
    with disk_faults(final):
        if final.exists():
            final.rename(final.with_name(f".old-{final.name}"))
        temporary.rename(final)
        sync_folder(final.parent)


def _rotate(folder: Path, keep: int, also_keep: Collection[int]) -> None:
    """Renamed before it is deleted: a kill in the middle leaves no incomplete folder under a valid name."""
    for path in sorted(_named(folder))[:-keep]:
        if int(path.name) not in also_keep:
            with disk_faults(path):
                path.rename(path.with_name(f".old-{path.name}"))
    remove_leftovers(folder)


def _rename_broken(path: Path, error: CorruptError) -> Finding:
    number = 0
    while (broken := path.with_name(f".broken-{path.name}" + (f"-{number}" if number else ""))).exists():
        number += 1
    with disk_faults(path):
        path.rename(broken)
    return _finding(broken, error)


def _finding(path: Path, error: CorruptError) -> Finding:
    reason = error.what
    return Finding(
        check="checkpoint",
        level="warn",
        what=_("a damaged checkpoint was skipped: {reason}", reason=reason),
        where=error.where or str(path),
        do=_("Training resumes from the previous one. Check the disk if this happens again."),
    )


def _named(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if _STEP.fullmatch(path.name) and path.is_dir()]


def _size(path: Path | None) -> int:
    total = 0
    for file in path.rglob("*") if path else ():
        with suppress(OSError):
            total += file.stat().st_size
    return total
