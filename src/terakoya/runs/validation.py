"""Creating and validating run folders: is it one, is it complete, can this version read it?"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from terakoya.errors import ConfigError, CorruptError, IncompatibleError, nearest
from terakoya.i18n import both
from terakoya.runs import disk

FORMAT = 1
MANIFEST = "manifest.json"


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
    """Raise ConfigError (no run at `path`), CorruptError (incomplete) or IncompatibleError (newer)."""
    if not path.exists():
        siblings = [item.name for item in path.parent.iterdir() if item.is_dir()] if path.parent.is_dir() else []
        raise ConfigError(
            both("there is no such run", "その実行は存在しない"),
            where=str(path),
            do=nearest(path.name, siblings) if siblings else "",
        )
    if not path.is_dir():
        raise ConfigError(
            both("this is a file, not a run folder", "これはファイルであり、実行フォルダではない"),
            where=str(path),
            do=both("Name the folder of a run.", "実行のフォルダを指定すること。"),
        )
    if not (path / MANIFEST).is_file():
        raise CorruptError(
            both(
                f"this is not a run folder, or its creation was interrupted: it has no {MANIFEST}",
                f"実行フォルダではないか、作成が途中で止まっている：{MANIFEST} がない",
            ),
            where=str(path),
            do=both(
                "Name another folder. If it was meant to be a run, nothing was trained in it yet: delete it.",
                "別のフォルダを指定すること。自分の実行であれば、まだ何も学習していないので、消してよい。",
            ),
        )
    manifest = disk.read_json(path / MANIFEST)
    made = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(made, int) or isinstance(made, bool) or made < 1 or "state" not in manifest:
        raise CorruptError(
            both("this is not the manifest of a run", "実行の manifest ではない"),
            where=str(path / MANIFEST),
            do=both("Restore it from a copy.", "バックアップから戻すこと。"),
        )
    if made > FORMAT:
        version = str((manifest.get("versions") or {}).get("terakoya", ""))
        wanted = f"'terakoya>={version}'" if version[:1].isdigit() else "terakoya"
        raise IncompatibleError(
            both(
                f"this run was made by a newer terakoya {version} (folder format {made}; this one reads {FORMAT})",
                f"この実行は新しい terakoya {version} で作られた（フォルダ形式 {made}、"
                f"この版が読めるのは {FORMAT} まで）",
            ),
            where=str(path),
            do=both(f"Update with: pip install -U {wanted}", f"次のコマンドで更新すること：pip install -U {wanted}"),
        )


def remove_temporary(path: Path) -> None:
    """Remove temporary files below `path` left by a killed write; only the lock's holder writes, so none is in use."""
    for folder, _, names in os.walk(path):
        for name in names:
            if name.startswith(".") and name.endswith(disk.TEMPORARY):
                with suppress(OSError):
                    Path(folder, name).unlink()


def runs_in(parent: Path) -> list[Path]:
    """Every run folder directly below `parent`, by name, without incomplete ones."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and (path / MANIFEST).is_file())
