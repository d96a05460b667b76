"""What the page may show: runs and tables under the folders it was started with, each known by an opaque id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from terakoya.pipeline.table_preview import TABLE_FILES
from terakoya.runs import runs_in
from terakoya.runs.lock import locked_journal

FOLDER = ".terakoya"  # the page's own files: uploads, configs, checks, jobs, its journal
BUILT_IN = ("tiny", "small", "base")
MOST = 2_000  # runs or tables that are listed


@dataclass(frozen=True)
class Workspace:
    """The folders that a page was opened with.

    home       new runs go to `home/runs`, the page's own files to `home/.terakoya`
    given      run folders, tables and folders named on the command line
    bases      model folders and Hub names that the command line allows beside the built-in sizes
    overrides  KEY=VALUE settings of every training that the page starts
    """

    home: Path
    given: tuple[Path, ...] = ()
    bases: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def own(self) -> Path:
        """Folder of the page's own files."""
        return self.home / FOLDER

    @property
    def run_dir(self) -> Path:
        """Where new runs are made."""
        return self.home / "runs"

    def runs(self) -> dict[str, Path]:
        """Every run folder by its id, newest first."""
        found = {path.resolve() for path in self._run_folders()}
        newest = sorted(found, key=lambda path: (path / "manifest.json").stat().st_ctime, reverse=True)
        return _by_id("run", newest[:MOST])

    def _run_folders(self) -> Iterator[Path]:
        for folder in (self.home, *self.given):
            if (folder / "manifest.json").is_file():
                yield folder
            elif folder.is_dir():
                yield from runs_in(folder)
                yield from runs_in(folder / "runs")

    def tables(self) -> dict[str, Path]:
        """Every table by its id: uploaded ones first, then those of the folders."""
        found = dict.fromkeys(path.resolve() for path in self._table_files())
        return _by_id("table", list(found)[:MOST])

    def _table_files(self) -> Iterator[Path]:
        for folder in sorted((self.own / "tables").glob("*"), key=lambda path: path.stat().st_mtime, reverse=True):
            yield from _tables_in(folder)
        for path in self.given:
            if path.is_file():
                yield path
        for folder in (self.home, *self.given):
            if folder.is_dir() and not (folder / "manifest.json").is_file():
                yield from _tables_in(folder)
                yield from _tables_in(folder / "data")

    def remove_upload(self, table: Path) -> bool:
        """Take an uploaded table out of the list; it is kept, and can be brought back.

        table  its path
        Returns False for a table that was not uploaded here: that is its owner's.
        """
        folder = table.parent
        if folder.parent != (self.own / "tables").resolve():
            return False
        self.record("table removed", table=f"{folder.name}/{table.name}")
        (self.own / "removed").mkdir(exist_ok=True)
        folder.rename(self.own / "removed" / folder.name)
        return True

    def removed_uploads(self) -> list[Path]:
        """Uploaded tables that were taken out of the list, the last one first."""
        folders = sorted((self.own / "removed").glob("*"), key=lambda path: path.stat().st_ctime, reverse=True)
        return [table for folder in folders for table in _tables_in(folder)]

    def bring_back(self) -> None:
        """Put the table that was removed last into the list again, if there is one."""
        for table in self.removed_uploads()[:1]:
            self.record("table brought back", table=f"{table.parent.name}/{table.name}")
            table.parent.rename(self.own / "tables" / table.parent.name)

    def base_choices(self) -> dict[str, str]:
        """Models to start from by their id: built-in sizes, what the command line allows, model folders of the home."""
        folders = [
            str(path.parent.resolve())
            for path in sorted(self.home.glob("*/config.json")) + sorted(self.home.glob(".models/*/config.json"))
            if any(path.parent.glob("*.safetensors"))
        ]
        return {name: name for name in BUILT_IN} | {
            opaque_id("base", name): name for name in dict.fromkeys((*self.bases, *folders))
        }

    def record(self, event: str, **facts: Any) -> None:
        """Append what the reader did to the page's journal, on the disk before it is done.

        event  "table uploaded", "training started" …
        facts  its values
        """
        line = {"event": event, "time": datetime.now().astimezone().isoformat(timespec="seconds"), **facts}
        # Two servers may have been opened in one folder.
        with locked_journal(self.own / "journal.jsonl", self.own / ".journal.lock") as journal:
            journal.append(line, durable=True)


def workspace_of(given: Iterable[Path], bases: Iterable[str] = (), overrides: Iterable[str] = ()) -> Workspace:
    """The workspace of a command line.

    given      runs, tables and folders; the first folder that holds neither a run nor runs is the home, else the
               working directory
    bases      model folders and Hub names that trainings may start from
    overrides  KEY=VALUE settings of every training
    """
    paths = tuple(path.resolve() for path in given)
    homes = [path for path in paths if path.is_dir() and not (path / "manifest.json").is_file() and not runs_in(path)]
    return Workspace((homes or [Path.cwd()])[0], paths, tuple(bases), tuple(overrides))


def opaque_id(kind: str, name: str) -> str:
    """An id that says nothing of what it stands for: 16 hex digits.

    kind  "run", "table", "base", "job"
    name  of the thing, such as its path
    """
    return hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _by_id(kind: str, paths: Iterable[Path]) -> dict[str, Path]:
    return {opaque_id(kind, os.fspath(path)): path for path in paths}


def _tables_in(folder: Path) -> list[Path]:
    """Tables directly in a folder; a link to elsewhere is none."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in TABLE_FILES and path.is_file() and not path.is_symlink() and path.name[0] != "."
    )
