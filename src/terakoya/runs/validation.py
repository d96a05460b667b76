"""Creating and validating run folders: is it one, is it complete, can this version read it?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from terakoya.errors import ConfigError, CorruptError, IncompatibleError, nearest
from terakoya.errors.files import require_plain_folder
from terakoya.i18n import _
from terakoya.runs import disk
from terakoya.runs.journal import Kind
from terakoya.runs.sealing import verify_file

FORMAT = 1
MANIFEST = "manifest.json"
# What every line of a run's journals has.
FINDING: Mapping[str, Kind] = {"check": str, "level": str, "what": str, "where": str}
PREDICTION: Mapping[str, Kind] = {
    "source": str, "target": str, "raw": str, "prediction": (str, type(None)), "verdict": (int, float),
}  # fmt: skip
STEP: Mapping[str, Kind] = {"step": int}


def new_folder(parent: Path, stem: str) -> Path:
    """Create a folder in `parent` that no other process has created: `stem`, or with -2, -3, … added."""
    number = 1
    with disk.disk_faults(parent):
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            path = parent / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                continue
            return path


def check(path: Path) -> None:
    """Raise ConfigError (no run at `path`), CorruptError (incomplete, or more in it than files) or IncompatibleError
    (newer)."""
    if not path.exists():
        siblings = [item.name for item in path.parent.iterdir() if item.is_dir()] if path.parent.is_dir() else []
        raise ConfigError(
            _("there is no such run"),
            where=str(path),
            do=nearest(path.name, siblings) if siblings else "",
        )
    if not path.is_dir():
        raise ConfigError(
            _("this is a file, not a run folder"),
            where=str(path),
            do=_("Name the folder of a run."),
        )
    require_plain_folder(path)
    if not (path / MANIFEST).is_file():
        raise CorruptError(
            _("this is not a run folder, or its creation was interrupted: it has no {manifest}", manifest=MANIFEST),
            where=str(path),
            do=_("Name another folder. If it was meant to be a run, nothing was trained in it yet: delete it."),
        )
    verify_file(path / MANIFEST)
    manifest = disk.read_json(path / MANIFEST)
    made = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(made, int) or isinstance(made, bool) or made < 1 or "state" not in manifest:
        raise CorruptError(
            _("this is not the manifest of a run"),
            where=str(path / MANIFEST),
            do=_("Restore it from a copy."),
        )
    if made > FORMAT:
        version = str((manifest.get("versions") or {}).get("terakoya", ""))
        wanted = f"'terakoya>={version}'" if version[:1].isdigit() else "terakoya"
        raise IncompatibleError(
            _(
                "this run was made by a newer terakoya {version} (folder format {made}; this one reads {format})",
                version=version,
                made=made,
                format=FORMAT,
            ),
            where=str(path),
            do=_("Update with: pip install -U {wanted}", wanted=wanted),
        )


def remove_temporary(path: Path) -> None:
    """Remove temporary files below `path` left by a killed write; only the lock's holder writes, so none is in use."""
    for folder, _folders, names in os.walk(path):
        for name in names:
            if name.startswith(".") and name.endswith(disk.TEMPORARY):
                with suppress(OSError):
                    Path(folder, name).unlink()


def runs_in(parent: Path) -> list[Path]:
    """Every run folder directly below `parent`, by name, without incomplete ones."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and (path / MANIFEST).is_file())
