"""Trials between hosts without a common disk: what a trial needs goes there, its run folder comes back.

A worker unpacks everything below a root of its own at the same absolute paths, so that relative paths from run folders
to data files hold there and, once the run folder is back, here.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from terakoya import registry
from terakoya.data.formats.many_files import is_pattern, table_files
from terakoya.data.formats.remote import is_remote
from terakoya.sweeps.plan import experiment_reference
from terakoya.sweeps.trial import TrialTask


def input_files(task: TrialTask) -> Iterator[Path]:
    """The files that a trial reads: its experiment, and the tables, task file and local base that its config names.

    task  of a sweep on this disk; of a table given by a pattern, every file is named
    Raises DataError for a pattern that no file matches.
    """
    reference = experiment_reference(task.config, task.beside)
    experiment = registry.find_experiment(reference, task.trial.settings)
    if reference.endswith(".toml"):
        yield Path(reference).resolve()
    config = experiment.config
    named = [config.task.data, config.task.dev, config.task.exam, config.model.base]
    named += [config.task.use] if config.task.use.endswith(".py") else []
    for part in (part for text in named if text for part in text.split("|")):
        if is_pattern(part):
            if not is_remote(part):  # what lies elsewhere is fetched by the worker itself
                found = table_files(part, experiment.folder.resolve())
                yield from (Path(os.path.normpath(file.path)) for file in found)
            continue
        path = Path(os.path.normpath(experiment.folder.resolve() / part))
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*")) if file.is_file())
        elif path.is_file():
            yield path


def pack_trial(folder: Path, key: str) -> bytes:
    """A trial's run folders, result and log as a tar archive.

    folder  of the sweep
    key     of the trial
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part in (f"runs/{key}", f"trials/{key}.json", f"trials/{key}.log"):
            if (folder / part).exists():
                archive.add(folder / part, part)
    return buffer.getvalue()


def unpack_inputs(task: TrialTask, root: Path, files: Mapping[str, bytes], earlier: bytes) -> TrialTask:
    """The same task, with everything that it reads below another root.

    task     as it was sent
    root     an empty folder
    files    content by absolute path on the host that sent it
    earlier  what `pack_trial` gave there
    """
    for path, content in files.items():
        file = below(root, Path(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    moved = replace(task, beside=below(root, task.beside), folder=below(root, task.folder))
    moved.folder.mkdir(parents=True, exist_ok=True)
    _unpack(earlier, moved.folder)
    return moved


def install_trial(folder: Path, key: str, archived: bytes) -> None:
    """Put a trial that came back into the sweep's folder; its result appears last, when its run folder is complete.

    folder    of the sweep
    key       of the trial, whose lock this process holds
    archived  what `pack_trial` gave where it ran
    """
    arrived, place, replaced = (folder / name / key for name in ("arrived", "runs", "replaced"))
    shutil.rmtree(arrived, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)
    _unpack(archived, arrived)
    place.parent.mkdir(parents=True, exist_ok=True)
    replaced.parent.mkdir(parents=True, exist_ok=True)
    if (arrived / "runs" / key).is_dir():
        if place.is_dir():
            place.rename(replaced)
        (arrived / "runs" / key).rename(place)
    for name in (f"{key}.log", f"{key}.json"):
        if (arrived / "trials" / name).is_file():
            (arrived / "trials" / name).replace(folder / "trials" / name)
    shutil.rmtree(arrived)
    shutil.rmtree(replaced, ignore_errors=True)


def restore_replaced(folder: Path, key: str) -> None:
    """After a crash between the two renames of `install_trial`: put the run folder back that was to be replaced.

    folder  of the sweep
    key     of the trial
    """
    place, replaced = folder / "runs" / key, folder / "replaced" / key
    if replaced.is_dir() and not place.is_dir():
        replaced.rename(place)


def below(root: Path, path: Path) -> Path:
    """The place of an absolute path below another root.

    root  a folder
    path  absolute
    """
    return root.joinpath(*path.parts[1:])


def _unpack(archived: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archived)) as archive:
        archive.extractall(folder, filter="data")
